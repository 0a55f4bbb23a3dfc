import { Grid, Stack, Text } from '@mantine/core';
import { withTheme } from '@rjsf/core';
import { Theme } from '@rjsf/mantine';
import type {
  ErrorSchema,
  FieldTemplateProps,
  ObjectFieldTemplateProps,
  RJSFSchema,
  RJSFValidationError,
  UiSchema,
  ValidatorType,
} from '@rjsf/utils';
import { type ReactNode, useMemo } from 'react';
import { Check, Errors as errorsIn } from 'typebox/schema';
import { drawn, type FieldErrors, type Json, noErrors, type Schema } from './form-values.ts';
import { namesIn } from './json-text.ts';
import { Fold } from './parts.tsx';
import {
  BaseInput,
  Errors,
  MapField,
  PemInput,
  SecretInput,
  SelectInput,
  ServersInput,
  SuggestedInput,
  SwitchInput,
  TagsField,
} from './schema-widgets.tsx';

/** A form made from a JSON Schema. It is large: load it with parts/lazy.tsx. */

/** Interprets schemas, because the content security policy of the console allows no compiled ones. */
const validator: ValidatorType = {
  isValid: (schema, data) => Check(schema as never, data),
  rawValidation: (schema, data) => ({ errors: errorsIn(schema as never, data)[1] as never[] }),
  validateFormData: (data, schema) => {
    const [, found] = errorsIn(schema as never, data) as [
      boolean,
      { message: string; instancePath: string }[],
    ];
    const errors = found.map(({ message, instancePath }) => ({
      message,
      property: instancePath,
      stack: message,
    }));
    return {
      errors: errors as RJSFValidationError[],
      errorSchema: nested(
        Object.fromEntries(found.map(({ message, instancePath }) => [instancePath, [message]])),
      ),
    };
  },
};

const Form = withTheme({
  ...Theme,
  templates: {
    ...Theme.templates,
    BaseInputTemplate: BaseInput,
    FieldTemplate: Plain,
    ObjectFieldTemplate: Section,
  },
  widgets: {
    ...Theme.widgets,
    CheckboxWidget: SwitchInput,
    SelectWidget: SelectInput,
    SecretInput,
    PemInput,
    ServersInput,
    SuggestedInput,
  } as never,
  fields: { TagsField, MapField } as never,
});

export interface SchemaFormProps {
  schema: Schema;
  value: Json;
  onChange(value: Json): void;
  /** Errors by JSON pointer into the value. */
  errors?: FieldErrors;
  disabled?: boolean;
  /** Fields with a list of servers, which are one text for the API. */
  servers?: readonly string[];
  /** Fields for which the server of a profile offers values. */
  suggested?: { profileId: string | null; fields: readonly string[] };
  /** Begins the ids of its inputs; different for each form of a page. */
  id: string;
}

export function SchemaForm(props: SchemaFormProps): ReactNode {
  const { schema, value, onChange, errors = noErrors, disabled = false, servers = none, id } = props;
  const { suggested } = props;
  const shown = useMemo(() => drawn(schema, value), [schema, value]);
  const ui = useMemo(() => uiOf(shown, servers, suggested), [shown, servers, suggested]);
  const extra = useMemo(() => nested(errors), [errors]);
  return (
    <Form
      schema={shown as RJSFSchema}
      uiSchema={ui}
      formData={value}
      onChange={({ formData }) => onChange(formData as Json)}
      validator={validator}
      extraErrors={extra}
      disabled={disabled}
      idPrefix={id}
      tagName="div"
      noHtml5Validate
      noValidate
      showErrorList={false}
      experimental_defaultFormStateBehavior={{ emptyObjectFields: 'skipDefaults' }}
    >
      {/* No button: the page has its own. */}
      <span />
    </Form>
  );
}
const none: readonly string[] = [];

const manyLines = 1000;

/** Says which input each field gets. */
function uiOf(
  schema: Schema,
  servers: readonly string[],
  suggested?: SchemaFormProps['suggested'],
): UiSchema {
  const ui: UiSchema = {};
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    const secret = schema.sensitive?.includes(name) ?? false;
    if ((inner.maxLength ?? 0) >= manyLines) ui[name] = { 'ui:widget': 'PemInput' };
    else if (secret) ui[name] = { 'ui:widget': 'SecretInput' };
    else if (servers.includes(name)) ui[name] = { 'ui:widget': 'ServersInput' };
    else if (suggested?.fields.includes(name))
      ui[name] = { 'ui:widget': 'SuggestedInput', 'ui:options': { profileId: suggested.profileId } };
    else if (inner.type === 'array' && inner.items?.type === 'string') ui[name] = { 'ui:field': 'TagsField' };
    else if (inner.type === 'object' && inner.properties === undefined) ui[name] = { 'ui:field': 'MapField' };
    else if (inner.properties) ui[name] = uiOf(inner, none);
    else ui[name] = {};
    const hint = inner.default ?? inner.examples?.[0];
    if (hint !== undefined && hint !== '')
      ui[name]['ui:placeholder'] = inner.enum ? `${hint} (default)` : `${hint}`;
  }
  return ui;
}

/** Errors as rjsf nests them. */
function nested(errors: FieldErrors): ErrorSchema {
  const root: ErrorSchema = {};
  for (const [pointer, messages] of Object.entries(errors)) {
    let at = root as Record<string, unknown>;
    for (const name of namesIn(pointer)) {
      if (name === '__proto__') break;
      at[name] ??= {};
      at = at[name] as Record<string, unknown>;
    }
    at.__errors = [...((at.__errors as string[] | undefined) ?? []), ...messages];
  }
  return root;
}

function Plain({ children, hidden }: FieldTemplateProps): ReactNode {
  return hidden ? null : children;
}

const muchHelp = 200;
const isWide = (schema: Schema | undefined): boolean =>
  schema?.type === 'object' ||
  (schema?.maxLength ?? 0) >= manyLines ||
  (schema?.description?.length ?? 0) >= muchHelp;

/** Options that few people need: they are folded until they are set. */
const rare =
  /timeout|expiry|max|full|interval|keepalive|prefix|alpn|servername|protocolversion|skipverify|application|batch|concurrency|idempotency|order_by|paging|cursor|will|multipart|rolling|naming|content|response|correlation|userproperties/i;

const messagesIn = (errorSchema: ErrorSchema | undefined): string[] =>
  (errorSchema as { __errors?: string[] } | undefined)?.__errors ?? [];

/** The fields of an object in two columns. Rare ones, and objects within, can be folded. */
function Section(props: ObjectFieldTemplateProps): ReactNode {
  const { properties, fieldPathId, title, description, schema, formData, errorSchema } = props;
  const values = (formData ?? {}) as Json;
  const wrong = errorSchema as Record<string, ErrorSchema | undefined> | undefined;
  const isRare = (name: string): boolean => rare.test(name) && !schema.required?.includes(name);
  const shown = properties.filter(({ hidden }) => !hidden);
  const [usual, other] = [
    shown.filter(({ name }) => !isRare(name)),
    shown.filter(({ name }) => isRare(name)),
  ];
  const folds = usual.length > 0 && other.length > 1;
  const fields = (
    <Stack gap="md">
      <Errors errors={messagesIn(errorSchema)} />
      <Columns schema={schema as Schema} properties={folds ? usual : shown} />
      {folds && (
        <Fold
          title={`More options (${other.length})`}
          open={other.some(({ name }) => values[name] !== undefined)}
          wrong={other.some(({ name }) => wrong?.[name] !== undefined)}
        >
          <Columns schema={schema as Schema} properties={other} />
        </Fold>
      )}
    </Stack>
  );
  if (fieldPathId.path.length === 0) return fields;
  const open = Object.keys(values).length > 0 || (schema.required?.length ?? 0) > 0;
  return (
    <Fold title={title} open={open} wrong={Object.keys(wrong ?? {}).length > 0}>
      {description && (
        <Text size="xs" c="dimmed" mb="xs">
          {description}
        </Text>
      )}
      {fields}
    </Fold>
  );
}

type Properties = ObjectFieldTemplateProps['properties'];

const Columns = ({ schema, properties }: { schema: Schema; properties: Properties }): ReactNode => (
  <Grid gap="md">
    {properties.map(({ name, content }) => (
      <Grid.Col key={name} span={{ base: 12, sm: isWide(schema.properties?.[name]) ? 12 : 6 }}>
        {content}
      </Grid.Col>
    ))}
  </Grid>
);
