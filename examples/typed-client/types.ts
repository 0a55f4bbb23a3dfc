// Made from openapi/openapi.json by `npm run openapi`.

export type Problem = {
  /** Where this kind of error is described */
  type: string;
  /** The kind of error */
  title: string;
  /** The HTTP status */
  status: number;
  /** What is wrong with this request */
  detail: string;
  /** The request id, to find it in the log */
  instance: string;
  /** A stable name to decide on in a program */
  code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "illegal_state" | "host_not_allowed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "cannot_share" | "thread_lost" | "query_too_slow" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_no_message" | "mqtt_protocol_error";
  /** What to do about it */
  hint: string | null;
  errors: Array<{
    /** JSON pointer into what was sent; empty for the whole */
    path: string;
    message: string;
  }>;
  /** The same as detail, where Arroyo has it */
  error: string;
};

export type Field = {
  name: string;
  /** Type of the value */
  type: "int32" | "int64" | "uint32" | "uint64" | "float32" | "float64" | "decimal128" | "bool" | "string" | "bytes" | "timestamp" | "json" | "struct" | "list";
  /** timestamp only: precision; default millisecond */
  unit?: "second" | "millisecond" | "microsecond" | "nanosecond";
  /** decimal128 only: total number of digits */
  precision?: number;
  /** decimal128 only: digits after the decimal point */
  scale?: number;
  /** struct only */
  fields?: Array<Field>;
  items?: ListItem;
  /** Whether a missing or null value makes the message bad; default false */
  required?: boolean;
  /** Type in SQL; ignored in requests */
  sql_name?: string | null;
  /** Key of the connector's metadata that fills this column instead of the payload */
  metadata_key?: string | null;
};

export type ListItem = {
  name?: string;
  /** Type of the value */
  type: "int32" | "int64" | "uint32" | "uint64" | "float32" | "float64" | "decimal128" | "bool" | "string" | "bytes" | "timestamp" | "json" | "struct" | "list";
  /** timestamp only: precision; default millisecond */
  unit?: "second" | "millisecond" | "microsecond" | "nanosecond";
  /** decimal128 only: total number of digits */
  precision?: number;
  /** decimal128 only: digits after the decimal point */
  scale?: number;
  /** struct only */
  fields?: Array<Field>;
  items?: ListItem;
  /** Whether a missing or null value makes the message bad; default false */
  required?: boolean;
  /** Type in SQL; ignored in requests */
  sql_name?: string | null;
};

export type ConnectionSchema = {
  format?: JsonFormat | AvroFormat | ProtobufFormat | ParquetFormat | RawStringFormat | RawBytesFormat | CsvFormat | CborFormat | MsgpackFormat | SparkplugBFormat | null;
  bad_data?: {
    /** fail stops the job, drop counts and skips the message, dead_letter keeps it for repair and replay */
    behavior: "fail" | "drop" | "dead_letter";
    /** dead_letter only: maximum number of dead letters in a pipeline; default 10000 */
    max_count?: number;
    /** dead_letter only: maximum total size of their payloads in bytes; default 104857600 */
    max_bytes?: number;
    /** dead_letter only: whether a full store drops the oldest or fails the job; default drop_oldest */
    when_full?: "drop_oldest" | "fail";
  } | null;
  framing?: NewlineFraming | null;
  fields?: Array<Field>;
  definition?: JsonSchemaDefinition | ProtobufDefinition | AvroDefinition | null;
  inferred?: boolean | null;
  primary_keys?: Array<string>;
};

export type TestMessage = {
  /** Whether this step, or in the last event the test, failed */
  error: boolean;
  /** Whether this is the last event */
  done: boolean;
  message: string;
  /** The step; `summary` in the last event */
  name: string;
  outcome: "ok" | "warning" | "failed" | "skipped";
  durationMs: number;
  code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "illegal_state" | "host_not_allowed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "cannot_share" | "thread_lost" | "query_too_slow" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_no_message" | "mqtt_protocol_error" | null;
  /** What to do about it */
  hint: string | null;
  details: Record<string, unknown>;
};

export type TestResult = {
  /** Whether this step, or in the last event the test, failed */
  error: boolean;
  /** Whether this is the last event */
  done: boolean;
  message: string;
  /** The step; `summary` in the last event */
  name: string;
  outcome: "ok" | "warning" | "failed" | "skipped";
  durationMs: number;
  code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "illegal_state" | "host_not_allowed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "cannot_share" | "thread_lost" | "query_too_slow" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_no_message" | "mqtt_protocol_error" | null;
  /** What to do about it */
  hint: string | null;
  details: Record<string, unknown>;
  steps: Array<TestMessage>;
};

export type PipelineGraph = {
  nodes: Array<{
    node_id: number;
    operator: string;
    description: string;
    parallelism: number;
  }>;
  edges: Array<{
    src_id: number;
    dest_id: number;
    key_type: string;
    value_type: string;
    edge_type: string;
  }>;
};

export type TailEvent = {
  /** Whether the message is bad, or in the last event why the tail ended early */
  error: boolean;
  /** Whether this is the last event */
  done: boolean;
  message: string;
  /** listening: messages that arrive from now on are seen. row, bad_message: one message. left_out: messages were not shown. summary: the last event */
  name: "listening" | "row" | "bad_message" | "left_out" | "summary";
  hint?: string | null;
  /** row: the columns as the table has them, numbers exact, bytes in base64, times in RFC 3339; null when too large */
  row?: Record<string, unknown> | null;
  /** Every metadata column of the connector; null when too large */
  metadata?: Record<string, unknown> | null;
  /** Unix microseconds */
  received_at?: number;
  /** Of the payload */
  bytes?: number;
  code?: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "illegal_state" | "host_not_allowed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "cannot_share" | "thread_lost" | "query_too_slow" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_no_message" | "mqtt_protocol_error" | null;
  /** bad_message: JSON pointers into the message, and what is wrong there */
  errors?: Array<{
    path: string;
    message: string;
  }>;
  /** bad_message: the first 4096 bytes */
  payload?: {
    text: string | null;
    base64: string | null;
    truncated: boolean;
  };
  /** left_out: how many since the last such event */
  left_out?: number;
  /** summary */
  counts?: {
    /** Arrived */
    messages: number;
    /** Shown as rows */
    rows: number;
    /** Shown with what is wrong with them */
    bad_messages: number;
    /** Not shown, because there were too many */
    left_out: number;
  };
};

export type Job = {
  id: string;
  pipeline_id: string;
  /** Whether it is meant to run */
  running_desired: boolean;
  state: "Created" | "Scheduling" | "Running" | "Recovering" | "Restarting" | "Stopping" | "Stopped" | "Finishing" | "Finished" | "Failing" | "Failed";
  /** Counts its starts */
  run_id: number;
  start_time: number | null;
  finish_time: number | null;
  tasks: number | null;
  failure_reason: {
    error: string;
    /** Whose business it is */
    domain: "user" | "external" | "internal";
    /** As in a problem */
    code: string;
  } | null;
  /** Unix microseconds */
  created_at: number;
  /** Always empty */
  scheduler_config: Record<string, unknown>;
  /** Always empty */
  env_vars: Record<string, unknown>;
  /** Unix microseconds */
  state_since: number;
  /** How often it has lost a connection since it last ran for a minute on end */
  recoveries: number;
  /** When it lost the first of them */
  recovering_since: number | null;
  /** Whether it keeps falling over: 5 times or more without running for a minute on end */
  crash_looping: boolean;
};

export type TaskStatus = {
  index: number;
  /** Whether both its ends are */
  connected: boolean;
  /** What went in and out since the job began here. Between source and sink messages are rows */
  operators: Array<{
    operator_id: string;
    /** Of the pipeline's graph */
    node_id: number;
    kind: "source" | "transform" | "sink";
    messages_in: number;
    messages_out: number;
    /** Null where rows are not bytes */
    bytes_in: number | null;
    bytes_out: number | null;
  }>;
  /** Messages and rows that could not be used */
  bad: number;
  /** Messages received and not acknowledged yet */
  in_flight: number;
  batches: number;
  /** Messages in a batch, on average */
  batch_size: number | null;
  /** From the arrival of a batch to the confirmation of the sink, over the last one to two minutes; at most a tenth too high. Null when nothing was sent */
  latency_ms: {
    p50: number;
    p95: number;
    p99: number;
  } | null;
  /** How often it began again after an error */
  reconnects: number;
  last_error: {
    code: string;
    message: string;
    at: number;
  } | null;
  /** Unix microseconds */
  sampled_at: number;
};

export type PipelineEvent = {
  /** state: the job, at first and whenever something of it changes. tasks: what its tasks have counted. rates: what went through all of them in one second. deleted: the pipeline is gone; the last event */
  name: "state" | "tasks" | "rates" | "deleted";
  job?: Job;
  tasks?: Array<TaskStatus>;
  rates?: {
    /** Unix microseconds: the end of the second */
    at: number;
    messages_in: number;
    bytes_in: number;
    rows_in: number;
    rows_out: number;
    messages_out: number;
    bytes_out: number;
    bad: number;
  };
};

export type OutputData = {
  operator_id: string;
  subtask_idx: number;
  /** Unix microseconds: when the message of each row came */
  timestamps: Array<number>;
  /** The number of the first row */
  start_id: number;
  /** JSON: the rows */
  batch: string;
  /** Messages and rows that could not be used */
  bad?: Array<{
    code: string;
    message: string;
    errors: Array<{
      path: string;
      message: string;
    }>;
  }>;
  /** Messages and rows not shown: there were too many */
  left_out?: number;
  /** In the last event */
  done?: boolean;
  /** In the last event: why it ended early */
  error?: {
    code: string;
    message: string;
  } | null;
};

export type InferredSchema = {
  /** What came of it, for people */
  message: string;
  hint: string | null;
  /** How many were looked at */
  messages: number;
  /** Of their payloads */
  bytes: number;
  /** How long they took to arrive, from the subscription on */
  elapsed_ms: number;
  /** How many messages are of each kind */
  kinds: {
    json_object: number;
    json_other: number;
    text: number;
    bytes: number;
    empty: number;
    too_large: number;
  };
  /** How many are compressed; they count by what is in them */
  gzip: number;
  /** As POST /connection_tables takes it; null when no table can read these messages */
  schema: ConnectionSchema | null;
  /** What supports each field, nested ones too */
  fields: Array<{
    /** JSON pointer into a message; the items of a list are * */
    path: string;
    type: "int32" | "int64" | "uint32" | "uint64" | "float32" | "float64" | "decimal128" | "bool" | "string" | "bytes" | "timestamp" | "json" | "struct" | "list";
    /** It was always there and never null, in 10 objects or more */
    required: boolean;
    /** How often it was there, null included */
    present: number;
    /** How many objects could have had it; of the items of lists, how many there were */
    of: number;
    /** How many values of each type */
    types: Record<string, number>;
    note: string | null;
  }>;
  notes: Array<string>;
  /** The first 10 messages, read with the schema */
  preview: Array<TailEvent>;
};

export type JsonFormat = {
  type: "json";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Refused when true: schema registries are not supported */
  confluent_schema_registry?: boolean;
  /** Known from Arroyo and refused: omit it, or send null */
  schema_id?: null;
  /** Wraps each message as {schema, payload}, like Kafka Connect */
  include_schema?: boolean;
  /** Wraps each message in the envelope of a change: {before, after, op} */
  debezium?: boolean;
  /** Puts the whole document into one json column called value */
  unstructured?: boolean;
  /** Encoding of timestamps; default rfc3339 */
  timestamp_format?: "rfc3339" | "unix_millis";
  /** Encoding of decimals; default number. bytes is base64 of the unscaled digits as a big-endian two's complement */
  decimal_encoding?: "number" | "string" | "bytes";
};

export type AvroFormat = {
  type: "avro";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Refused when true: schema registries are not supported */
  confluent_schema_registry?: boolean;
  /** Each message is one datum without a header */
  raw_datums?: boolean;
  /** Each message is one datum behind the header of the single-object encoding */
  single_object?: boolean;
  /** Puts the whole message into one json column called value */
  into_unstructured_json?: boolean;
  /** Known from Arroyo and refused: omit it, or send null */
  reader_schema?: null;
  /** Known from Arroyo and refused: omit it, or send null */
  schema_id?: null;
};

export type ProtobufFormat = {
  type: "protobuf";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Refused when true: schema registries are not supported */
  confluent_schema_registry?: boolean;
  /** Puts the whole message into one json column called value */
  into_unstructured_json?: boolean;
  /** Full name of the message type; optional if the definition has only one */
  message_name?: string | null;
  /** Known from Arroyo and refused: omit it, or send null */
  compiled_schema?: null;
  /** A message holds any number of records, each behind its length as a varint */
  length_delimited?: boolean;
};

export type ParquetFormat = {
  type: "parquet";
  compression?: unknown;
  row_group_bytes?: unknown;
};

export type RawStringFormat = {
  type: "raw_string";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
};

export type RawBytesFormat = {
  type: "raw_bytes";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
};

export type CsvFormat = {
  type: "csv";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Character between the values; default a comma */
  delimiter?: string;
  /** Character around a value; default " */
  quote?: string;
  /** Each message begins with a line of column names; otherwise columns are in the order of the fields */
  header?: boolean;
  /** Unquoted text that stands for null; default empty */
  null_value?: string;
};

export type CborFormat = {
  type: "cbor";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Puts the whole message into one json column called value */
  into_unstructured_json?: boolean;
};

export type MsgpackFormat = {
  type: "msgpack";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Puts the whole message into one json column called value */
  into_unstructured_json?: boolean;
};

export type SparkplugBFormat = {
  type: "sparkplug_b";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
};

export type NewlineFraming = {
  method: "newline";
  /** Maximum bytes of a line; a longer one is bad data. Default unlimited */
  max_line_length?: number | null;
};

export type JsonSchemaDefinition = {
  type: "json_schema";
  schema: string;
};

export type ProtobufDefinition = {
  type: "protobuf_schema";
  schema: string;
  /** Imported files by their import name */
  dependencies?: Record<string, string>;
};

export type AvroDefinition = {
  type: "avro_schema";
  schema: string;
};

export type Connector = {
  id: string;
  name: string;
  /** An SVG document */
  icon: string;
  description: string;
  enabled: boolean;
  /** Whether tables can be read from it */
  source: boolean;
  /** Whether tables can be written to it */
  sink: boolean;
  /** Whether its connections can be tested */
  testing: boolean;
  /** Whether a table brings its own schema */
  custom_schemas: boolean;
  hidden: boolean;
  /** JSON Schema of a profile's config, as text */
  connection_config: string;
  /** JSON Schema of a table's config, as text */
  table_config: string;
};

export type ConnectorDetail = {
  id: string;
  name: string;
  /** An SVG document */
  icon: string;
  description: string;
  enabled: boolean;
  /** Whether tables can be read from it */
  source: boolean;
  /** Whether tables can be written to it */
  sink: boolean;
  /** Whether its connections can be tested */
  testing: boolean;
  /** Whether a table brings its own schema */
  custom_schemas: boolean;
  hidden: boolean;
  /** JSON Schema of a profile's config, as text */
  connection_config: string;
  /** JSON Schema of a table's config, as text */
  table_config: string;
  /** connection_config, parsed */
  connection_schema: Record<string, unknown>;
  /** table_config, parsed */
  table_schema: Record<string, unknown>;
  /** What a field can name as its metadata_key */
  metadata_columns: Array<{
    name: string;
    type: string;
    description: string;
  }>;
};

export type ConnectionProfile = {
  id: string;
  name: string;
  connector: string;
  /** As the connector's schema says (GET /connectors/{id}) */
  config: Record<string, unknown>;
  /** The address, for people */
  description: string;
  /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
  labels: Record<string, string>;
};

export type ConnectionProfilePost = {
  /** Unique among its kind */
  name: string;
  connector: string;
  /** As the connector's schema says (GET /connectors/{id}) */
  config: Record<string, unknown>;
  /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
  labels?: Record<string, string>;
};

export type SavedConnectionProfile = {
  id: string;
  name: string;
  connector: string;
  /** As the connector's schema says (GET /connectors/{id}) */
  config: Record<string, unknown>;
  /** The address, for people */
  description: string;
  /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
  labels: Record<string, string>;
  /** The running pipelines that take over the change, each after what it has in flight */
  drains: Array<{
    id: string;
    name: string;
  }>;
};

export type ConnectionProfilePatch = {
  /** Unique among its kind */
  name?: string;
  connector?: string;
  /** As the connector's schema says (GET /connectors/{id}) */
  config?: Record<string, unknown>;
  /** Labels to set, or with null to remove */
  labels?: Record<string, string | null> | null;
};

export type ConnectionTable = {
  id: string;
  name: string;
  /** Unix microseconds */
  created_at: number;
  connector: string;
  connection_profile: ConnectionProfile | null;
  connection_profile_id: string | null;
  table_type: "source" | "sink";
  /** As the connector's schema says (GET /connectors/{id}) */
  config: Record<string, unknown>;
  schema: ConnectionSchema;
  /** Pipelines that use it */
  consumers: number;
  /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
  labels: Record<string, string>;
};

export type ConnectionTablePost = {
  /** Unique among its kind */
  name: string;
  connector: string;
  connection_profile_id?: string | null;
  /** As the connector's schema says (GET /connectors/{id}) */
  config: Record<string, unknown>;
  schema?: ConnectionSchema | null;
  /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
  labels?: Record<string, string>;
};

export type SavedConnectionTable = {
  id: string;
  name: string;
  /** Unix microseconds */
  created_at: number;
  connector: string;
  connection_profile: ConnectionProfile | null;
  connection_profile_id: string | null;
  table_type: "source" | "sink";
  /** As the connector's schema says (GET /connectors/{id}) */
  config: Record<string, unknown>;
  schema: ConnectionSchema;
  /** Pipelines that use it */
  consumers: number;
  /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
  labels: Record<string, string>;
  /** The running pipelines that take over the change, each after what it has in flight */
  drains: Array<{
    id: string;
    name: string;
  }>;
};

export type ConnectionTablePatch = {
  /** Unique among its kind */
  name?: string;
  connector?: string;
  connection_profile_id?: string;
  /** As the connector's schema says (GET /connectors/{id}) */
  config?: Record<string, unknown>;
  /** A merge patch for the schema */
  schema?: Record<string, unknown>;
  /** Labels to set, or with null to remove */
  labels?: Record<string, string | null> | null;
};

export type Pipeline = {
  id: string;
  name: string;
  query: string;
  /** Always empty */
  udfs: Array<unknown>;
  checkpoint_interval_micros: number;
  /** none: run. checkpoint, graceful: drain, then stop. immediate, force: stop at once */
  stop: "none" | "checkpoint" | "graceful" | "immediate" | "force";
  /** Unix microseconds */
  created_at: number;
  /** What to send as stop for the action offered */
  action: "none" | "checkpoint" | "graceful" | "immediate" | "force" | null;
  /** The caption of that action */
  action_text: string;
  action_in_progress: boolean;
  graph: PipelineGraph;
  preview: boolean;
  state_url: null;
  tags: Record<string, string>;
  parallelism: number;
  /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
  labels: Record<string, string>;
};

export type DeadLetter = {
  id: string;
  /** Unix microseconds */
  created_at: number;
  /** Unix microseconds */
  received_at: number;
  /** The table it was read as */
  source_table: string;
  operator_id: string;
  task_index: number;
  /** Of the payload */
  bytes: number;
  /** Where it failed */
  stage: "decode" | "transform" | "encode" | "write";
  /** As in a problem */
  code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "illegal_state" | "host_not_allowed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "cannot_share" | "thread_lost" | "query_too_slow" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_no_message" | "mqtt_protocol_error";
  /** What was wrong first */
  message: string;
  /** The first 20 */
  errors: Array<{
    /** Where it failed */
    stage: "decode" | "transform" | "encode" | "write";
    /** As in a problem */
    code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "illegal_state" | "host_not_allowed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "cannot_share" | "thread_lost" | "query_too_slow" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_no_message" | "mqtt_protocol_error";
    row: number | null;
    /** A JSON pointer */
    path: string;
    message: string;
  }>;
  failed_rows: Array<number> | null;
  row_count: number | null;
  /** replaying: asked for, and not over */
  state: "waiting" | "replaying";
  /** How often it was replayed, and failed */
  replays: number;
  replayed_at: number | null;
};

export type DeadLetterContent = {
  id: string;
  /** Unix microseconds */
  created_at: number;
  /** Unix microseconds */
  received_at: number;
  /** The table it was read as */
  source_table: string;
  operator_id: string;
  task_index: number;
  /** Of the payload */
  bytes: number;
  /** Where it failed */
  stage: "decode" | "transform" | "encode" | "write";
  /** As in a problem */
  code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "illegal_state" | "host_not_allowed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "cannot_share" | "thread_lost" | "query_too_slow" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_no_message" | "mqtt_protocol_error";
  /** What was wrong first */
  message: string;
  /** The first 20 */
  errors: Array<{
    /** Where it failed */
    stage: "decode" | "transform" | "encode" | "write";
    /** As in a problem */
    code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "illegal_state" | "host_not_allowed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "cannot_share" | "thread_lost" | "query_too_slow" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_no_message" | "mqtt_protocol_error";
    row: number | null;
    /** A JSON pointer */
    path: string;
    message: string;
  }>;
  failed_rows: Array<number> | null;
  row_count: number | null;
  /** replaying: asked for, and not over */
  state: "waiting" | "replaying";
  /** How often it was replayed, and failed */
  replays: number;
  replayed_at: number | null;
  payload: {
    base64: string;
    text: string | null;
  };
  /** Every metadata column of the connector; numbers exact */
  metadata: Record<string, unknown>;
  /** What the table as it is now makes of it: an object for each row and for each error, as a tail shows them */
  attempt: Array<Record<string, unknown>>;
};

export type PipelinePost = {
  /** Unique among its kind */
  name: string;
  /** SQL */
  query: string;
  /** Tasks side by side. More than one share the messages of the source, and keep no order between them */
  parallelism: number;
  /** There are none: [] or left out */
  udfs?: Array<unknown> | null;
  checkpoint_interval_micros?: number | null;
  tags?: Record<string, string> | null;
  state_url?: null;
  /** There are none: {} or left out */
  env_vars?: Record<string, never> | null;
  /** There are none: {} or left out */
  scheduler_config?: Record<string, never> | null;
  /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
  labels?: Record<string, string>;
};

export type SavedPipeline = {
  id: string;
  name: string;
  query: string;
  /** Always empty */
  udfs: Array<unknown>;
  checkpoint_interval_micros: number;
  /** none: run. checkpoint, graceful: drain, then stop. immediate, force: stop at once */
  stop: "none" | "checkpoint" | "graceful" | "immediate" | "force";
  /** Unix microseconds */
  created_at: number;
  /** What to send as stop for the action offered */
  action: "none" | "checkpoint" | "graceful" | "immediate" | "force" | null;
  /** The caption of that action */
  action_text: string;
  action_in_progress: boolean;
  graph: PipelineGraph;
  preview: boolean;
  state_url: null;
  tags: Record<string, string>;
  parallelism: number;
  /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
  labels: Record<string, string>;
  /** The running pipelines that take over the change, each after what it has in flight */
  drains: Array<{
    id: string;
    name: string;
  }>;
};

export type PipelinePatch = {
  /** none: run. checkpoint, graceful: drain, then stop. immediate, force: stop at once */
  stop?: "none" | "checkpoint" | "graceful" | "immediate" | "force";
  /** Tasks side by side. More than one share the messages of the source, and keep no order between them */
  parallelism?: number;
  checkpoint_interval_micros?: number | null;
  /** Unique among its kind */
  name?: string;
  /** SQL */
  query?: string;
  tags?: Record<string, string | null> | null;
  /** Labels to set, or with null to remove */
  labels?: Record<string, string | null> | null;
};

export type JobLogMessage = {
  id: string;
  /** Unix microseconds */
  created_at: number;
  operator_id: string | null;
  task_index: number | null;
  level: "info" | "warn" | "error";
  message: string;
  /** JSON: the hint and the fields concerned; of a change of state the states and the cause */
  details: string;
  error_domain: "user" | "external" | "internal" | null;
  code: string | null;
};

export type OperatorMetricGroup = {
  /** Of the pipeline's graph */
  node_id: number;
  metric_groups: Array<{
    /** Per second: messages (of a source or sink, or the rows between them) and bytes of payload. backpressure: the share of the messages allowed in flight that are, from 0 to 1 */
    name: "messages_recv" | "messages_sent" | "bytes_recv" | "bytes_sent" | "backpressure";
    subtasks: Array<{
      /** The task */
      index: number;
      metrics: Array<{
        /** Unix microseconds: the end of the second */
        time: number;
        value: number;
      }>;
    }>;
  }>;
};

export type Bundle = {
  connection_profiles?: Array<ConnectionProfilePost>;
  connection_tables?: Array<{
    /** Unique among its kind */
    name: string;
    connector: string;
    /** As the connector's schema says (GET /connectors/{id}) */
    config: Record<string, unknown>;
    schema?: ConnectionSchema | null;
    /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
    labels?: Record<string, string>;
    /** The name of its profile */
    connection_profile: (string);
  }>;
  pipelines?: Array<PipelinePost>;
  /** Delete the objects whose labels satisfy this and that are not in the bundle */
  prune?: {
    /** As in lists. It has to ask for a label: what has none is never deleted */
    label_selector: string;
  };
};

export type Applied = {
  /** A hash of all that is changed, of the versions it was compared with and of the pipelines that drain */
  plan: string;
  /** false in a plan */
  applied: boolean;
  summary: {
    created: number;
    updated: number;
    unchanged: number;
    deleted: number;
  };
  /** One for each object, in the order in which they are made */
  changes: Array<{
    kind: "connection_profiles" | "connection_tables" | "pipelines";
    name: string;
    action: "created" | "updated" | "unchanged" | "deleted";
    /** null in a plan for what does not exist yet */
    id: string | null;
    /** updated: what becomes different. Otherwise empty */
    diff: Array<{
      /** JSON pointer into the object as it stands in a bundle */
      path: string;
      /** Left out where there was nothing */
      before?: unknown;
      /** Left out where there is nothing any more */
      after?: unknown;
      /** A secret is set, changed or removed; it is not shown */
      secret?: "changed";
    }>;
  }>;
  /** The running pipelines that take over the change, each after what it has in flight */
  drains: Array<{
    id: string;
    name: string;
  }>;
};

export type Exported = {
  connection_profiles?: Array<ConnectionProfilePost>;
  connection_tables?: Array<{
    /** Unique among its kind */
    name: string;
    connector: string;
    /** As the connector's schema says (GET /connectors/{id}) */
    config: Record<string, unknown>;
    schema?: ConnectionSchema | null;
    /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
    labels?: Record<string, string>;
    /** The name of its profile */
    connection_profile: (string);
  }>;
  pipelines?: Array<PipelinePost>;
};

export type ApiKeyPost = {
  /** Unique among its kind */
  name: string;
  /** viewer: read. operator: write and test as well. admin: keys and the audit log as well */
  role: "viewer" | "operator" | "admin";
  expires_at?: number | null;
};

export type NewApiKey = {
  id: string;
  name: string;
  /** viewer: read. operator: write and test as well. admin: keys and the audit log as well */
  role: "viewer" | "operator" | "admin";
  /** Unix microseconds */
  created_at: number;
  expires_at: number | null;
  last_used_at: number | null;
  /** The key itself. It is shown this once */
  key: string;
};

export type ApiKey = {
  id: string;
  name: string;
  /** viewer: read. operator: write and test as well. admin: keys and the audit log as well */
  role: "viewer" | "operator" | "admin";
  /** Unix microseconds */
  created_at: number;
  expires_at: number | null;
  last_used_at: number | null;
};

export type AuditRecord = {
  id: string;
  /** Unix microseconds */
  created_at: number;
  /** The name of the key; `anybody` where none was needed */
  actor: string;
  role: "viewer" | "operator" | "admin";
  /** Where the call came from */
  address: string;
  /** The operationId of the call */
  action: string;
  object: string | null;
  /** The HTTP status it was answered with */
  status: number;
  code: string | null;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  request_id: string;
};

/** What each operation takes and answers: `events` are those of its stream. */
export interface Operations {
  /** Answer Pong. */
  ping: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: string;
    events: never;
  };
  /** Tell that the process is alive. */
  getHealth: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      status: "ok";
    };
    events: never;
  };
  /** Tell whether requests can be served. */
  getReadiness: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      status: "ok";
    };
    events: never;
  };
  /** Get the metrics in the Prometheus text format. */
  getMetrics: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: string;
    events: never;
  };
  /** List the connectors. */
  listConnectors: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<Connector>;
    };
    events: never;
  };
  /** Get a connector with its schemas and metadata columns. */
  getConnector: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: ConnectorDetail;
    events: never;
  };
  /** Test a connection profile without storing it. */
  testConnectionProfile: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** Unique among its kind */
      name: string;
      connector: string;
      /** As the connector's schema says (GET /connectors/{id}) */
      config: Record<string, unknown>;
      /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
      labels?: Record<string, string>;
      /** none: publish nothing, so that a sink table or a profile is tested up to the login only */
      probe?: "publish" | "none";
      /** Milliseconds for the test in all */
      timeout_ms?: number;
      /** Milliseconds for each step */
      step_timeout_ms?: number;
    };
    answer: TestResult;
    events: TestMessage;
  };
  /** Test a stored connection profile, or changes to it. */
  testStoredConnectionProfile: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** Unique among its kind */
      name?: string;
      connector?: string;
      /** As the connector's schema says (GET /connectors/{id}) */
      config?: Record<string, unknown>;
      /** none: publish nothing, so that a sink table or a profile is tested up to the login only */
      probe?: "publish" | "none";
      /** Milliseconds for the test in all */
      timeout_ms?: number;
      /** Milliseconds for each step */
      step_timeout_ms?: number;
    };
    answer: TestResult;
    events: TestMessage;
  };
  /** Look at what is there to read: for MQTT, topics. */
  autocompleteConnectionProfile: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      /** What is really there, by the name of the table's field, such as topic */
      values: Record<string, Array<string>>;
    };
    events: never;
  };
  /** Get a connection profile. */
  getConnectionProfile: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: ConnectionProfile;
    events: never;
  };
  /** Replace a connection profile. */
  replaceConnectionProfile: {
    params: {
      id: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: ConnectionProfilePost;
    answer: SavedConnectionProfile;
    events: never;
  };
  /** Change a connection profile. */
  patchConnectionProfile: {
    params: {
      id: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: ConnectionProfilePatch;
    answer: SavedConnectionProfile;
    events: never;
  };
  /** Delete a connection profile that nothing uses. */
  deleteConnectionProfile: {
    params: {
      id: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: undefined;
    answer: null;
    events: never;
  };
  /** Get a connection profile by its name. */
  getConnectionProfileByName: {
    params: {
      name: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: ConnectionProfile;
    events: never;
  };
  /** Create or replace the connection profile of a name. */
  putConnectionProfileByName: {
    params: {
      name: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: ConnectionProfilePost;
    answer: SavedConnectionProfile;
    events: never;
  };
  /** Create a connection profile. */
  createConnectionProfile: {
    params: Record<string, never>;
    query: {
      dry_run?: boolean;
    };
    headers: Record<string, never>;
    body: ConnectionProfilePost;
    answer: ConnectionProfile;
    events: never;
  };
  /** List the connection profiles, newest first. */
  listConnectionProfiles: {
    params: Record<string, never>;
    query: {
      label_selector?: string;
    };
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<ConnectionProfile>;
    };
    events: never;
  };
  /** Test a connection table without storing it. */
  testConnectionTable: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** Unique among its kind */
      name: string;
      connector: string;
      connection_profile_id?: string | null;
      /** As the connector's schema says (GET /connectors/{id}) */
      config: Record<string, unknown>;
      schema?: ConnectionSchema | null;
      /** Names and values to find it by. Both are of letters, digits and -_./, begin and end with a letter or digit, and have 63 characters at most; a value may be empty */
      labels?: Record<string, string>;
      /** none: publish nothing, so that a sink table or a profile is tested up to the login only */
      probe?: "publish" | "none";
      /** Milliseconds for the test in all */
      timeout_ms?: number;
      /** Milliseconds for each step */
      step_timeout_ms?: number;
    };
    answer: TestResult;
    events: TestMessage;
  };
  /** Test a stored connection table, or changes to it. */
  testStoredConnectionTable: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** Unique among its kind */
      name?: string;
      connector?: string;
      connection_profile_id?: string;
      /** As the connector's schema says (GET /connectors/{id}) */
      config?: Record<string, unknown>;
      /** A merge patch for the schema */
      schema?: Record<string, unknown>;
      /** none: publish nothing, so that a sink table or a profile is tested up to the login only */
      probe?: "publish" | "none";
      /** Milliseconds for the test in all */
      timeout_ms?: number;
      /** Milliseconds for each step */
      step_timeout_ms?: number;
    };
    answer: TestResult;
    events: TestMessage;
  };
  /** Tell whether a connection schema is valid. */
  testConnectionSchema: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: ConnectionSchema;
    answer: null;
    events: never;
  };
  /** Propose the schema of a source table from the messages that arrive. */
  inferConnectionSchema: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      connector: string;
      connection_profile_id?: string | null;
      /** The config of a profile that is not stored, instead of connection_profile_id */
      profile?: Record<string, unknown>;
      /** As the connector's schema says (GET /connectors/{id}) */
      config: Record<string, unknown>;
      /** Guessed from the messages if left out */
      format?: JsonFormat | AvroFormat | ProtobufFormat | ParquetFormat | RawStringFormat | RawBytesFormat | CsvFormat | CborFormat | MsgpackFormat | SparkplugBFormat | null;
      /** How many messages to wait for */
      messages?: number;
      /** Milliseconds after which what has arrived is enough */
      timeout_ms?: number;
    };
    answer: InferredSchema;
    events: never;
  };
  /** Look at the messages of a source table as they arrive. */
  tailConnectionTable: {
    params: {
      id: string;
    };
    query: {
      seconds?: number;
      rows?: number;
      rows_per_second?: number;
    };
    headers: Record<string, never>;
    body: undefined;
    answer: undefined;
    events: TailEvent;
  };
  /** Get a connection table. */
  getConnectionTable: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: ConnectionTable;
    events: never;
  };
  /** Replace a connection table. */
  replaceConnectionTable: {
    params: {
      id: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: ConnectionTablePost;
    answer: SavedConnectionTable;
    events: never;
  };
  /** Change a connection table. */
  patchConnectionTable: {
    params: {
      id: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: ConnectionTablePatch;
    answer: SavedConnectionTable;
    events: never;
  };
  /** Delete a connection table that no pipeline uses. */
  deleteConnectionTable: {
    params: {
      id: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: undefined;
    answer: null;
    events: never;
  };
  /** Get a connection table by its name. */
  getConnectionTableByName: {
    params: {
      name: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: ConnectionTable;
    events: never;
  };
  /** Create or replace the connection table of a name. */
  putConnectionTableByName: {
    params: {
      name: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: ConnectionTablePost;
    answer: SavedConnectionTable;
    events: never;
  };
  /** Create a connection table. */
  createConnectionTable: {
    params: Record<string, never>;
    query: {
      dry_run?: boolean;
    };
    headers: Record<string, never>;
    body: ConnectionTablePost;
    answer: ConnectionTable;
    events: never;
  };
  /** List the connection tables by page, newest first. */
  listConnectionTables: {
    params: Record<string, never>;
    query: {
      starting_after?: string;
      limit?: number;
      label_selector?: string;
    };
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<ConnectionTable>;
      /** Whether there is another page */
      hasMore: boolean;
    };
    events: never;
  };
  /** Restart a pipeline, or start it when it has stopped or failed. */
  restartPipeline: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** Do not wait for what is in flight; it comes again */
      force?: boolean | null;
      /** Accepted; there is no state to ignore */
      ignore_state?: boolean | null;
    };
    answer: Pipeline;
    events: never;
  };
  /** List the messages that a pipeline could not use by page, newest first, without what they hold. */
  listDeadLetters: {
    params: {
      id: string;
    };
    query: {
      starting_after?: string;
      limit?: number;
      code?: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "illegal_state" | "host_not_allowed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "cannot_share" | "thread_lost" | "query_too_slow" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_no_message" | "mqtt_protocol_error";
      stage?: "decode" | "transform" | "encode" | "write";
      since?: number;
      until?: number;
    };
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<DeadLetter>;
      /** Whether there is another page */
      hasMore: boolean;
    };
    events: never;
  };
  /** Delete all of them that a filter leaves, for good. */
  deleteDeadLetters: {
    params: {
      id: string;
    };
    query: {
      code?: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "illegal_state" | "host_not_allowed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "cannot_share" | "thread_lost" | "query_too_slow" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_no_message" | "mqtt_protocol_error";
      stage?: "decode" | "transform" | "encode" | "write";
      since?: number;
      until?: number;
    };
    headers: Record<string, never>;
    body: undefined;
    answer: {
      deleted: number;
    };
    events: never;
  };
  /** Show one of them: its bytes, its metadata, and what its table makes of it now. */
  getDeadLetter: {
    params: {
      id: string;
      letter: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: DeadLetterContent;
    events: never;
  };
  /** Delete one of them for good. */
  deleteDeadLetter: {
    params: {
      id: string;
      letter: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: null;
    events: never;
  };
  /** Send some or all of them through the pipeline as it is now; they wait for that until its job runs. */
  replayDeadLetters: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      ids?: Array<string>;
      all?: true;
      /** As in a problem */
      code?: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "illegal_state" | "host_not_allowed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "cannot_share" | "thread_lost" | "query_too_slow" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_no_message" | "mqtt_protocol_error";
      /** Where it failed */
      stage?: "decode" | "transform" | "encode" | "write";
      /** Unix microseconds: stored at this time or later */
      since?: number;
      /** Unix microseconds: stored before this time */
      until?: number;
    };
    answer: {
      /** How many are to be replayed by this call */
      asked: number;
    };
    events: never;
  };
  /** Follow a pipeline: its state, its tasks, and what goes through them every second. */
  followPipeline: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: undefined;
    events: PipelineEvent;
  };
  /** Get a pipeline. */
  getPipeline: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: Pipeline;
    events: never;
  };
  /** Replace a pipeline. */
  replacePipeline: {
    params: {
      id: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: PipelinePost;
    answer: SavedPipeline;
    events: never;
  };
  /** Stop, start or change a pipeline. */
  patchPipeline: {
    params: {
      id: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: PipelinePatch;
    answer: SavedPipeline;
    events: never;
  };
  /** Delete a pipeline that does not run, and what it left on its brokers. */
  deletePipeline: {
    params: {
      id: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: undefined;
    answer: null;
    events: never;
  };
  /** Get a pipeline by its name. */
  getPipelineByName: {
    params: {
      name: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: Pipeline;
    events: never;
  };
  /** Create or replace the pipeline of a name. */
  putPipelineByName: {
    params: {
      name: string;
    };
    query: {
      dry_run?: boolean;
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: PipelinePost;
    answer: SavedPipeline;
    events: never;
  };
  /** Create a pipeline and start its job. */
  createPipeline: {
    params: Record<string, never>;
    query: {
      dry_run?: boolean;
    };
    headers: Record<string, never>;
    body: PipelinePost;
    answer: Pipeline;
    events: never;
  };
  /** List the pipelines by page, newest first. */
  listPipelines: {
    params: Record<string, never>;
    query: {
      starting_after?: string;
      limit?: number;
      label_selector?: string;
    };
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<Pipeline>;
      /** Whether there is another page */
      hasMore: boolean;
    };
    events: never;
  };
  /** Tell whether a query is valid, and its graph. */
  validateQuery: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** SQL */
      query: string;
      /** There are none: [] or left out */
      udfs?: Array<unknown> | null;
    };
    answer: {
      graph: PipelineGraph | null;
      errors: Array<{
        message: string;
        /** Counted from 1 */
        span?: {
          start: {
            line: number;
            column: number;
          };
          end: {
            line: number;
            column: number;
          };
        };
      }>;
    };
    events: never;
  };
  /** Run a query on live messages for a minute at most, without its sinks. */
  previewPipeline: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** SQL */
      query: string;
      /** There are none: [] or left out */
      udfs?: Array<unknown> | null;
      /** A preview writes nothing: false or left out */
      enable_sinks?: false;
    };
    answer: Pipeline;
    events: never;
  };
  /** Read the rows of a preview as they come. */
  readPreviewOutput: {
    params: {
      id: string;
      job_id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: undefined;
    events: OutputData;
  };
  /** List all jobs, newest first. */
  listJobs: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<{
        id: string;
        pipeline_id: string;
        /** Whether it is meant to run */
        running_desired: boolean;
        state: "Created" | "Scheduling" | "Running" | "Recovering" | "Restarting" | "Stopping" | "Stopped" | "Finishing" | "Finished" | "Failing" | "Failed";
        /** Counts its starts */
        run_id: number;
        start_time: number | null;
        finish_time: number | null;
        tasks: number | null;
        failure_reason: {
          error: string;
          /** Whose business it is */
          domain: "user" | "external" | "internal";
          /** As in a problem */
          code: string;
        } | null;
        /** Unix microseconds */
        created_at: number;
        /** Always empty */
        scheduler_config: Record<string, unknown>;
        /** Always empty */
        env_vars: Record<string, unknown>;
        /** Unix microseconds */
        state_since: number;
        /** How often it has lost a connection since it last ran for a minute on end */
        recoveries: number;
        /** When it lost the first of them */
        recovering_since: number | null;
        /** Whether it keeps falling over: 5 times or more without running for a minute on end */
        crash_looping: boolean;
      }>;
    };
    events: never;
  };
  /** List the jobs of a pipeline: one. */
  listPipelineJobs: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<{
        id: string;
        pipeline_id: string;
        /** Whether it is meant to run */
        running_desired: boolean;
        state: "Created" | "Scheduling" | "Running" | "Recovering" | "Restarting" | "Stopping" | "Stopped" | "Finishing" | "Finished" | "Failing" | "Failed";
        /** Counts its starts */
        run_id: number;
        start_time: number | null;
        finish_time: number | null;
        tasks: number | null;
        failure_reason: {
          error: string;
          /** Whose business it is */
          domain: "user" | "external" | "internal";
          /** As in a problem */
          code: string;
        } | null;
        /** Unix microseconds */
        created_at: number;
        /** Always empty */
        scheduler_config: Record<string, unknown>;
        /** Always empty */
        env_vars: Record<string, unknown>;
        /** Unix microseconds */
        state_since: number;
        /** How often it has lost a connection since it last ran for a minute on end */
        recoveries: number;
        /** When it lost the first of them */
        recovering_since: number | null;
        /** Whether it keeps falling over: 5 times or more without running for a minute on end */
        crash_looping: boolean;
      }>;
    };
    events: never;
  };
  /** List a job's errors, warnings and changes of state by page, newest first. */
  listJobErrors: {
    params: {
      id: string;
      job_id: string;
    };
    query: {
      starting_after?: string;
      limit?: number;
      level?: "info" | "warn" | "error";
    };
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<JobLogMessage>;
      /** Whether there is another page */
      hasMore: boolean;
    };
    events: never;
  };
  /** Get how much went through each operator in each of the last 120 seconds. */
  getOperatorMetricGroups: {
    params: {
      id: string;
      job_id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<OperatorMetricGroup>;
    };
    events: never;
  };
  /** List the tasks of a job that runs, with what each has counted. */
  listJobTasks: {
    params: {
      id: string;
      job_id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<{
        index: number;
        /** Whether both its ends are */
        connected: boolean;
        /** What went in and out since the job began here. Between source and sink messages are rows */
        operators: Array<{
          operator_id: string;
          /** Of the pipeline's graph */
          node_id: number;
          kind: "source" | "transform" | "sink";
          messages_in: number;
          messages_out: number;
          /** Null where rows are not bytes */
          bytes_in: number | null;
          bytes_out: number | null;
        }>;
        /** Messages and rows that could not be used */
        bad: number;
        /** Messages received and not acknowledged yet */
        in_flight: number;
        batches: number;
        /** Messages in a batch, on average */
        batch_size: number | null;
        /** From the arrival of a batch to the confirmation of the sink, over the last one to two minutes; at most a tenth too high. Null when nothing was sent */
        latency_ms: {
          p50: number;
          p95: number;
          p99: number;
        } | null;
        /** How often it began again after an error */
        reconnects: number;
        last_error: {
          code: string;
          message: string;
          at: number;
        } | null;
        /** Unix microseconds */
        sampled_at: number;
      }>;
    };
    events: never;
  };
  /** List the checkpoints of a job: there are none, but Arroyo's console asks. */
  listJobCheckpoints: {
    params: {
      id: string;
      job_id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<unknown>;
    };
    events: never;
  };
  /** List what operators keep in a checkpoint: nothing, but Arroyo's console asks. */
  listOperatorCheckpointGroups: {
    params: {
      id: string;
      job_id: string;
      epoch: number;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<unknown>;
    };
    events: never;
  };
  /** List user-defined functions: there are none, but Arroyo's console asks. */
  listUdfs: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<unknown>;
    };
    events: never;
  };
  /** Make profiles, tables and pipelines as a bundle says, all or nothing. */
  apply: {
    params: Record<string, never>;
    query: {
      dry_run?: boolean;
      plan?: string;
    };
    headers: Record<string, never>;
    body: Bundle;
    answer: Applied;
    events: never;
  };
  /** Get profiles, tables and pipelines as a bundle for apply. */
  export: {
    params: Record<string, never>;
    query: {
      label_selector?: string;
      format?: "json" | "yaml";
    };
    headers: Record<string, never>;
    body: undefined;
    answer: Exported;
    events: never;
  };
  /** Make an API key; the answer is the only place that shows it. */
  createApiKey: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: ApiKeyPost;
    answer: NewApiKey;
    events: never;
  };
  /** List the API keys, newest first. */
  listApiKeys: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<ApiKey>;
    };
    events: never;
  };
  /** Revoke an API key. */
  deleteApiKey: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: null;
    events: never;
  };
  /** List who wrote or tested what, newest first; the newest 100,000 records are kept. */
  listAuditRecords: {
    params: Record<string, never>;
    query: {
      starting_after?: string;
      limit?: number;
      actor?: string;
      object?: string;
      action?: string;
      since?: number;
    };
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<AuditRecord>;
      /** Whether there is another page */
      hasMore: boolean;
    };
    events: never;
  };
}

/** Where each operation is. */
export const operations = {
  ping: ['GET', '/api/v1/ping'],
  getHealth: ['GET', '/healthz'],
  getReadiness: ['GET', '/readyz'],
  getMetrics: ['GET', '/metrics'],
  listConnectors: ['GET', '/api/v1/connectors'],
  getConnector: ['GET', '/api/v1/connectors/{id}'],
  testConnectionProfile: ['POST', '/api/v1/connection_profiles/test'],
  testStoredConnectionProfile: ['POST', '/api/v1/connection_profiles/{id}/test'],
  autocompleteConnectionProfile: ['GET', '/api/v1/connection_profiles/{id}/autocomplete'],
  getConnectionProfile: ['GET', '/api/v1/connection_profiles/{id}'],
  replaceConnectionProfile: ['PUT', '/api/v1/connection_profiles/{id}'],
  patchConnectionProfile: ['PATCH', '/api/v1/connection_profiles/{id}'],
  deleteConnectionProfile: ['DELETE', '/api/v1/connection_profiles/{id}'],
  getConnectionProfileByName: ['GET', '/api/v1/connection_profiles/by-name/{name}'],
  putConnectionProfileByName: ['PUT', '/api/v1/connection_profiles/by-name/{name}'],
  createConnectionProfile: ['POST', '/api/v1/connection_profiles'],
  listConnectionProfiles: ['GET', '/api/v1/connection_profiles'],
  testConnectionTable: ['POST', '/api/v1/connection_tables/test'],
  testStoredConnectionTable: ['POST', '/api/v1/connection_tables/{id}/test'],
  testConnectionSchema: ['POST', '/api/v1/connection_tables/schemas/test'],
  inferConnectionSchema: ['POST', '/api/v1/connection_tables/infer_schema'],
  tailConnectionTable: ['GET', '/api/v1/connection_tables/{id}/tail'],
  getConnectionTable: ['GET', '/api/v1/connection_tables/{id}'],
  replaceConnectionTable: ['PUT', '/api/v1/connection_tables/{id}'],
  patchConnectionTable: ['PATCH', '/api/v1/connection_tables/{id}'],
  deleteConnectionTable: ['DELETE', '/api/v1/connection_tables/{id}'],
  getConnectionTableByName: ['GET', '/api/v1/connection_tables/by-name/{name}'],
  putConnectionTableByName: ['PUT', '/api/v1/connection_tables/by-name/{name}'],
  createConnectionTable: ['POST', '/api/v1/connection_tables'],
  listConnectionTables: ['GET', '/api/v1/connection_tables'],
  restartPipeline: ['POST', '/api/v1/pipelines/{id}/restart'],
  listDeadLetters: ['GET', '/api/v1/pipelines/{id}/dead_letters'],
  deleteDeadLetters: ['DELETE', '/api/v1/pipelines/{id}/dead_letters'],
  getDeadLetter: ['GET', '/api/v1/pipelines/{id}/dead_letters/{letter}'],
  deleteDeadLetter: ['DELETE', '/api/v1/pipelines/{id}/dead_letters/{letter}'],
  replayDeadLetters: ['POST', '/api/v1/pipelines/{id}/dead_letters/replay'],
  followPipeline: ['GET', '/api/v1/pipelines/{id}/events'],
  getPipeline: ['GET', '/api/v1/pipelines/{id}'],
  replacePipeline: ['PUT', '/api/v1/pipelines/{id}'],
  patchPipeline: ['PATCH', '/api/v1/pipelines/{id}'],
  deletePipeline: ['DELETE', '/api/v1/pipelines/{id}'],
  getPipelineByName: ['GET', '/api/v1/pipelines/by-name/{name}'],
  putPipelineByName: ['PUT', '/api/v1/pipelines/by-name/{name}'],
  createPipeline: ['POST', '/api/v1/pipelines'],
  listPipelines: ['GET', '/api/v1/pipelines'],
  validateQuery: ['POST', '/api/v1/pipelines/validate_query'],
  previewPipeline: ['POST', '/api/v1/pipelines/preview'],
  readPreviewOutput: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/output'],
  listJobs: ['GET', '/api/v1/jobs'],
  listPipelineJobs: ['GET', '/api/v1/pipelines/{id}/jobs'],
  listJobErrors: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/errors'],
  getOperatorMetricGroups: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/operator_metric_groups'],
  listJobTasks: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/tasks'],
  listJobCheckpoints: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/checkpoints'],
  listOperatorCheckpointGroups: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/checkpoints/{epoch}/operator_checkpoint_groups'],
  listUdfs: ['GET', '/api/v1/udfs'],
  apply: ['POST', '/api/v1/apply'],
  export: ['GET', '/api/v1/export'],
  createApiKey: ['POST', '/api/v1/api_keys'],
  listApiKeys: ['GET', '/api/v1/api_keys'],
  deleteApiKey: ['DELETE', '/api/v1/api_keys/{id}'],
  listAuditRecords: ['GET', '/api/v1/audit'],
} as const;
