import type { CheckContext } from '../../connector.ts';
import { describeEndpoint, type Endpoint, parseUrls } from '../config/address.ts';
import type { MqttProfile } from '../config/profile.ts';
import { direction, type MqttTable } from '../config/table.ts';
import type { Connection } from '../connection/connection.ts';
import { type Opened, reach } from './connect-steps.ts';
import { checkProfile, checkSink, checkSource, type Tested } from './message-steps.ts';
import { CheckSteps } from './steps.ts';

/**
 * Tests a profile or a table against the real broker: `resolve → tcp → tls → websocket → mqtt_connect`, then what the
 * table is for. It logs in under an id of its own with a clean session and no last will, so it disturbs nobody and
 * leaves nothing behind. See `check` in the connector contract.
 */
export async function check(context: CheckContext<MqttProfile, MqttTable>): Promise<void> {
  const steps = new CheckSteps(context);
  const opened: Opened[] = [];
  try {
    const connection = await reachAny(context, steps, opened);
    const tested: Tested = { context, steps, connection };
    if (context.table === undefined) await checkProfile(tested);
    else if (direction(context.table) === 'source') await checkSource(tested, context.table);
    else await checkSink(tested, context.table);
  } finally {
    await Promise.all(opened.map((one) => close(one, context.signal.aborted)));
  }
}

/** Tries every server of the profile, because failing over is no time to learn of a wrong one. Answers the first. */
async function reachAny(
  context: CheckContext<MqttProfile, MqttTable>,
  steps: CheckSteps,
  opened: Opened[],
): Promise<Connection | undefined> {
  const parsed = parseUrls(context.profile.url);
  const endpoints = typeof parsed === 'string' ? [undefined] : parsed;
  if (endpoints.length === 1) return reachOne(context, steps, opened, endpoints[0]);
  let first: Connection | undefined;
  for (const [index, endpoint] of endpoints.entries()) {
    const last = index === endpoints.length - 1;
    steps.begin(describeEndpoint(endpoint as Endpoint), first !== undefined || !last);
    const connection = await reachOne(context, steps, opened, endpoint);
    first ??= connection;
  }
  steps.goOn(first === undefined);
  return first;
}

function reachOne(
  context: CheckContext<MqttProfile, MqttTable>,
  steps: CheckSteps,
  opened: Opened[],
  endpoint: Endpoint | undefined,
): Promise<Connection | undefined> {
  const mine: Opened = {};
  opened.push(mine);
  return reach(context, steps, mine, endpoint);
}

async function close({ connection, stream }: Opened, atOnce: boolean): Promise<void> {
  if (atOnce) await connection?.destroy();
  await connection?.close();
  stream?.destroy();
}
