import { type DescribedError, errorMaker } from '../../../errors.ts';

/** The error codes of Redis. Codes for names, networks and TLS belong to the core. */
export const redisErrors = {
  redis_not_spoken: {
    title: 'The server does not speak Redis on this port',
    passing: false,
    means: 'The server on this port uses another protocol, or it expects TLS.',
    todo: 'Check the address. Redis usually listens on 6379. With TLS the address begins with `rediss://`.',
  },
  redis_login_refused: {
    title: 'The server refuses the login',
    passing: false,
    means: 'The user or the password is wrong, the user is off, or the server needs a password and got none.',
    todo: 'Correct `username` and `password` of the profile. `ACL GETUSER` at the server shows the user.',
  },
  redis_forbidden: {
    title: 'The user lacks a permission',
    passing: false,
    means:
      'The ACL of the user forbids a command or a key. A job fails if it is a command. A row whose key is forbidden is refused.',
    todo: 'Give the permission, as in the hint of the test: `ACL SETUSER`.',
  },
  redis_cluster_only: {
    title: 'The server belongs to a cluster',
    passing: false,
    means: 'A cluster keeps each key on one of its nodes. The profile names a single server.',
    todo: 'Use `addresses` of the profile instead of `address`.',
  },
  redis_no_cluster: {
    title: 'The server belongs to no cluster',
    passing: false,
    means: 'The profile has `addresses`, which are those of a cluster.',
    todo: 'Use `address` of the profile.',
  },
  redis_too_old: {
    title: 'The server is too old',
    passing: false,
    means: 'Redis 6.2 or later is needed: streams need `XAUTOCLAIM`. Waiting for the AOF needs Redis 7.2.',
    todo: 'Upgrade the server, or turn off what needs the newer version.',
  },
  redis_unavailable: {
    title: 'The server is not available',
    passing: true,
    means:
      'The server loads its data, runs a script, has lost its master, or its cluster is incomplete or moves the key. A job tries again.',
    todo: 'Look at the log of the server if it lasts.',
  },
  redis_out_of_memory: {
    title: 'The server has no memory left',
    passing: true,
    means: 'The data has reached `maxmemory`, and the server evicts nothing. A job waits and tries again.',
    todo: 'Make room, raise `maxmemory`, or limit the data: `ttlSecs`, `maxLength`.',
  },
  redis_cannot_save: {
    title: 'The server cannot write to its disk',
    passing: true,
    means:
      'The server refuses writes, because it could not save the data before. A job waits and tries again.',
    todo: 'Make room on the disk of the server, and look at its log.',
  },
  redis_read_only: {
    title: 'The server is a replica',
    passing: true,
    means: 'A replica refuses writes. A job tries again, as after a failover.',
    todo: 'Connect to the master.',
  },
  redis_not_confirmed: {
    title: 'The data is not as safe as the table asks for',
    passing: true,
    means:
      'Fewer replicas than `waitReplicas` have the data, or the AOF was not written in time. A job writes the messages again.',
    todo: 'Check the replicas and the disk of the server, or lower what the table asks for.',
  },
  redis_wrong_type: {
    title: 'The key holds another type',
    passing: false,
    means: 'The key exists with another type, such as a list in place of a string. The row is refused.',
    todo: 'Use another prefix or column for the key, or delete the key at the server.',
  },
  redis_too_large: {
    title: 'The message is too large for the server',
    passing: false,
    means:
      'The message exceeds `proto-max-bulk-len` or `client-query-buffer-limit` of the server. The row is refused.',
    todo: 'Raise the limits at the server, or send smaller messages.',
  },
  redis_refused: {
    title: 'The server refuses a command',
    passing: false,
    means:
      'The server refuses a command for a reason that repeating does not change. The message has its words.',
    todo: 'Look at the words of the server.',
  },
  redis_may_lose: {
    title: 'The server may lose confirmed data',
    passing: false,
    means:
      'The server confirms data before it is on disk: `appendonly` is off, or `appendfsync` is not `always`. Or it evicts keys when memory is full.',
    todo: 'Turn on `appendonly` and set `appendfsync` to `always` if nothing may be lost when the server crashes.',
  },
  redis_group_lost: {
    title: 'The consumer group was deleted',
    passing: true,
    means:
      'Someone deleted the group, or the server lost it in a crash. It is created again where the job knew that everything before was read: entries may be read twice, none is skipped.',
    todo: 'Nothing. To stop a job from reading, stop the pipeline before you delete the group.',
  },
  redis_stream_lost: {
    title: 'The stream was deleted',
    passing: true,
    means:
      'The key of the stream is gone, or it holds a newer stream. Entries that were not read are lost. The job reads the new stream from its beginning.',
    todo: 'Look for what deletes the key: `DEL`, `FLUSHALL`, an expiry, or a server without persistence.',
  },
  redis_entries_lost: {
    title: 'Entries were removed before they were read',
    passing: false,
    means:
      'The stream was trimmed (`MAXLEN`, `XTRIM`) or entries were deleted while they waited. They are lost for this group.',
    todo: 'Let writers keep more entries than the job can fall behind, or read faster.',
  },
  redis_no_payload: {
    title: 'Entries lack the payload field',
    passing: false,
    means:
      'An entry has no field of the name in `payloadField`. Its payload is empty, which most formats refuse.',
    todo: 'Correct `payloadField`, or read all fields with `entry` = `fields`.',
  },
} as const satisfies Record<string, DescribedError>;

export type RedisErrorCode = keyof typeof redisErrors;

export const redisError = errorMaker(redisErrors);
