import { type ReactNode, useSyncExternalStore } from 'react';
import { later } from './lazy.tsx';

/** Short notices, such as that something was stored. Their library loads with the first one. */

const Notifications = later(async () => (await import('@mantine/notifications')).Notifications, 0);

let begun = false;
const listeners = new Set<() => void>();
const subscribe = (told: () => void): (() => void) => {
  listeners.add(told);
  return () => listeners.delete(told);
};

/** Says that something has succeeded. */
export function notify(message: string): void {
  begun = true;
  for (const told of listeners) told();
  void import('@mantine/notifications').then(
    ({ notifications }) => notifications.show({ message, color: 'teal' }),
    // The page shows the result too.
    () => {},
  );
}

/** The place where notices appear. */
export function Notices(): ReactNode {
  return useSyncExternalStore(subscribe, () => begun) ? <Notifications position="top-right" /> : null;
}
