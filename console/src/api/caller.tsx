import { createContext, type ReactNode, useContext } from 'react';

/** The caller of this tab, and what its role allows. */

const roles = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof roles)[number];

export interface Caller {
  name: string;
  role: Role;
  /** Whether the API asks for a key. */
  keysRequired: boolean;
}

export const CallerContext = createContext<Caller>({ name: '', role: 'viewer', keysRequired: true });
export const useCaller = (): Caller => useContext(CallerContext);

/** Key of the mutation that makes an API key. Until its response is here, a call without a key may be refused. */
export const makesKey = ['make-key'];

export const mayAct = (role: Role, needed: Role): boolean => roles.indexOf(role) >= roles.indexOf(needed);
export const useMay = (needed: Role): boolean => mayAct(useCaller().role, needed);

/** Shows its children only to callers with at least this role. */
export function Can({ role, children }: { role: Role; children: ReactNode }): ReactNode {
  return useMay(role) ? children : null;
}
