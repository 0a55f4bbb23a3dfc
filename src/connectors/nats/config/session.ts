import { createHash } from 'node:crypto';
import type { Identity } from '../../connector.ts';
import type { NatsProfile } from './profile.ts';

/** Names on the server. */

const maxName = 128;

/** A name for the server: letters, digits, hyphens and underscores. */
export function nameOf(parts: readonly string[]): string {
  const whole = ['penstock', ...parts].join('_');
  const clean = whole.replaceAll(/[^0-9A-Za-z_-]/g, '-');
  if (clean === whole && whole.length <= maxName) return whole;
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, 16);
  return `${clean.slice(0, maxName - hash.length - 1)}_${hash}`;
}

/** The name of the durable consumer that all tasks of a source share. */
export const consumerName = ({ jobId, operatorId }: Identity): string => nameOf([jobId, operatorId]);

/** The name of the connection of a task, for the monitoring of the server. */
export const connectionName = ({ jobId, operatorId, taskIndex }: Identity): string =>
  nameOf([jobId, operatorId, String(taskIndex)]);

/** See `session` in the connector contract. */
export const sessionName = ({ servers, domain = '' }: NatsProfile, identity: Identity): string =>
  `${consumerName(identity)} at ${servers} ${domain}`;
