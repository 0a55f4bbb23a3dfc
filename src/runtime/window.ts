/** Unacknowledged messages a task may hold. With 10 ms to the sink this is 29,000 messages a second. */
export const window = 1000;
