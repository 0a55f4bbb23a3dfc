import { PenstockError } from '../../errors.ts';
import { schemaTypes } from '../../formats/registered.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import type { CheckContext } from '../connector.ts';
import { CheckSteps, type Finding } from '../network/check-steps.ts';
import type { RegistryClient } from './client.ts';
import { type Connected, registryClient } from './schemas.ts';
import {
  notRegistered,
  placeOf,
  type RegistryFormat,
  registryFormatOf,
  subjectOf,
  writtenBy,
} from './subject.ts';

/** A table to test with the direction of its connector, or a profile alone. */
type Tested = Connected & { schema: ConnectionSchema | undefined };

/** Runs the step `schema_registry`: whether it can be reached and has what the table needs. Registers nothing. */
export async function registryStep(
  context: Pick<CheckContext<unknown, unknown>, 'report' | 'signal' | 'stepTimeoutMs'>,
  tested: Tested,
): Promise<void> {
  const format = tested.schema && registryFormatOf(tested.schema);
  if (!format && (tested.config !== undefined || !tested.connector.registryOf?.(tested.profile, undefined)))
    return;
  await new CheckSteps(context).run('schema_registry', async (signal) => {
    const client = registryClient(tested, signal);
    try {
      const types = await client.types();
      const details = { address: client.address, types };
      if (!format || !tested.schema) return reached(client, details);
      const type = schemaTypes[format.type];
      if (!types.includes(type))
        throw new PenstockError('schema_registry_refused', `The schema registry does not know ${type}`);
      const finding = await tableFinding(client, tested, format);
      return { ...finding, details: { ...details, ...finding.details } };
    } finally {
      await client.close();
    }
  });
}

const reached = (client: RegistryClient, details: object): Finding<true> => ({
  value: true,
  message: `The schema registry at ${client.address} responds`,
  details: { ...details },
});

async function tableFinding(
  client: RegistryClient,
  tested: Tested,
  format: RegistryFormat,
): Promise<Finding<true>> {
  if (tested.connector.direction(tested.config) === 'source') return sourceFinding(client, tested, format);
  if (typeof format.schema_id === 'number') return idFinding(client, format, format.schema_id);
  return sinkFinding(client, tested, format);
}

async function idFinding(client: RegistryClient, format: RegistryFormat, id: number): Promise<Finding<true>> {
  const found = await client.schema(id);
  if (!found)
    throw new PenstockError(
      'schema_not_registered',
      `The schema registry has no schema with the id ${id}, the schema_id of the format`,
    );
  refuseOtherType(`The schema with the id ${id}`, found.type, format);
  return { value: true, message: `The schema registry has the id ${id}`, details: { id } };
}

async function sourceFinding(
  client: RegistryClient,
  tested: Tested,
  format: RegistryFormat,
): Promise<Finding<true>> {
  const named = subjectOf(tested, format, undefined);
  if (typeof named === 'string') return reached(client, {});
  const { subject } = named;
  const found = await client.latest(subject);
  // The ids in the messages count, whatever their subject.
  if (!found)
    return {
      value: true,
      code: 'schema_not_registered',
      message: `The schema registry has no subject ${JSON.stringify(subject)}`,
      hint: 'If the messages have schemas of another subject, set subject in the format.',
      details: { subject },
    };
  refuseOtherType(`The latest schema of ${JSON.stringify(subject)}`, found.type, format);
  const message = `The subject ${JSON.stringify(subject)} has version ${found.version}, with the id ${found.id}`;
  return { value: true, message, details: { subject, version: found.version, id: found.id } };
}

async function sinkFinding(
  client: RegistryClient,
  tested: Tested,
  format: RegistryFormat,
): Promise<Finding<true>> {
  const { schema = {} } = tested;
  if (!schema.fields?.length) return reached(client, {});
  const written = writtenBy(schema, format);
  const named = subjectOf(tested, format, written.name);
  if (typeof named === 'string')
    throw new PenstockError('invalid_config', `The subject in the schema registry ${named}`, {
      hint: 'Set subject in the format of the table.',
    });
  const { subject } = named;
  const type = schemaTypes[format.type];
  const shown = JSON.stringify(subject);
  const found = await placeOf(client, subject, schema, format, written);
  if (found) {
    const { version, id } = found;
    const message = `The subject ${shown} has the schema of the sink as version ${version}, with the id ${id}`;
    return { value: true, message, details: { subject, version, id } };
  }
  if (format.register_schema === false) throw notRegistered(subject);
  if ((await client.allows(type, subject, written)) === false)
    throw new PenstockError(
      'schema_incompatible',
      `The schema of the sink is not compatible with the latest one of the subject ${shown}`,
      {
        hint: 'Take the latest schema of the subject as the definition of the table, or change the compatibility of the subject.',
      },
    );
  const message = `The schema of the sink will be registered in the subject ${shown}`;
  return { value: true, message, details: { subject } };
}

function refuseOtherType(subject: string, type: string, format: RegistryFormat): void {
  const wanted = schemaTypes[format.type];
  if (type === wanted) return;
  throw new PenstockError(
    'invalid_schema',
    `${subject} is ${type}, but the format of the table is ${wanted}`,
    {
      hint: 'Change the format of the table, or the topic or subject.',
    },
  );
}
