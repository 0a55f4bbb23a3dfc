// Generated from openapi/openapi.json by `npm run openapi`.

export type Problem = {
  /** URN of the kind of error */
  type: string;
  /** Kind of error */
  title: string;
  /** HTTP status */
  status: number;
  /** What is wrong with this request */
  detail: string;
  /** Request id, for the log */
  instance: string;
  /** Stable error code for programs */
  code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable";
  /** What to do about it */
  hint: string | null;
  errors: Array<{
    /** JSON pointer into the request; empty for all of it */
    path: string;
    message: string;
  }>;
  /** Same as detail, for clients of Arroyo */
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
  format?: JsonFormat | AvroFormat | ProtobufFormat | ParquetFormat | RawStringFormat | RawBytesFormat | CsvFormat | CborFormat | MsgpackFormat | SparkplugBFormat | SenmlFormat | null;
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
  time?: {
    event_time_field?: string | null;
    watermark_delay_ms?: number | null;
    idle_timeout_ms?: number | null;
    max_ahead_ms?: number | null;
    late_data?: "drop" | "dead_letter" | null;
    dedupe?: {
      /** Fields that identify a message */
      columns: Array<string>;
      /** Time within which a further message with the same values does not count */
      horizon_ms: number;
    } | null;
  } | null;
  primary_keys?: Array<string>;
};

export type TestMessage = {
  /** Whether this step failed; in the last event, whether the test failed */
  error: boolean;
  /** Whether this is the last event */
  done: boolean;
  message: string;
  /** The step; `summary` in the last event */
  name: string;
  outcome: "ok" | "warning" | "failed" | "skipped";
  durationMs: number;
  code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable" | null;
  /** What to do about it */
  hint: string | null;
  details: Record<string, unknown>;
};

export type TestResult = {
  /** Whether this step failed; in the last event, whether the test failed */
  error: boolean;
  /** Whether this is the last event */
  done: boolean;
  message: string;
  /** The step; `summary` in the last event */
  name: string;
  outcome: "ok" | "warning" | "failed" | "skipped";
  durationMs: number;
  code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable" | null;
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
    /** Columns of the rows; () if they are not known */
    value_type: string;
    edge_type: string;
  }>;
};

export type TailEvent = {
  /** Whether the message is bad. In the last event: whether the tail ended early */
  error: boolean;
  /** Whether this is the last event */
  done: boolean;
  message: string;
  /** listening: the subscription is active. row, bad_message: one message. left_out: some messages were not shown. summary: the last event */
  name: "listening" | "row" | "bad_message" | "left_out" | "summary";
  hint?: string | null;
  /** row: the columns of the table. Numbers are exact, bytes in base64, times in RFC 3339. Null if too large */
  row?: Record<string, unknown> | null;
  /** All metadata columns of the connector; null if too large */
  metadata?: Record<string, unknown> | null;
  /** Unix microseconds */
  received_at?: number;
  /** Size of the payload */
  bytes?: number;
  code?: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable" | null;
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
  /** left_out: number of messages since the last such event */
  left_out?: number;
  /** summary: totals */
  counts?: {
    /** Messages received */
    messages: number;
    /** Rows shown */
    rows: number;
    /** Bad messages shown */
    bad_messages: number;
    /** Messages not shown because there were too many */
    left_out: number;
  };
};

export type Job = {
  id: string;
  pipeline_id: string;
  /** Whether it should run */
  running_desired: boolean;
  state: "Created" | "Scheduling" | "Running" | "Recovering" | "Restarting" | "Stopping" | "Stopped" | "Finishing" | "Finished" | "Failing" | "Failed";
  /** Number of starts, and of edits that changed the number of tasks */
  run_id: number;
  start_time: number | null;
  finish_time: number | null;
  tasks: number | null;
  failure_reason: {
    error: string;
    /** The party that has to act */
    domain: "user" | "external" | "internal";
    /** Error code */
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
  /** Number of lost connections since it last ran for a full minute */
  recoveries: number;
  /** Time of the first of these losses */
  recovering_since: number | null;
  /** Whether it lost its connection 5 times or more without running for a full minute */
  crash_looping: boolean;
  /** Name of the worker that controls it. Its tasks may run in others */
  worker: string | null;
};

export type TaskStatus = {
  index: number;
  /** Whether source and sink are connected */
  connected: boolean;
  /** Input and output since the job started. Between source and sink, messages are rows */
  operators: Array<{
    operator_id: string;
    /** Node in the graph of the pipeline */
    node_id: number;
    kind: "source" | "transform" | "sink";
    messages_in: number;
    messages_out: number;
    /** Null if rows have no size here */
    bytes_in: number | null;
    bytes_out: number | null;
  }>;
  /** Messages and rows that could not be processed */
  bad: number;
  /** Messages received but not yet acknowledged */
  in_flight: number;
  batches: number;
  /** Average number of messages per batch */
  batch_size: number | null;
  /** Time from the arrival of a batch to the confirmation by the sink, over the last one to two minutes; up to 10 % too high. Null if nothing was sent */
  latency_ms: {
    p50: number;
    p95: number;
    p99: number;
  } | null;
  /** Number of reconnects after errors */
  reconnects: number;
  last_error: {
    code: string;
    message: string;
    at: number;
  } | null;
  /** Unix microseconds */
  sampled_at: number;
  /** waiting: no worker has it yet. recovering: it connects again after an error */
  state: "waiting" | "starting" | "running" | "recovering" | "ended" | "finished" | "failed";
  /** Name of the worker that runs it */
  worker: string | null;
  /** Of a task with windows or aggregates; null for others */
  windows: {
    /** All rows up to this time are taken to have arrived */
    watermark: number | null;
    /** Time from the watermark to the clock */
    watermark_lag_ms: number | null;
    /** Windows that collect rows */
    open: number;
    /** Windows closed since the state began */
    closed: number;
    /** Rows that came after their windows had closed, since the state began */
    late_rows: number;
    /** Size of the stored state */
    state_bytes: number;
    /** Duration of the last commit of the state */
    checkpoint_ms: number;
  } | null;
};

export type PipelineEvent = {
  /** state: the job, at first and after every change. tasks: counters of the tasks. rates: totals of all tasks for one second. deleted: the pipeline was deleted; the last event */
  name: "state" | "tasks" | "rates" | "deleted";
  job?: Job;
  tasks?: Array<TaskStatus>;
  rates?: {
    /** Unix microseconds: end of the second */
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
  /** Unix microseconds for each row: arrival of its message, end of its window, or when a result changed */
  timestamps: Array<number>;
  /** Index of the first row */
  start_id: number;
  /** The rows as JSON */
  batch: string;
  /** Messages and rows that could not be processed */
  bad?: Array<{
    code: string;
    message: string;
    errors: Array<{
      path: string;
      message: string;
    }>;
  }>;
  /** Number of messages and rows not shown because there were too many */
  left_out?: number;
  /** Whether rows may be missing in the windows of these results: they began before the preview, or were closed early */
  partial?: boolean;
  /** Of a query with windows or aggregates, when it changes; at most once a second */
  state?: {
    watermark: number | null;
    open_windows: number;
    /** Number of rows that came after their windows had closed */
    late_rows: number;
    /** Estimated size of the rows that are kept */
    state_bytes: number;
  };
  /** Whether this is the last event */
  done?: boolean;
  /** In the last event: the reason of an early end */
  error?: {
    code: string;
    message: string;
  } | null;
};

export type InferredSchema = {
  /** Summary for people */
  message: string;
  hint: string | null;
  /** Number of messages examined */
  messages: number;
  /** Total size of the payloads */
  bytes: number;
  /** Time from the subscription to the last message */
  elapsed_ms: number;
  /** Number of messages of each kind */
  kinds: {
    json_object: number;
    json_other: number;
    text: number;
    bytes: number;
    empty: number;
    too_large: number;
  };
  /** Number of compressed messages; they count by their content */
  gzip: number;
  /** Ready for POST /connection_tables; null if no table can read these messages */
  schema: ConnectionSchema | null;
  /** Evidence for each field, including nested fields */
  fields: Array<{
    /** JSON pointer into a message; * means the items of a list */
    path: string;
    type: "int32" | "int64" | "uint32" | "uint64" | "float32" | "float64" | "decimal128" | "bool" | "string" | "bytes" | "timestamp" | "json" | "struct" | "list";
    /** Whether it was present and not null in every object, of at least 10 */
    required: boolean;
    /** Number of occurrences, including null */
    present: number;
    /** Number of objects that could have it; for items of lists, the number of items */
    of: number;
    /** Number of values of each type */
    types: Record<string, number>;
    note: string | null;
  }>;
  notes: Array<string>;
  /** The first 10 messages, decoded with the schema */
  preview: Array<TailEvent>;
};

export type OverviewEntry = {
  /** Id of the pipeline */
  id: string;
  job_id: string;
  name: string;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
  labels: Record<string, string>;
  /** State of the job */
  state: "Created" | "Scheduling" | "Running" | "Recovering" | "Restarting" | "Stopping" | "Stopped" | "Finishing" | "Finished" | "Failing" | "Failed";
  /** Unix microseconds */
  state_since: number;
  /** none: run. checkpoint: drain, then stop; open windows are kept. graceful: drain, close all open windows, then stop. immediate, force: stop at once; open windows are kept as of the last checkpoint */
  stop: "none" | "checkpoint" | "graceful" | "immediate" | "force";
  /** Value of stop that performs the offered action */
  action: "none" | "checkpoint" | "graceful" | "immediate" | "force" | null;
  action_in_progress: boolean;
  failure: {
    code: string;
    message: string;
  } | null;
  /** Number of tasks; 0 if the job does not run */
  tasks: number;
  /** Names of the workers that run its tasks */
  workers: Array<string>;
  /** Average of the newest 5 seconds */
  messages_in_per_second: number;
  /** Average of the newest 5 seconds */
  messages_out_per_second: number;
  /** Average of the newest 5 seconds */
  bytes_in_per_second: number;
  /** Messages in per second, for each 4 seconds of the last 2 minutes, the oldest first */
  rates: Array<number>;
  /** Messages received but not yet acknowledged */
  in_flight: number;
  /** Maximum of in_flight */
  in_flight_max: number;
  /** Age of the oldest message that is not acknowledged, or time since a task lost its connection; null without either */
  lag_ms: number | null;
  /** Time from the oldest watermark to the clock; null without windows */
  watermark_lag_ms: number | null;
  /** Of the slowest task, over the last one to two minutes; null if nothing was sent */
  latency_p99_ms: number | null;
  /** Number of reconnects after errors since the job started */
  reconnects: number;
  /** Messages and rows that could not be processed since the job started */
  bad: number;
  /** Number of dead letters */
  dead_letters: number;
  last_error: {
    code: string;
    message: string;
    /** Unix microseconds */
    at: number;
  } | null;
};

export type Overview = {
  /** Unix microseconds */
  at: number;
  pipelines: Array<OverviewEntry>;
};

export type OverviewEvent = {
  /** all: a part of the whole overview; a stream begins with at least one. changes: the pipelines that were created or have changed since the last event */
  name: "all" | "changes";
  /** Unix microseconds */
  at: number;
  /** Whether another part of the whole follows. False for changes */
  more: boolean;
  pipelines: Array<OverviewEntry>;
  /** Ids of pipelines that are gone, or no longer match the filter. Empty for a part of the whole */
  deleted: Array<string>;
};

export type JsonFormat = {
  type: "json";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Skips messages without content, such as deletions of retained messages; default false: bad data */
  skip_empty?: boolean;
  /** Each message has the id of its schema in the schema registry of the connection profile or table, in the header of Confluent */
  confluent_schema_registry?: boolean;
  /** confluent_schema_registry only: subject of the schema; default by the strategy */
  subject?: string | null;
  /** confluent_schema_registry only: subject <topic>-value, <record name> or <topic>-<record name>; default topic */
  subject_strategy?: "topic" | "record" | "topic_record";
  /** confluent_schema_registry only: whether a sink registers its schema if the subject does not have it; default true */
  register_schema?: boolean;
  /** Each message begins with the header of Confluent's serializers: a zero byte and the schema id, then in protobuf the message indexes */
  confluent_header?: boolean;
  /** Schema id that is written. With confluent_header alone messages with another id are bad data; with confluent_schema_registry it is not looked up */
  schema_id?: number | null;
  /** Wraps each message as {schema, payload}, like Kafka Connect */
  include_schema?: boolean;
  /** Wraps each message in the envelope of a change: {before, after, op} */
  debezium?: boolean;
  /** Puts the whole document into one json column called value */
  unstructured?: boolean;
  /** Encoding of timestamps; default rfc3339. without_zone is the same without the Z at its end, as Arroyo writes it. The others count since 1970, in integers or fractions */
  timestamp_format?: "rfc3339" | "without_zone" | "unix_seconds" | "unix_millis" | "unix_micros" | "unix_nanos";
  /** Time zone of times that have no offset, e.g. Europe/Berlin; default UTC */
  timezone?: string | null;
  /** Encoding of decimals; default number. bytes is base64 of the unscaled digits as a big-endian two's complement */
  decimal_encoding?: "number" | "string" | "bytes";
};

export type AvroFormat = {
  type: "avro";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Skips messages without content, such as deletions of retained messages; default false: bad data */
  skip_empty?: boolean;
  /** Each message has the id of its schema in the schema registry of the connection profile or table, in the header of Confluent */
  confluent_schema_registry?: boolean;
  /** confluent_schema_registry only: subject of the schema; default by the strategy */
  subject?: string | null;
  /** confluent_schema_registry only: subject <topic>-value, <record name> or <topic>-<record name>; default topic */
  subject_strategy?: "topic" | "record" | "topic_record";
  /** confluent_schema_registry only: whether a sink registers its schema if the subject does not have it; default true */
  register_schema?: boolean;
  /** Each message begins with the header of Confluent's serializers: a zero byte and the schema id, then in protobuf the message indexes */
  confluent_header?: boolean;
  /** Each message is one datum without a header */
  raw_datums?: boolean;
  /** Each message is one datum behind the header of the single-object encoding */
  single_object?: boolean;
  /** Puts the whole message into one json column called value */
  into_unstructured_json?: boolean;
  /** JSON shows the branch of a union of several types, as {"name": value} */
  union_branches?: boolean;
  /** Known from Arroyo and refused: omit it, or send null */
  reader_schema?: null;
  /** Schema id that is written. With confluent_header alone messages with another id are bad data; with confluent_schema_registry it is not looked up */
  schema_id?: number | null;
};

export type ProtobufFormat = {
  type: "protobuf";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Skips messages without content, such as deletions of retained messages; default false: bad data */
  skip_empty?: boolean;
  /** Each message has the id of its schema in the schema registry of the connection profile or table, in the header of Confluent */
  confluent_schema_registry?: boolean;
  /** confluent_schema_registry only: subject of the schema; default by the strategy */
  subject?: string | null;
  /** confluent_schema_registry only: subject <topic>-value, <record name> or <topic>-<record name>; default topic */
  subject_strategy?: "topic" | "record" | "topic_record";
  /** confluent_schema_registry only: whether a sink registers its schema if the subject does not have it; default true */
  register_schema?: boolean;
  /** Each message begins with the header of Confluent's serializers: a zero byte and the schema id, then in protobuf the message indexes */
  confluent_header?: boolean;
  /** Schema id that is written. With confluent_header alone messages with another id are bad data; with confluent_schema_registry it is not looked up */
  schema_id?: number | null;
  /** Puts the whole message into one json column called value */
  into_unstructured_json?: boolean;
  /** Full name of the message type; optional, or empty, if the definition has only one */
  message_name?: string | null;
  /** Known from Arroyo and refused: omit it, or send null */
  compiled_schema?: null;
  /** A message holds any number of records, each behind its length as a varint */
  length_delimited?: boolean;
};

export type ParquetFormat = {
  type: "parquet";
  /** Compression of the pages; default zstd */
  compression?: "uncompressed" | "snappy" | "gzip" | "zstd";
  /** Approximate bytes of a row group before compression; default 128 MiB */
  row_group_bytes?: number | null;
};

export type RawStringFormat = {
  type: "raw_string";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Skips messages without content, such as deletions of retained messages; default false: bad data */
  skip_empty?: boolean;
};

export type RawBytesFormat = {
  type: "raw_bytes";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Skips messages without content, such as deletions of retained messages; default false: bad data */
  skip_empty?: boolean;
};

export type CsvFormat = {
  type: "csv";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Skips messages without content, such as deletions of retained messages; default false: bad data */
  skip_empty?: boolean;
  /** Character between the values; default a comma */
  delimiter?: string;
  /** Character around a value; default " */
  quote?: string;
  /** Each message begins with a line of column names; otherwise columns are in the order of the fields */
  header?: boolean;
  /** Character before the fraction of a number; default a point */
  decimal_separator?: "." | ",";
  /** Unquoted text that means null; default empty */
  null_value?: string;
  /** Time zone of times that have no offset, e.g. Europe/Berlin; default UTC */
  timezone?: string | null;
};

export type CborFormat = {
  type: "cbor";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Skips messages without content, such as deletions of retained messages; default false: bad data */
  skip_empty?: boolean;
  /** Puts the whole message into one json column called value */
  into_unstructured_json?: boolean;
  /** Time zone of times that have no offset, e.g. Europe/Berlin; default UTC */
  timezone?: string | null;
};

export type MsgpackFormat = {
  type: "msgpack";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Skips messages without content, such as deletions of retained messages; default false: bad data */
  skip_empty?: boolean;
  /** Puts the whole message into one json column called value */
  into_unstructured_json?: boolean;
  /** Time zone of times that have no offset, e.g. Europe/Berlin; default UTC */
  timezone?: string | null;
};

export type SparkplugBFormat = {
  type: "sparkplug_b";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Skips messages without content, such as deletions of retained messages; default false: bad data */
  skip_empty?: boolean;
};

export type SenmlFormat = {
  type: "senml";
  /** Compression of each message; default uncompressed */
  compression?: "uncompressed" | "gzip";
  /** Skips messages without content, such as deletions of retained messages; default false: bad data */
  skip_empty?: boolean;
  /** Encoding of a pack; default json */
  encoding?: "json" | "cbor";
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
  /** Whether a table has its own schema */
  custom_schemas: boolean;
  hidden: boolean;
  /** JSON Schema of the profile config, as text; null if its tables need no profile */
  connection_config: string | null;
  /** JSON Schema of the table config, as text */
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
  /** Whether a table has its own schema */
  custom_schemas: boolean;
  hidden: boolean;
  /** JSON Schema of the profile config, as text; null if its tables need no profile */
  connection_config: string | null;
  /** JSON Schema of the table config, as text */
  table_config: string;
  /** connection_config, parsed; a schema without fields if it is null */
  connection_schema: Record<string, unknown>;
  /** table_config, parsed */
  table_schema: Record<string, unknown>;
  /** Whether its tables may go without a profile */
  profile_optional: boolean;
  /** Whether a sink may take typed rows, so that its schema has no format */
  rows: boolean;
  /** When a message that is written twice leaves one; null if never */
  idempotent: string | null;
  /** Values for the metadata_key of a field */
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
  /** Defined by the schema of the connector (GET /connectors/{id}) */
  config: Record<string, unknown>;
  /** Address of the system, for people */
  description: string;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
  labels: Record<string, string>;
};

export type ConnectionProfilePost = {
  /** Unique among objects of its kind */
  name: string;
  connector: string;
  /** Defined by the schema of the connector (GET /connectors/{id}) */
  config: Record<string, unknown>;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
  labels?: Record<string, string>;
};

export type SavedConnectionProfile = {
  id: string;
  name: string;
  connector: string;
  /** Defined by the schema of the connector (GET /connectors/{id}) */
  config: Record<string, unknown>;
  /** Address of the system, for people */
  description: string;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
  labels: Record<string, string>;
  /** Running pipelines that adopt the change; each first drains its messages in flight */
  affected_pipelines: Array<{
    id: string;
    name: string;
  }>;
};

export type ConnectionProfilePatch = {
  /** Unique among objects of its kind */
  name?: string;
  connector?: string;
  /** Defined by the schema of the connector (GET /connectors/{id}) */
  config?: Record<string, unknown>;
  /** Labels to set; null removes one */
  labels?: Record<string, string | null> | null;
};

export type ConnectionTableSql = {
  sql: string;
  /** Parts of the table that SQL cannot say, and secrets to write */
  notes: Array<string>;
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
  /** Defined by the schema of the connector (GET /connectors/{id}) */
  config: Record<string, unknown>;
  schema: ConnectionSchema;
  /** Number of pipelines that use it */
  consumers: number;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
  labels: Record<string, string>;
};

export type ConnectionTablePost = {
  /** Unique among objects of its kind */
  name: string;
  connector: string;
  connection_profile_id?: string | null;
  /** Defined by the schema of the connector (GET /connectors/{id}) */
  config: Record<string, unknown>;
  schema?: ConnectionSchema | null;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
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
  /** Defined by the schema of the connector (GET /connectors/{id}) */
  config: Record<string, unknown>;
  schema: ConnectionSchema;
  /** Number of pipelines that use it */
  consumers: number;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
  labels: Record<string, string>;
  /** Running pipelines that adopt the change; each first drains its messages in flight */
  affected_pipelines: Array<{
    id: string;
    name: string;
  }>;
};

export type ConnectionTablePatch = {
  /** Unique among objects of its kind */
  name?: string;
  connector?: string;
  connection_profile_id?: string;
  /** Defined by the schema of the connector (GET /connectors/{id}) */
  config?: Record<string, unknown>;
  /** A merge patch for the schema */
  schema?: Record<string, unknown>;
  /** Labels to set; null removes one */
  labels?: Record<string, string | null> | null;
};

export type Dependents = {
  /** Tables of the profile, by name. Empty for a table */
  connection_tables: Array<{
    id: string;
    name: string;
  }>;
  /** Pipelines whose queries name it or one of its tables, by name */
  pipelines: Array<{
    id: string;
    name: string;
    state: "Created" | "Scheduling" | "Running" | "Recovering" | "Restarting" | "Stopping" | "Stopped" | "Finishing" | "Finished" | "Failing" | "Failed";
  }>;
};

export type Pipeline = {
  id: string;
  name: string;
  query: string;
  /** Always empty */
  udfs: Array<unknown>;
  checkpoint_interval_micros: number;
  /** none: run. checkpoint: drain, then stop; open windows are kept. graceful: drain, close all open windows, then stop. immediate, force: stop at once; open windows are kept as of the last checkpoint */
  stop: "none" | "checkpoint" | "graceful" | "immediate" | "force";
  /** Unix microseconds */
  created_at: number;
  /** Value of stop that performs the offered action */
  action: "none" | "checkpoint" | "graceful" | "immediate" | "force" | null;
  /** Label of the offered action */
  action_text: string;
  action_in_progress: boolean;
  graph: PipelineGraph;
  preview: boolean;
  state_url: null;
  tags: Record<string, string>;
  parallelism: number;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
  labels: Record<string, string>;
  /** Labels that a worker must have, with these values, to run it; any worker if empty. A change is an edit of the job */
  placement: Record<string, string>;
};

export type DeadLetter = {
  id: string;
  /** Unix microseconds */
  created_at: number;
  /** Unix microseconds */
  received_at: number;
  /** Source table that read it */
  source_table: string;
  operator_id: string;
  task_index: number;
  /** Size of the payload */
  bytes: number;
  /** Stage that failed */
  stage: "decode" | "transform" | "encode" | "write";
  /** Error code */
  code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable";
  /** The first error */
  message: string;
  /** The first 20 errors */
  errors: Array<{
    /** Stage that failed */
    stage: "decode" | "transform" | "encode" | "write";
    /** Error code */
    code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable";
    row: number | null;
    /** JSON pointer */
    path: string;
    message: string;
  }>;
  failed_rows: Array<number> | null;
  row_count: number | null;
  /** replaying: a replay is requested or in progress */
  state: "waiting" | "replaying";
  /** Number of failed replays */
  replays: number;
  replayed_at: number | null;
};

export type DeadLetterGroup = {
  /** Error code */
  code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable";
  /** Stage that failed */
  stage: "decode" | "transform" | "encode" | "write";
  count: number;
  /** Total size of the payloads */
  bytes: number;
  /** Unix microseconds */
  first_at: number;
  /** Unix microseconds */
  last_at: number;
};

export type DeadLetterContent = {
  id: string;
  /** Unix microseconds */
  created_at: number;
  /** Unix microseconds */
  received_at: number;
  /** Source table that read it */
  source_table: string;
  operator_id: string;
  task_index: number;
  /** Size of the payload */
  bytes: number;
  /** Stage that failed */
  stage: "decode" | "transform" | "encode" | "write";
  /** Error code */
  code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable";
  /** The first error */
  message: string;
  /** The first 20 errors */
  errors: Array<{
    /** Stage that failed */
    stage: "decode" | "transform" | "encode" | "write";
    /** Error code */
    code: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable";
    row: number | null;
    /** JSON pointer */
    path: string;
    message: string;
  }>;
  failed_rows: Array<number> | null;
  row_count: number | null;
  /** replaying: a replay is requested or in progress */
  state: "waiting" | "replaying";
  /** Number of failed replays */
  replays: number;
  replayed_at: number | null;
  payload: {
    base64: string;
    text: string | null;
  };
  /** All metadata columns of the connector; numbers are exact */
  metadata: Record<string, unknown>;
  /** Result with the current table: an object for each row and each error, as in a tail */
  attempt: Array<Record<string, unknown>>;
};

export type PipelinePost = {
  /** Unique among objects of its kind */
  name: string;
  /** SQL */
  query: string;
  /** Number of parallel tasks. Several tasks share the messages of the source and do not keep their order */
  parallelism: number;
  /** User-defined functions. They are not supported: the query may not use them */
  udfs?: Array<unknown> | null;
  checkpoint_interval_micros?: number | null;
  tags?: Record<string, string> | null;
  state_url?: null;
  /** Not supported: {} or left out */
  env_vars?: Record<string, never> | null;
  /** Not supported: {} or left out */
  scheduler_config?: Record<string, never> | null;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
  labels?: Record<string, string>;
  /** Labels that a worker must have, with these values, to run it; any worker if empty. A change is an edit of the job */
  placement?: Record<string, string>;
};

export type SavedPipeline = {
  id: string;
  name: string;
  query: string;
  /** Always empty */
  udfs: Array<unknown>;
  checkpoint_interval_micros: number;
  /** none: run. checkpoint: drain, then stop; open windows are kept. graceful: drain, close all open windows, then stop. immediate, force: stop at once; open windows are kept as of the last checkpoint */
  stop: "none" | "checkpoint" | "graceful" | "immediate" | "force";
  /** Unix microseconds */
  created_at: number;
  /** Value of stop that performs the offered action */
  action: "none" | "checkpoint" | "graceful" | "immediate" | "force" | null;
  /** Label of the offered action */
  action_text: string;
  action_in_progress: boolean;
  graph: PipelineGraph;
  preview: boolean;
  state_url: null;
  tags: Record<string, string>;
  parallelism: number;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
  labels: Record<string, string>;
  /** Labels that a worker must have, with these values, to run it; any worker if empty. A change is an edit of the job */
  placement: Record<string, string>;
  /** Places of a valid query whose result may surprise, with what to write instead; without a span, a placement that no worker meets */
  warnings: Array<{
    message: string;
    /** Lines and columns count from 1 */
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
  /** Running pipelines that adopt the change; each first drains its messages in flight */
  affected_pipelines: Array<{
    id: string;
    name: string;
  }>;
};

export type PipelinePatch = {
  /** none: run. checkpoint: drain, then stop; open windows are kept. graceful: drain, close all open windows, then stop. immediate, force: stop at once; open windows are kept as of the last checkpoint */
  stop?: "none" | "checkpoint" | "graceful" | "immediate" | "force";
  /** Number of parallel tasks. Several tasks share the messages of the source and do not keep their order */
  parallelism?: number;
  checkpoint_interval_micros?: number | null;
  /** Unique among objects of its kind */
  name?: string;
  /** SQL */
  query?: string;
  tags?: Record<string, string | null> | null;
  /** Labels to set; null removes one */
  labels?: Record<string, string | null> | null;
  /** Labels that a worker must have, with these values, to run it; any worker if empty. A change is an edit of the job. In a patch, null removes one */
  placement?: Record<string, string | null> | null;
};

export type OperatorMetricGroup = {
  /** Node in the graph of the pipeline */
  node_id: number;
  metric_groups: Array<{
    /** Messages (or rows, between source and sink) and payload bytes per second. backpressure: messages in flight as a share of the maximum, from 0 to 1. For a transform with a state: watermark_lag in milliseconds, the number of open_windows, and its size in state_bytes */
    name: "messages_recv" | "messages_sent" | "bytes_recv" | "bytes_sent" | "backpressure" | "watermark_lag" | "open_windows" | "state_bytes";
    subtasks: Array<{
      /** Index of the task */
      index: number;
      metrics: Array<{
        /** Unix microseconds: end of the second */
        time: number;
        value: number;
      }>;
    }>;
  }>;
};

export type JobLogMessage = {
  id: string;
  /** Unix microseconds */
  created_at: number;
  operator_id: string | null;
  task_index: number | null;
  level: "info" | "warn" | "error";
  message: string;
  /** JSON: the hint and the fields concerned; for a state change the states and the cause */
  details: string;
  error_domain: "user" | "external" | "internal" | null;
  code: string | null;
};

export type JobErrorGroup = {
  code: string | null;
  level: "warn" | "error";
  /** Number of messages in the stored history */
  count: number;
  /** Unix microseconds */
  first_at: number;
  /** Unix microseconds */
  last_at: number;
  /** The latest message */
  message: string;
};

export type Checkpoint = {
  /** Number of the commit of the state. Without state: of the interval since the job was created */
  epoch: number;
  /** Where the state is: sqlite or postgresql. Without state: broker, which keeps what is not acknowledged */
  backend: string;
  /** delta: it added rows to the state. snapshot: it wrote the whole state. scheduled: there is no state */
  checkpoint_type: "scheduled" | "delta" | "snapshot";
  /** Unix microseconds */
  start_time: number;
  /** When everything that arrived before start_time was acknowledged, to the second */
  finish_time: number | null;
  /** Always empty */
  events: Array<{
    /** Unix microseconds */
    start_time: number;
    /** Unix microseconds */
    finish_time: number;
    event: string;
    description: string;
  }>;
  /** Size of what it wrote; null without state */
  bytes: number | null;
  /** Size of the whole state after it; null without state */
  state_bytes: number | null;
};

export type OperatorCheckpointGroup = {
  operator_id: string;
  /** Size of what the checkpoint wrote of its state; the state is that of a transform */
  bytes: number;
  started_metadata_write: null;
  finish_time: number | null;
  subtasks: Array<{
    index: number;
    bytes: number;
    event_spans: Array<{
      /** Unix microseconds */
      start_time: number;
      /** Unix microseconds */
      finish_time: number;
      event: string;
      description: string;
    }>;
  }>;
};

export type Series = {
  /** Messages received in each step */
  messages_in: Array<number | null>;
  /** Payload bytes received in each step */
  bytes_in: Array<number | null>;
  /** Rows decoded in each step */
  rows_in: Array<number | null>;
  /** Rows that the query emitted in each step */
  rows_out: Array<number | null>;
  /** Messages that the sink confirmed in each step */
  messages_out: Array<number | null>;
  /** Payload bytes that the sink confirmed in each step */
  bytes_out: Array<number | null>;
  /** Messages and rows that could not be processed in each step */
  bad: Array<number | null>;
  /** Reconnects after errors in each step */
  reconnects: Array<number | null>;
  /** Highest number of messages that were not acknowledged; in totals the sum over the tasks */
  in_flight: Array<number | null>;
  /** As in TaskStatus, at the end of the step; in totals that of the slowest task */
  latency_p50_ms: Array<number | null>;
  latency_p95_ms: Array<number | null>;
  latency_p99_ms: Array<number | null>;
  /** Time from the watermark to the clock at the end of the step; in totals the longest */
  watermark_lag_ms: Array<number | null>;
  /** Windows that collect rows at the end of the step; in totals the sum */
  open_windows: Array<number | null>;
  /** Size of the stored state at the end of the step; in totals the sum */
  state_bytes: Array<number | null>;
};

export type JobSeries = {
  /** Unix microseconds: start of the first step */
  start: number;
  /** Length of a step */
  step_micros: number;
  /** Number of steps, and of values in each series */
  length: number;
  /** A task that ran on several workers is there for each of them */
  tasks: Array<{
    /** Index of the task */
    index: number;
    source_operator_id: string;
    sink_operator_id: string;
    /** Name of the worker that ran it */
    worker: string;
    series: Series;
  }>;
  totals: Series;
};

export type Worker = {
  /** PENSTOCK_WORKER_NAME; by default the host name and the process id */
  name: string;
  /** Version of Penstock */
  version: string;
  host: string;
  /** Whether its last heartbeat is younger than 10 seconds */
  alive: boolean;
  /** Whether it gives its tasks to others, because of a request or because it ends */
  draining: boolean;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
  labels: Record<string, string>;
  /** Whether it runs only pipelines whose placement names one of its labels */
  exclusive: boolean;
  /** Maximum number of tasks; null for no limit */
  slots: number | null;
  /** Number of tasks that it runs */
  tasks: number;
  /** Number of jobs that it controls */
  jobs: number;
  /** Sum of the weights of its tasks. Workers are balanced by it */
  load: number;
  /** Unix microseconds */
  started_at: number;
  /** Unix microseconds */
  last_heartbeat: number;
};

export type WorkerWithTasks = {
  /** PENSTOCK_WORKER_NAME; by default the host name and the process id */
  name: string;
  /** Version of Penstock */
  version: string;
  host: string;
  /** Whether its last heartbeat is younger than 10 seconds */
  alive: boolean;
  /** Whether it gives its tasks to others, because of a request or because it ends */
  draining: boolean;
  /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
  labels: Record<string, string>;
  /** Whether it runs only pipelines whose placement names one of its labels */
  exclusive: boolean;
  /** Maximum number of tasks; null for no limit */
  slots: number | null;
  /** Number of tasks that it runs */
  tasks: number;
  /** Number of jobs that it controls */
  jobs: number;
  /** Sum of the weights of its tasks. Workers are balanced by it */
  load: number;
  /** Unix microseconds */
  started_at: number;
  /** Unix microseconds */
  last_heartbeat: number;
  /** Tasks that it runs, at most 1000 */
  placed_tasks: Array<{
    job_id: string;
    pipeline_id: string;
    /** Name of the pipeline */
    pipeline: string;
    /** Index of the task */
    index: number;
    state: "waiting" | "starting" | "running" | "recovering" | "ended" | "finished" | "failed";
  }>;
};

export type DrainPost = {
  /** false lets it take tasks again */
  drain?: boolean;
};

export type SqlFunction = {
  /** In lower case; a query may write it in any case */
  name: string;
  /** scalar: for each row. aggregate: over the rows of a GROUP BY. window: with OVER, or for windows in time in a GROUP BY */
  kind: "scalar" | "aggregate" | "window";
  /** One for each number of arguments. A type is shown if there is only one; … stands for more arguments */
  signatures: Array<string>;
  description: string | null;
};

export type UdfValidationResult = {
  udf_name: string | null;
  errors: Array<string>;
};

export type Bundle = {
  connection_profiles?: Array<ConnectionProfilePost>;
  connection_tables?: Array<{
    /** Unique among objects of its kind */
    name: string;
    connector: string;
    /** Defined by the schema of the connector (GET /connectors/{id}) */
    config: Record<string, unknown>;
    schema?: ConnectionSchema | null;
    /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
    labels?: Record<string, string>;
    /** Name of its connection profile; the id of its connector if that needs none */
    connection_profile: (string);
  }>;
  pipelines?: Array<PipelinePost>;
  /** Deletes the matching objects that are not in the bundle */
  prune?: {
    /** As in lists. It must require a label: objects without labels are never pruned */
    label_selector: string;
  };
};

export type Applied = {
  /** Hash of the changes, of the versions they were compared with and of the affected pipelines */
  plan: string;
  /** False in a plan */
  applied: boolean;
  summary: {
    created: number;
    updated: number;
    unchanged: number;
    deleted: number;
  };
  /** One for each object, in the order of execution */
  changes: Array<{
    kind: "connection_profiles" | "connection_tables" | "pipelines";
    name: string;
    action: "created" | "updated" | "unchanged" | "deleted";
    /** Null in a plan for an object that does not exist yet */
    id: string | null;
    /** The differences of an updated object; otherwise empty */
    diff: Array<{
      /** JSON pointer into the object in the bundle */
      path: string;
      /** Left out if there was no value */
      before?: unknown;
      /** Left out if the value is removed */
      after?: unknown;
      /** A secret is set, changed or removed. Its value is not shown */
      secret?: "changed";
    }>;
  }>;
  /** Running pipelines that adopt the change; each first drains its messages in flight */
  affected_pipelines: Array<{
    id: string;
    name: string;
  }>;
};

export type Exported = {
  connection_profiles?: Array<ConnectionProfilePost>;
  connection_tables?: Array<{
    /** Unique among objects of its kind */
    name: string;
    connector: string;
    /** Defined by the schema of the connector (GET /connectors/{id}) */
    config: Record<string, unknown>;
    schema?: ConnectionSchema | null;
    /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
    labels?: Record<string, string>;
    /** Name of its connection profile; the id of its connector if that needs none */
    connection_profile: (string);
  }>;
  pipelines?: Array<PipelinePost>;
};

export type Caller = {
  /** Name of the key; `anybody` if no key is required */
  name: string;
  /** viewer: read. operator: also write and test. admin: also keys and the audit log */
  role: "viewer" | "operator" | "admin";
  /** Whether calls need a key */
  keys_required: boolean;
};

export type ApiKeyPost = {
  /** Unique among objects of its kind */
  name: string;
  /** viewer: read. operator: also write and test. admin: also keys and the audit log */
  role: "viewer" | "operator" | "admin";
  expires_at?: number | null;
};

export type NewApiKey = {
  id: string;
  name: string;
  /** viewer: read. operator: also write and test. admin: also keys and the audit log */
  role: "viewer" | "operator" | "admin";
  /** Unix microseconds */
  created_at: number;
  expires_at: number | null;
  last_used_at: number | null;
  /** The key, shown only once */
  key: string;
};

export type ApiKey = {
  id: string;
  name: string;
  /** viewer: read. operator: also write and test. admin: also keys and the audit log */
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
  /** Name of the key; `anybody` if no key is required */
  actor: string;
  role: "viewer" | "operator" | "admin";
  /** Client address */
  address: string;
  /** operationId of the call */
  action: string;
  object: string | null;
  /** HTTP status of the response */
  status: number;
  code: string | null;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  request_id: string;
};

/** The parameters, body and response of each operation; `events` are those of its stream. */
export interface Operations {
  /** Return Pong. */
  ping: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: string;
    events: never;
  };
  /** Check that the process is alive. */
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
  /** Check whether the service can handle requests, writes included. */
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
      /** Unique among objects of its kind */
      name: string;
      connector: string;
      /** Defined by the schema of the connector (GET /connectors/{id}) */
      config: Record<string, unknown>;
      /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
      labels?: Record<string, string>;
      /** none: publish nothing. A sink table or a profile is then only tested up to the login */
      probe?: "publish" | "none";
      /** Time limit of the test in milliseconds */
      timeout_ms?: number;
      /** Time limit of each step in milliseconds */
      step_timeout_ms?: number;
    };
    answer: TestResult;
    events: TestMessage;
  };
  /** Test a stored connection profile, with optional changes. */
  testStoredConnectionProfile: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** Unique among objects of its kind */
      name?: string;
      connector?: string;
      /** Defined by the schema of the connector (GET /connectors/{id}) */
      config?: Record<string, unknown>;
      /** none: publish nothing. A sink table or a profile is then only tested up to the login */
      probe?: "publish" | "none";
      /** Time limit of the test in milliseconds */
      timeout_ms?: number;
      /** Time limit of each step in milliseconds */
      step_timeout_ms?: number;
    };
    answer: TestResult;
    events: TestMessage;
  };
  /** Discover what can be read; for MQTT, topics. */
  autocompleteConnectionProfile: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      /** Existing values, by the name of a field of the table config, such as topic */
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
    headers: {
      'if-none-match'?: string;
    };
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
      state?: "keep" | "discard";
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
      state?: "keep" | "discard";
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: ConnectionProfilePatch;
    answer: SavedConnectionProfile;
    events: never;
  };
  /** Delete an unused connection profile. */
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
  /** Get a connection profile by name. */
  getConnectionProfileByName: {
    params: {
      name: string;
    };
    query: Record<string, never>;
    headers: {
      'if-none-match'?: string;
    };
    body: undefined;
    answer: ConnectionProfile;
    events: never;
  };
  /** Create or replace the connection profile with a name. */
  putConnectionProfileByName: {
    params: {
      name: string;
    };
    query: {
      dry_run?: boolean;
      state?: "keep" | "discard";
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
      state?: "keep" | "discard";
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: ConnectionProfilePost;
    answer: ConnectionProfile;
    events: never;
  };
  /** List connection profiles, newest first. */
  listConnectionProfiles: {
    params: Record<string, never>;
    query: {
      label_selector?: string;
      search?: string;
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
      /** Unique among objects of its kind */
      name: string;
      connector: string;
      connection_profile_id?: string | null;
      /** Defined by the schema of the connector (GET /connectors/{id}) */
      config: Record<string, unknown>;
      schema?: ConnectionSchema | null;
      /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
      labels?: Record<string, string>;
      /** none: publish nothing. A sink table or a profile is then only tested up to the login */
      probe?: "publish" | "none";
      /** Time limit of the test in milliseconds */
      timeout_ms?: number;
      /** Time limit of each step in milliseconds */
      step_timeout_ms?: number;
    };
    answer: TestResult;
    events: TestMessage;
  };
  /** Test a stored connection table, with optional changes. */
  testStoredConnectionTable: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** Unique among objects of its kind */
      name?: string;
      connector?: string;
      connection_profile_id?: string;
      /** Defined by the schema of the connector (GET /connectors/{id}) */
      config?: Record<string, unknown>;
      /** A merge patch for the schema */
      schema?: Record<string, unknown>;
      /** none: publish nothing. A sink table or a profile is then only tested up to the login */
      probe?: "publish" | "none";
      /** Time limit of the test in milliseconds */
      timeout_ms?: number;
      /** Time limit of each step in milliseconds */
      step_timeout_ms?: number;
    };
    answer: TestResult;
    events: TestMessage;
  };
  /** Check a connection schema. */
  testConnectionSchema: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: ConnectionSchema;
    answer: null;
    events: never;
  };
  /** Get the CREATE TABLE statement that defines the same table inside a query. */
  getConnectionTableSql: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: ConnectionTableSql;
    events: never;
  };
  /** Infer the schema of a source table from live messages. */
  inferConnectionSchema: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      connector: string;
      connection_profile_id?: string | null;
      /** Config of a profile that is not stored, instead of connection_profile_id */
      profile?: Record<string, unknown>;
      /** Defined by the schema of the connector (GET /connectors/{id}) */
      config: Record<string, unknown>;
      /** A stored table: masks in config stand for its secrets */
      connection_table_id?: string | null;
      /** Inferred from the messages if left out */
      format?: JsonFormat | AvroFormat | ProtobufFormat | ParquetFormat | RawStringFormat | RawBytesFormat | CsvFormat | CborFormat | MsgpackFormat | SparkplugBFormat | SenmlFormat | null;
      /** Number of messages to wait for */
      messages?: number;
      /** Maximum time to wait, in milliseconds */
      timeout_ms?: number;
    };
    answer: InferredSchema;
    events: never;
  };
  /** Watch the messages of a source table as they arrive. */
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
    headers: {
      'if-none-match'?: string;
    };
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
      state?: "keep" | "discard";
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
      state?: "keep" | "discard";
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
  /** Get a connection table by name. */
  getConnectionTableByName: {
    params: {
      name: string;
    };
    query: Record<string, never>;
    headers: {
      'if-none-match'?: string;
    };
    body: undefined;
    answer: ConnectionTable;
    events: never;
  };
  /** Create or replace the connection table with a name. */
  putConnectionTableByName: {
    params: {
      name: string;
    };
    query: {
      dry_run?: boolean;
      state?: "keep" | "discard";
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
      state?: "keep" | "discard";
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: ConnectionTablePost;
    answer: ConnectionTable;
    events: never;
  };
  /** List connection tables by page, newest first. */
  listConnectionTables: {
    params: Record<string, never>;
    query: {
      starting_after?: string;
      limit?: number;
      label_selector?: string;
      search?: string;
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
  /** List the tables and pipelines that use a connection profile. */
  listConnectionProfileDependents: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: Dependents;
    events: never;
  };
  /** List the pipelines that use a connection table. */
  listConnectionTableDependents: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: Dependents;
    events: never;
  };
  /** Restart a pipeline, or start it if it has stopped or failed. */
  restartPipeline: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** Do not wait for messages in flight; they are redelivered */
      force?: boolean | null;
      /** Accepted without effect; state=discard begins without a state */
      ignore_state?: boolean | null;
    };
    answer: Pipeline;
    events: never;
  };
  /** List the dead letters of a pipeline by page, newest first, without their content. */
  listDeadLetters: {
    params: {
      id: string;
    };
    query: {
      starting_after?: string;
      limit?: number;
      code?: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable";
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
  /** Delete the dead letters that match a filter. */
  deleteDeadLetters: {
    params: {
      id: string;
    };
    query: {
      code?: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable";
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
  /** List the dead letters of a pipeline by code and stage, newest first. */
  listDeadLetterGroups: {
    params: {
      id: string;
    };
    query: {
      code?: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable";
      stage?: "decode" | "transform" | "encode" | "write";
      since?: number;
      until?: number;
    };
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<DeadLetterGroup>;
    };
    events: never;
  };
  /** Get a dead letter with its content, and the result of decoding it now. */
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
  /** Delete a dead letter. */
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
  /** Replay dead letters through the current pipeline, as soon as its job runs. */
  replayDeadLetters: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      ids?: Array<string>;
      all?: true;
      /** Error code */
      code?: "invalid_request" | "invalid_config" | "invalid_schema" | "invalid_query" | "unknown_connector" | "not_found" | "name_taken" | "connection_profile_in_use" | "connection_table_in_use" | "dependents_broken" | "precondition_failed" | "plan_stale" | "changed_meanwhile" | "pipeline_running" | "state_would_be_lost" | "illegal_state" | "host_not_allowed" | "cross_site_request" | "method_not_allowed" | "request_timeout" | "headers_too_large" | "expectation_failed" | "unauthorized" | "forbidden" | "payload_too_large" | "unsupported_media_type" | "too_many_requests" | "overloaded" | "database_unavailable" | "database_login_refused" | "database_missing" | "database_forbidden" | "database_read_only" | "database_full" | "database_too_many_connections" | "database_tls_failed" | "database_parameter_refused" | "database_damaged" | "database_migration_failed" | "database_migration_edited" | "database_too_new" | "variable_not_allowed" | "certificate_unreadable" | "secret_unreadable" | "internal" | "bad_data" | "bad_row" | "dead_letters_full" | "source_silent" | "session_discarded" | "cannot_share" | "thread_lost" | "task_taken" | "query_too_slow" | "late_row" | "state_full" | "window_failed" | "name_not_resolved" | "target_not_allowed" | "connection_refused" | "connection_timeout" | "connection_lost" | "network_unreachable" | "tls_certificate_expired" | "tls_unknown_issuer" | "tls_self_signed" | "tls_name_mismatch" | "tls_client_certificate_required" | "tls_client_certificate_refused" | "tls_not_spoken" | "tls_bad_material" | "tls_failed" | "http_unauthorized" | "http_refused" | "http_unavailable" | "http_protocol_error" | "http_too_large" | "schema_registry_unavailable" | "schema_registry_unauthorized" | "schema_registry_refused" | "schema_not_registered" | "schema_incompatible" | "websocket_refused" | "mqtt_not_spoken" | "mqtt_bad_credentials" | "mqtt_not_authorized" | "mqtt_client_id_rejected" | "mqtt_client_id_in_use" | "mqtt_protocol_refused" | "mqtt_server_unavailable" | "mqtt_not_answered" | "mqtt_refused" | "mqtt_will_refused" | "mqtt_shared_unsupported" | "mqtt_shared_forgotten" | "mqtt_unsubscribed_early" | "mqtt_retained_not_shared" | "mqtt_session_lost" | "mqtt_session_shortened" | "mqtt_grant_lessened" | "mqtt_subscribe_refused" | "mqtt_qos_downgraded" | "mqtt_publish_refused" | "mqtt_packet_too_large" | "mqtt_topic_rewritten" | "mqtt_no_message" | "mqtt_protocol_error" | "kafka_not_spoken" | "kafka_too_old" | "kafka_login_refused" | "kafka_login_required" | "kafka_forbidden" | "kafka_advertised_unreachable" | "kafka_topic_missing" | "kafka_topic_invalid" | "kafka_topic_recreated" | "kafka_messages_deleted" | "kafka_offset_beyond_end" | "kafka_group_in_use" | "kafka_group_offsets_missing" | "kafka_offsets_expired" | "kafka_message_refused" | "kafka_not_in_sync" | "kafka_unavailable" | "kafka_producer_fenced" | "kafka_other_cluster" | "kafka_refused" | "kafka_not_readable" | "nats_not_spoken" | "nats_login_refused" | "nats_too_many_connections" | "nats_forbidden" | "nats_jetstream_disabled" | "nats_unavailable" | "nats_not_answered" | "nats_stream_missing" | "nats_subject_uncovered" | "nats_stream_full" | "nats_message_too_large" | "nats_consumer_deleted" | "nats_consumer_lost" | "nats_messages_removed" | "nats_consumer_fixed" | "nats_unsupported" | "nats_refused" | "rabbitmq_not_spoken" | "rabbitmq_login_refused" | "rabbitmq_vhost_refused" | "rabbitmq_too_many_connections" | "rabbitmq_forbidden" | "rabbitmq_queue_missing" | "rabbitmq_wrong_kind" | "rabbitmq_exchange_missing" | "rabbitmq_unavailable" | "rabbitmq_in_use" | "rabbitmq_consumer_cancelled" | "rabbitmq_ack_timeout" | "rabbitmq_delivery_limit" | "rabbitmq_messages_removed" | "rabbitmq_offsets_skipped" | "rabbitmq_stream_replaced" | "rabbitmq_unroutable" | "rabbitmq_rejected" | "rabbitmq_blocked" | "rabbitmq_not_answered" | "rabbitmq_message_too_large" | "rabbitmq_cannot_watch" | "rabbitmq_refused" | "postgres_not_spoken" | "postgres_login_refused" | "postgres_database_missing" | "postgres_unavailable" | "postgres_too_many_connections" | "postgres_full" | "postgres_read_only" | "postgres_conflict" | "postgres_timeout" | "postgres_table_missing" | "postgres_not_a_table" | "postgres_column_missing" | "postgres_column_type" | "postgres_column_generated" | "postgres_column_required" | "postgres_key_not_unique" | "postgres_forbidden" | "postgres_row_refused" | "postgres_precision_cut" | "postgres_may_lose" | "postgres_encoding" | "postgres_refused" | "redis_not_spoken" | "redis_login_refused" | "redis_forbidden" | "redis_cluster_only" | "redis_no_cluster" | "redis_too_old" | "redis_unavailable" | "redis_out_of_memory" | "redis_cannot_save" | "redis_read_only" | "redis_not_confirmed" | "redis_wrong_type" | "redis_too_large" | "redis_refused" | "redis_may_lose" | "redis_group_lost" | "redis_stream_lost" | "redis_entries_lost" | "redis_no_payload" | "file_path_refused" | "file_not_found" | "file_permission_denied" | "file_system_read_only" | "file_no_space" | "file_failed" | "file_damaged" | "file_line_too_long" | "s3_access_denied" | "s3_credentials_missing" | "s3_bucket_missing" | "s3_wrong_region" | "s3_throttled" | "s3_failed" | "s3_refused" | "webhook_message_refused" | "polling_unreadable" | "sse_not_spoken" | "websocket_closed" | "websocket_message_too_large" | "stdout_unwritable";
      /** Stage that failed */
      stage?: "decode" | "transform" | "encode" | "write";
      /** Unix microseconds: stored at this time or later */
      since?: number;
      /** Unix microseconds: stored before this time */
      until?: number;
    };
    answer: {
      /** Number of dead letters to replay */
      asked: number;
    };
    events: never;
  };
  /** Stream the state, tasks and throughput of a pipeline. */
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
    headers: {
      'if-none-match'?: string;
    };
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
      state?: "keep" | "discard";
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
      state?: "keep" | "discard";
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: PipelinePatch;
    answer: SavedPipeline;
    events: never;
  };
  /** Delete a stopped pipeline and its sessions on the brokers. */
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
  /** Get a pipeline by name. */
  getPipelineByName: {
    params: {
      name: string;
    };
    query: Record<string, never>;
    headers: {
      'if-none-match'?: string;
    };
    body: undefined;
    answer: Pipeline;
    events: never;
  };
  /** Create or replace the pipeline with a name. */
  putPipelineByName: {
    params: {
      name: string;
    };
    query: {
      dry_run?: boolean;
      state?: "keep" | "discard";
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
      state?: "keep" | "discard";
    };
    headers: {
      'if-match'?: string;
      'if-none-match'?: string;
    };
    body: PipelinePost;
    answer: {
      id: string;
      name: string;
      query: string;
      /** Always empty */
      udfs: Array<unknown>;
      checkpoint_interval_micros: number;
      /** none: run. checkpoint: drain, then stop; open windows are kept. graceful: drain, close all open windows, then stop. immediate, force: stop at once; open windows are kept as of the last checkpoint */
      stop: "none" | "checkpoint" | "graceful" | "immediate" | "force";
      /** Unix microseconds */
      created_at: number;
      /** Value of stop that performs the offered action */
      action: "none" | "checkpoint" | "graceful" | "immediate" | "force" | null;
      /** Label of the offered action */
      action_text: string;
      action_in_progress: boolean;
      graph: PipelineGraph;
      preview: boolean;
      state_url: null;
      tags: Record<string, string>;
      parallelism: number;
      /** Names and values for selection. Both have up to 63 letters, digits and -_./ and start and end with a letter or digit. A value may be empty */
      labels: Record<string, string>;
      /** Labels that a worker must have, with these values, to run it; any worker if empty. A change is an edit of the job */
      placement: Record<string, string>;
      /** Places of a valid query whose result may surprise, with what to write instead; without a span, a placement that no worker meets */
      warnings: Array<{
        message: string;
        /** Lines and columns count from 1 */
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
  /** List pipelines by page, newest first. */
  listPipelines: {
    params: Record<string, never>;
    query: {
      starting_after?: string;
      limit?: number;
      label_selector?: string;
      search?: string;
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
  /** Check a query and return its graph. */
  validateQuery: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** SQL */
      query: string;
      /** User-defined functions. They are not supported: the query may not use them */
      udfs?: Array<unknown> | null;
    };
    answer: {
      graph: PipelineGraph | null;
      errors: Array<{
        message: string;
        /** Lines and columns count from 1 */
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
      /** Places of a valid query whose result may surprise, with what to write instead; without a span, a placement that no worker meets */
      warnings: Array<{
        message: string;
        /** Lines and columns count from 1 */
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
  /** Get the state and throughput of all pipelines, or stream their changes. */
  getOverview: {
    params: Record<string, never>;
    query: {
      state?: "Created" | "Scheduling" | "Running" | "Recovering" | "Restarting" | "Stopping" | "Stopped" | "Finishing" | "Finished" | "Failing" | "Failed";
      label_selector?: string;
      search?: string;
    };
    headers: Record<string, never>;
    body: undefined;
    answer: Overview;
    events: OverviewEvent;
  };
  /** Run a query on live messages for up to a minute. */
  previewPipeline: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      /** SQL */
      query: string;
      /** User-defined functions. They are not supported: the query may not use them */
      udfs?: Array<unknown> | null;
      /** Whether the rows shown are also written to the sinks of its INSERTs */
      enable_sinks?: boolean;
    };
    answer: Pipeline;
    events: never;
  };
  /** Close the open windows of a preview now. */
  closePreviewWindows: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: Pipeline;
    events: never;
  };
  /** Stream the rows of a preview or of a running pipeline. */
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
        /** Whether it should run */
        running_desired: boolean;
        state: "Created" | "Scheduling" | "Running" | "Recovering" | "Restarting" | "Stopping" | "Stopped" | "Finishing" | "Finished" | "Failing" | "Failed";
        /** Number of starts, and of edits that changed the number of tasks */
        run_id: number;
        start_time: number | null;
        finish_time: number | null;
        tasks: number | null;
        failure_reason: {
          error: string;
          /** The party that has to act */
          domain: "user" | "external" | "internal";
          /** Error code */
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
        /** Number of lost connections since it last ran for a full minute */
        recoveries: number;
        /** Time of the first of these losses */
        recovering_since: number | null;
        /** Whether it lost its connection 5 times or more without running for a full minute */
        crash_looping: boolean;
        /** Name of the worker that controls it. Its tasks may run in others */
        worker: string | null;
      }>;
    };
    events: never;
  };
  /** List the jobs of a pipeline (always one). */
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
        /** Whether it should run */
        running_desired: boolean;
        state: "Created" | "Scheduling" | "Running" | "Recovering" | "Restarting" | "Stopping" | "Stopped" | "Finishing" | "Finished" | "Failing" | "Failed";
        /** Number of starts, and of edits that changed the number of tasks */
        run_id: number;
        start_time: number | null;
        finish_time: number | null;
        tasks: number | null;
        failure_reason: {
          error: string;
          /** The party that has to act */
          domain: "user" | "external" | "internal";
          /** Error code */
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
        /** Number of lost connections since it last ran for a full minute */
        recoveries: number;
        /** Time of the first of these losses */
        recovering_since: number | null;
        /** Whether it lost its connection 5 times or more without running for a full minute */
        crash_looping: boolean;
        /** Name of the worker that controls it. Its tasks may run in others */
        worker: string | null;
      }>;
    };
    events: never;
  };
  /** Get the throughput of each operator in the last 120 seconds. */
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
  /** List the tasks of a running job with their counters. */
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
        /** Whether source and sink are connected */
        connected: boolean;
        /** Input and output since the job started. Between source and sink, messages are rows */
        operators: Array<{
          operator_id: string;
          /** Node in the graph of the pipeline */
          node_id: number;
          kind: "source" | "transform" | "sink";
          messages_in: number;
          messages_out: number;
          /** Null if rows have no size here */
          bytes_in: number | null;
          bytes_out: number | null;
        }>;
        /** Messages and rows that could not be processed */
        bad: number;
        /** Messages received but not yet acknowledged */
        in_flight: number;
        batches: number;
        /** Average number of messages per batch */
        batch_size: number | null;
        /** Time from the arrival of a batch to the confirmation by the sink, over the last one to two minutes; up to 10 % too high. Null if nothing was sent */
        latency_ms: {
          p50: number;
          p95: number;
          p99: number;
        } | null;
        /** Number of reconnects after errors */
        reconnects: number;
        last_error: {
          code: string;
          message: string;
          at: number;
        } | null;
        /** Unix microseconds */
        sampled_at: number;
        /** waiting: no worker has it yet. recovering: it connects again after an error */
        state: "waiting" | "starting" | "running" | "recovering" | "ended" | "finished" | "failed";
        /** Name of the worker that runs it */
        worker: string | null;
        /** Of a task with windows or aggregates; null for others */
        windows: {
          /** All rows up to this time are taken to have arrived */
          watermark: number | null;
          /** Time from the watermark to the clock */
          watermark_lag_ms: number | null;
          /** Windows that collect rows */
          open: number;
          /** Windows closed since the state began */
          closed: number;
          /** Rows that came after their windows had closed, since the state began */
          late_rows: number;
          /** Size of the stored state */
          state_bytes: number;
          /** Duration of the last commit of the state */
          checkpoint_ms: number;
        } | null;
      }>;
    };
    events: never;
  };
  /** List the errors, warnings and state changes of a job by page, newest first. */
  listJobErrors: {
    params: {
      id: string;
      job_id: string;
    };
    query: {
      starting_after?: string;
      limit?: number;
      level?: "info" | "warn" | "error";
      highest_level?: "info" | "warn" | "error";
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
  /** List the errors and warnings of a job by code and level, newest first. */
  listJobErrorGroups: {
    params: {
      id: string;
      job_id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<JobErrorGroup>;
    };
    events: never;
  };
  /** List the latest checkpoints of a job: commits of its state, or what a running job had acknowledged. */
  listJobCheckpoints: {
    params: {
      id: string;
      job_id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<Checkpoint>;
    };
    events: never;
  };
  /** List the operators in a checkpoint (empty if it is no longer listed). */
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
      data: Array<OperatorCheckpointGroup>;
    };
    events: never;
  };
  /** Get the last hour of a job in steps of 10 seconds. */
  getJobSeries: {
    params: {
      id: string;
      job_id: string;
    };
    query: {
      since?: number;
    };
    headers: Record<string, never>;
    body: undefined;
    answer: JobSeries;
    events: never;
  };
  /** List the workers, by name. */
  listWorkers: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<Worker>;
    };
    events: never;
  };
  /** Get a worker with its tasks. */
  getWorker: {
    params: {
      name: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: WorkerWithTasks;
    events: never;
  };
  /** Let a worker give its tasks to others, or take tasks again. */
  drainWorker: {
    params: {
      name: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: DrainPost;
    answer: Worker;
    events: never;
  };
  /** List the SQL functions that a query may call, by name. */
  listFunctions: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: {
      data: Array<SqlFunction>;
    };
    events: never;
  };
  /** List user-defined functions (always empty). */
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
  /** Refuse a user-defined function (none is supported). */
  createUdf: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      definition: string;
      language?: "python" | "rust";
      prefix?: string | null;
      description?: string | null;
    };
    answer: null;
    events: never;
  };
  /** Check a user-defined function (none is supported). */
  validateUdf: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: {
      definition: string;
      language?: "python" | "rust";
    };
    answer: UdfValidationResult;
    events: never;
  };
  /** Delete a user-defined function (there is none). */
  deleteUdf: {
    params: {
      id: string;
    };
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: null;
    events: never;
  };
  /** Apply a bundle of profiles, tables and pipelines, all or nothing. */
  apply: {
    params: Record<string, never>;
    query: {
      dry_run?: boolean;
      state?: "keep" | "discard";
      plan?: string;
    };
    headers: Record<string, never>;
    body: Bundle;
    answer: Applied;
    events: never;
  };
  /** Export profiles, tables and pipelines as a bundle. */
  export: {
    params: Record<string, never>;
    query: {
      label_selector?: string;
      kind?: "connection_profiles" | "connection_tables" | "pipelines";
      name?: string;
      format?: "json" | "yaml";
    };
    headers: Record<string, never>;
    body: undefined;
    answer: Exported;
    events: never;
  };
  /** Get the name and the role of the calling key. */
  getCaller: {
    params: Record<string, never>;
    query: Record<string, never>;
    headers: Record<string, never>;
    body: undefined;
    answer: Caller;
    events: never;
  };
  /** Create an API key; only this response shows it. */
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
  /** List audit records, newest first; the newest 100,000 are kept. */
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

/** The method and path of each operation. */
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
  getConnectionTableSql: ['GET', '/api/v1/connection_tables/{id}/sql'],
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
  listConnectionProfileDependents: ['GET', '/api/v1/connection_profiles/{id}/dependents'],
  listConnectionTableDependents: ['GET', '/api/v1/connection_tables/{id}/dependents'],
  restartPipeline: ['POST', '/api/v1/pipelines/{id}/restart'],
  listDeadLetters: ['GET', '/api/v1/pipelines/{id}/dead_letters'],
  deleteDeadLetters: ['DELETE', '/api/v1/pipelines/{id}/dead_letters'],
  listDeadLetterGroups: ['GET', '/api/v1/pipelines/{id}/dead_letters/groups'],
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
  getOverview: ['GET', '/api/v1/overview'],
  previewPipeline: ['POST', '/api/v1/pipelines/preview'],
  closePreviewWindows: ['POST', '/api/v1/pipelines/preview/{id}/close_windows'],
  readPreviewOutput: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/output'],
  listJobs: ['GET', '/api/v1/jobs'],
  listPipelineJobs: ['GET', '/api/v1/pipelines/{id}/jobs'],
  getOperatorMetricGroups: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/operator_metric_groups'],
  listJobTasks: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/tasks'],
  listJobErrors: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/errors'],
  listJobErrorGroups: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/error_groups'],
  listJobCheckpoints: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/checkpoints'],
  listOperatorCheckpointGroups: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/checkpoints/{epoch}/operator_checkpoint_groups'],
  getJobSeries: ['GET', '/api/v1/pipelines/{id}/jobs/{job_id}/series'],
  listWorkers: ['GET', '/api/v1/workers'],
  getWorker: ['GET', '/api/v1/workers/{name}'],
  drainWorker: ['POST', '/api/v1/workers/{name}/drain'],
  listFunctions: ['GET', '/api/v1/functions'],
  listUdfs: ['GET', '/api/v1/udfs'],
  createUdf: ['POST', '/api/v1/udfs'],
  validateUdf: ['POST', '/api/v1/udfs/validate'],
  deleteUdf: ['DELETE', '/api/v1/udfs/{id}'],
  apply: ['POST', '/api/v1/apply'],
  export: ['GET', '/api/v1/export'],
  getCaller: ['GET', '/api/v1/caller'],
  createApiKey: ['POST', '/api/v1/api_keys'],
  listApiKeys: ['GET', '/api/v1/api_keys'],
  deleteApiKey: ['DELETE', '/api/v1/api_keys/{id}'],
  listAuditRecords: ['GET', '/api/v1/audit'],
} as const;
