export const qosNames = ['AtMostOnce', 'AtLeastOnce', 'ExactlyOnce'] as const;

export type Qos = 0 | 1 | 2;
