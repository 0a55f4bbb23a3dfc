import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import { PenstockError } from '../errors.ts';
import { bodyProblems, problems } from './problem.ts';
import { Collection, IdParams, nothing, nullable, strict } from './schemas.ts';

const sentence =
  'User-defined functions are not supported: remove this one, and write the query with SQL functions';

const never = 'Not returned while functions are not supported';

const Definition = Type.String({ maxLength: 100_000 });
const Language = Type.Optional(Type.Enum(['python', 'rust']));
const definition = 'def double(x: int) -> int: return 2 * x';

const UdfValidationResult = Type.Object(
  { udf_name: nullable(Type.String()), errors: Type.Array(Type.String()) },
  { title: 'UdfValidationResult', examples: [{ udf_name: null, errors: [sentence] }] },
);

const SqlFunction = Type.Object(
  {
    name: Type.String({ description: 'In lower case; a query may write it in any case' }),
    kind: Type.Enum(['scalar', 'aggregate', 'window'], {
      description:
        'scalar: for each row. aggregate: over the rows of a GROUP BY. window: with OVER, or for windows in time in a ' +
        'GROUP BY',
    }),
    signatures: Type.Array(Type.String(), {
      description:
        'One for each number of arguments. A type is shown if there is only one; … stands for more arguments',
    }),
    description: nullable(Type.String()),
  },
  {
    title: 'SqlFunction',
    examples: [
      {
        name: 'starts_with',
        kind: 'scalar',
        signatures: ['starts_with(string VARCHAR, search_string VARCHAR)'],
        description: 'Returns `true` if `string` begins with `search_string`.',
      },
    ],
  },
);

/** Throws if a pipeline is to have functions. */
export function refuseUdfs(udfs: readonly unknown[] | null | undefined): void {
  if (!udfs || udfs.length === 0) return;
  throw new PenstockError('invalid_request', 'User-defined functions are not supported', {
    hint: 'Send no udfs, and write the query with SQL functions.',
    errors: [{ path: '/udfs', message: 'must be empty: user-defined functions are not supported' }],
  });
}

/** Functions of SQL, and user-defined functions, of which there are none. Arroyo's console asks for the latter. */
export const udfs = (): FastifyPluginAsyncTypebox => async (app) => {
  const tags = ['pipelines'];

  app.get(
    '/functions',
    {
      schema: {
        operationId: 'listFunctions',
        summary: 'List the SQL functions that a query may call, by name',
        tags,
        response: { 200: Collection(SqlFunction), ...problems() },
      },
    },
    async () => ({ data: [...(await (await import('../sql/function-list.ts')).listFunctions())] }),
  );

  app.get(
    '/udfs',
    {
      schema: {
        operationId: 'listUdfs',
        summary: 'List user-defined functions (always empty)',
        tags,
        response: { 200: Collection(Type.Unknown({ examples: [{}] })), ...problems() },
      },
    },
    async () => ({ data: [] }),
  );

  app.post(
    '/udfs/validate',
    {
      config: { audited: false },
      schema: {
        operationId: 'validateUdf',
        summary: 'Check a user-defined function (none is supported)',
        tags,
        body: Type.Object(
          { definition: Definition, language: Language },
          { ...strict, examples: [{ definition, language: 'python' }] },
        ),
        response: { 200: UdfValidationResult, ...bodyProblems() },
      },
    },
    async () => ({ udf_name: null, errors: [sentence] }),
  );

  app.post(
    '/udfs',
    {
      schema: {
        operationId: 'createUdf',
        summary: 'Refuse a user-defined function (none is supported)',
        tags,
        body: Type.Object(
          {
            definition: Definition,
            language: Language,
            prefix: Type.Optional(nullable(Type.String({ maxLength: 1_000 }))),
            description: Type.Optional(nullable(Type.String({ maxLength: 10_000 }))),
          },
          { ...strict, examples: [{ definition, language: 'python', prefix: '', description: '' }] },
        ),
        response: { 200: nothing(never), ...bodyProblems() },
      },
    },
    async () => {
      throw new PenstockError('invalid_request', 'User-defined functions are not supported', {
        hint: 'Write the query with SQL functions.',
        errors: [
          { path: '/definition', message: 'cannot be stored: user-defined functions are not supported' },
        ],
      });
    },
  );

  app.delete(
    '/udfs/:id',
    {
      schema: {
        operationId: 'deleteUdf',
        summary: 'Delete a user-defined function (there is none)',
        tags,
        params: IdParams,
        response: { 200: nothing(never), ...bodyProblems(404) },
      },
    },
    async ({ params }) => {
      throw new PenstockError('not_found', `There is no user-defined function ${params.id}`);
    },
  );
};
