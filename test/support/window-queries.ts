/** Queries over windows of the tables `a` and `b` with the columns `id`, `k`, `v` and the event time `ts`. */

const tumble = (table: string) =>
  `SELECT tumble(INTERVAL '4 seconds') AS window, k, count(*) AS n, sum(v) AS t, avg(v) AS m FROM ${table} GROUP BY window, k`;
const bucket = (table: string) =>
  `SELECT time_bucket(INTERVAL '4 seconds', ts) AS s, k, count(*) AS n, CAST(sum(v) AS BIGINT) AS t, avg(v) AS m FROM ${table} GROUP BY ALL`;

/** What a stream computes, and the same for a table. */
export const queries: Record<string, [stream: string, table: string]> = {
  'tumble, folded': [
    `SELECT epoch_us(window.start) AS s, k, n, t, m FROM (${tumble('a')})`,
    `SELECT epoch_us(s) AS s, k, n, t, m FROM (${bucket('a')})`,
  ],
  'tumble, rows': [
    `SELECT epoch_us(window.end) AS e, l, n FROM (SELECT tumble(INTERVAL '3 seconds') AS window, list(v ORDER BY id) AS l,
      count(DISTINCT k) AS n FROM a WHERE v > 0 GROUP BY 1)`,
    `SELECT epoch_us(time_bucket(INTERVAL '3 seconds', ts)) + 3000000 AS e, list(v ORDER BY id) AS l, count(DISTINCT k) AS n
      FROM a WHERE v > 0 GROUP BY ALL`,
  ],
  'hop, rows': [
    `SELECT epoch_us(window.start) AS s, k, l FROM (SELECT hop(INTERVAL '2 seconds', INTERVAL '6 seconds') AS window, k,
      list(v ORDER BY id) AS l FROM a GROUP BY 1, 2)`,
    `SELECT epoch_us(s) AS s, k, list(v ORDER BY id) AS l FROM (SELECT *, unnest(generate_series(
      time_bucket(INTERVAL '2 seconds', ts) - INTERVAL '4 seconds', time_bucket(INTERVAL '2 seconds', ts), INTERVAL '2 seconds')) AS s
      FROM a) GROUP BY ALL`,
  ],
  'hop, folded': [
    `SELECT epoch_us(window.start) AS s, k, n FROM (SELECT hop(INTERVAL '3 seconds', INTERVAL '6 seconds') AS window, k,
      sum(v) FILTER (v > 2) AS n FROM a GROUP BY 1, 2) WHERE n IS NOT NULL`,
    `SELECT epoch_us(s) AS s, k, n FROM (SELECT s, k, CAST(sum(v) FILTER (v > 2) AS BIGINT) AS n FROM (SELECT *, unnest(generate_series(
      time_bucket(INTERVAL '3 seconds', ts) - INTERVAL '3 seconds', time_bucket(INTERVAL '3 seconds', ts), INTERVAL '3 seconds')) AS s
      FROM a) GROUP BY s, k) WHERE n IS NOT NULL`,
  ],
  session: [
    `SELECT epoch_us(window.start) AS s, epoch_us(window.end) AS e, k, n FROM (SELECT session(INTERVAL '2 seconds') AS window, k,
      count(*) AS n FROM a GROUP BY 1, 2)`,
    `SELECT min(epoch_us(ts)) AS s, max(epoch_us(ts)) + 2000000 AS e, k, count(*) AS n FROM (SELECT *, count(*) FILTER (b IS NULL OR
      ts - b >= INTERVAL '2 seconds') OVER (PARTITION BY k ORDER BY ts) AS g FROM (SELECT *, lag(ts) OVER (PARTITION BY k ORDER BY ts) AS b FROM a))
      GROUP BY k, g`,
  ],
  join: [
    `SELECT epoch_us(x.window.start) AS s, x.k AS k, x.n AS n, y.t AS t FROM (${tumble('a')}) x
      LEFT JOIN (${tumble('b')}) y ON x.k = y.k AND x.window = y.window`,
    `SELECT epoch_us(x.s) AS s, x.k AS k, x.n AS n, y.t AS t FROM (${bucket('a')}) x LEFT JOIN (${bucket('b')}) y ON x.k = y.k AND x.s = y.s`,
  ],
  'top two': [
    `SELECT epoch_us(window.start) AS s, k, n, r FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window ORDER BY n DESC, k) AS r
      FROM (${tumble('a')})) WHERE r <= 2`,
    `SELECT epoch_us(s) AS s, k, n, r FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY s ORDER BY n DESC, k) AS r FROM (${bucket('a')})) WHERE r <= 2`,
  ],
  'union below': [
    `SELECT epoch_us(window.start) AS s, n FROM (SELECT tumble(INTERVAL '4 seconds') AS window, count(*) AS n
      FROM (SELECT ts, k FROM a UNION ALL SELECT ts, k FROM b) GROUP BY 1)`,
    `SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, count(*) AS n FROM (SELECT ts FROM a UNION ALL SELECT ts FROM b) GROUP BY ALL`,
  ],
};

/** The same for further forms of a query. */
export const forms: Record<string, [stream: string, table: string]> = {
  'names in another case': [
    "SELECT epoch_us(w.start) AS s, x, y, z FROM (SELECT tumble(INTERVAL '4 seconds') AS w, sum(V) AS x, SUM(v) AS y, sum(a.v) + 1 AS z FROM a GROUP BY w)",
    "SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, CAST(sum(v) AS BIGINT) AS x, CAST(sum(v) AS BIGINT) AS y, CAST(sum(v) + 1 AS BIGINT) AS z FROM a GROUP BY ALL",
  ],
  'one table twice, full join': [
    "SELECT epoch_us(x.w.start) AS s, x.k AS k, x.n AS n, y.n AS m FROM (SELECT tumble(INTERVAL '4 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1,2) x FULL JOIN (SELECT tumble(INTERVAL '4 seconds') AS w, k, count(*) AS n FROM a WHERE v > 0 GROUP BY 1, 2) y ON x.k = y.k",
    "SELECT epoch_us(x.w) AS s, x.k AS k, x.n AS n, y.n AS m FROM (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, k, count(*) AS n FROM a GROUP BY ALL) x FULL JOIN (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, k, count(*) AS n FROM a WHERE v > 0 GROUP BY ALL) y ON x.k = y.k AND x.w = y.w",
  ],
  'right join with USING': [
    "SELECT epoch_us(y.w.start) AS s, y.k AS k, x.n AS n, y.n AS m FROM (SELECT tumble(INTERVAL '4 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1,2) x RIGHT JOIN (SELECT tumble(INTERVAL '4 seconds') AS w, k, count(*) AS n FROM b WHERE v > 0 GROUP BY 1, 2) y USING (k)",
    "SELECT epoch_us(y.w) AS s, y.k AS k, x.n AS n, y.n AS m FROM (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, k, count(*) AS n FROM a GROUP BY ALL) x RIGHT JOIN (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, k, count(*) AS n FROM b WHERE v > 0 GROUP BY ALL) y ON x.k = y.k AND x.w = y.w",
  ],
  HAVING: [
    "SELECT epoch_us(w.start) AS s, k, n FROM (SELECT tumble(INTERVAL '4 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1, 2 HAVING n > 1 AND sum(v) IS NOT NULL AND k IS NOT NULL)",
    "SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, k, count(*) AS n FROM a GROUP BY ALL HAVING count(*) > 1 AND sum(v) IS NOT NULL AND k IS NOT NULL",
  ],
  'a group that is an expression': [
    "SELECT epoch_us(w.start) AS s, u, p, n FROM (SELECT tumble(INTERVAL '4 seconds') AS w, upper(k) AS u, upper(k) || 'x' AS p, count(v) AS n FROM a GROUP BY w, upper(K))",
    "SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, upper(k) AS u, upper(k) || 'x' AS p, count(v) AS n FROM a GROUP BY ALL",
  ],
  'a name of the list that is a column': [
    "SELECT epoch_us(w.start) AS s, v, n FROM (SELECT tumble(INTERVAL '4 seconds') AS w, id % 3 AS v, sum(v) AS n FROM a GROUP BY w, id % 3)",
    "SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, id % 3 AS v, CAST(sum(v) AS BIGINT) AS n FROM a GROUP BY epoch_us(time_bucket(INTERVAL '4 seconds', ts)), id % 3",
  ],
  'a group of a type that no table can hold': [
    "SELECT epoch_us(w.start) AS s, d, n FROM (SELECT tumble(INTERVAL '4 seconds') AS w, CAST(CAST(ts AS DATE) AS TEXT) AS d, count(*) AS n FROM a GROUP BY w, CAST(ts AS DATE))",
    "SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, CAST(CAST(ts AS DATE) AS TEXT) AS d, count(*) AS n FROM a GROUP BY ALL",
  ],
  'folded aggregates': [
    "SELECT epoch_us(w.start) AS s, x, y, z, q, m, e FROM (SELECT tumble(INTERVAL '4 seconds') AS w, bool_or(v > 2) AS x, bit_xor(v) AS y, max(k) AS z, count(*) FILTER (k IS NULL) AS q, avg(v::DECIMAL(8,2)) AS m, count_if(v > 0) AS e FROM a GROUP BY w)",
    "SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, bool_or(v > 2) AS x, bit_xor(v) AS y, max(k) AS z, count(*) FILTER (k IS NULL) AS q, avg(v::DECIMAL(8,2)) AS m, CAST(count_if(v > 0) AS BIGINT) AS e FROM a GROUP BY ALL",
  ],
  'aggregates over rows': [
    "SELECT epoch_us(w.start) AS s, x, y, z, q FROM (SELECT tumble(INTERVAL '4 seconds') AS w, arg_max(v, id) AS x, first(v ORDER BY id) AS y, string_agg(k, '-' ORDER BY id DESC) AS z, count(DISTINCT v) FILTER (v > 0) AS q FROM a GROUP BY w)",
    "SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, arg_max(v, id) AS x, first(v ORDER BY id) AS y, string_agg(k, '-' ORDER BY id DESC) AS z, count(DISTINCT v) FILTER (v > 0) AS q FROM a GROUP BY ALL",
  ],
  'aggregates of aggregates': [
    "SELECT epoch_us(w.start) AS s, m, c FROM (SELECT w, max(n) AS m, count(*) AS c FROM (SELECT tumble(INTERVAL '4 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1, 2) GROUP BY w)",
    "SELECT epoch_us(w) AS s, max(n) AS m, count(*) AS c FROM (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, k, count(*) AS n FROM a GROUP BY ALL) GROUP BY w",
  ],
  'a literal as group': [
    "SELECT epoch_us(w.start) AS s, c, n FROM (SELECT tumble(INTERVAL '4 seconds') AS w, 'x' AS c, count(*) AS n FROM a GROUP BY w, c)",
    "SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, 'x' AS c, count(*) AS n FROM a GROUP BY ALL",
  ],
  'UNNEST below': [
    "SELECT epoch_us(w.start) AS s, u, n FROM (SELECT tumble(INTERVAL '4 seconds') AS w, u, count(*) AS n FROM (SELECT ts, unnest([v, id]) AS u FROM a) GROUP BY 1, 2)",
    "SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, u, count(*) AS n FROM (SELECT ts, unnest([v, id]) AS u FROM a) GROUP BY ALL",
  ],
  'UNION ALL of results': [
    "SELECT epoch_us(w.start) AS s, n FROM (SELECT tumble(INTERVAL '4 seconds') AS w, count(*) AS n FROM a GROUP BY w UNION ALL SELECT tumble(INTERVAL '4 seconds') AS w, sum(v) AS n FROM b GROUP BY w)",
    "SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, count(*) AS n FROM a GROUP BY ALL UNION ALL SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, CAST(sum(v) AS BIGINT) AS n FROM b GROUP BY ALL",
  ],
  'QUALIFY beside GROUP BY': [
    "SELECT epoch_us(w.start) AS s, k, n FROM (SELECT tumble(INTERVAL '4 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1, 2 QUALIFY row_number() OVER (PARTITION BY w ORDER BY n, k) = 1)",
    "SELECT epoch_us(w) AS s, k, n FROM (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, k, count(*) AS n FROM a GROUP BY w, k QUALIFY row_number() OVER (PARTITION BY w ORDER BY n, k) = 1)",
  ],
  'a running sum beside GROUP BY': [
    "SELECT epoch_us(w.start) AS s, k, c FROM (SELECT tumble(INTERVAL '4 seconds') AS w, k, sum(count(*)) OVER (PARTITION BY w ORDER BY k) AS c FROM a GROUP BY 1, 2)",
    "SELECT epoch_us(w) AS s, k, CAST(c AS BIGINT) AS c FROM (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, k, sum(count(*)) OVER (PARTITION BY w ORDER BY k) AS c FROM a GROUP BY w, k)",
  ],
  'ANTI JOIN': [
    "SELECT epoch_us(x.w.start) AS s, x.k AS k FROM (SELECT tumble(INTERVAL '4 seconds') AS w, k, count(*) AS n FROM a GROUP BY 1,2) x ANTI JOIN (SELECT tumble(INTERVAL '4 seconds') AS w, k, count(*) AS n FROM b GROUP BY 1, 2) y ON x.k = y.k",
    "SELECT epoch_us(x.w) AS s, x.k AS k FROM (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, k, count(*) AS n FROM a GROUP BY ALL) x ANTI JOIN (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, k, count(*) AS n FROM b GROUP BY ALL) y ON x.k = y.k AND x.w = y.w",
  ],
  'filters that let nothing through': [
    "SELECT epoch_us(w.start) AS s, n, t FROM (SELECT tumble(INTERVAL '4 seconds') AS w, count(*) FILTER (v > 100) AS n, sum(v) FILTER (v > 100) AS t FROM a GROUP BY w)",
    "SELECT epoch_us(time_bucket(INTERVAL '4 seconds', ts)) AS s, count(*) FILTER (v > 100) AS n, CAST(sum(v) FILTER (v > 100) AS BIGINT) AS t FROM a GROUP BY ALL",
  ],
  'three sides': [
    "SELECT epoch_us(x.w.start) AS s, x.n AS n, y.n AS m, z.n AS o FROM (SELECT tumble(INTERVAL '4 seconds') AS w, count(*) AS n FROM a GROUP BY 1) x LEFT JOIN (SELECT tumble(INTERVAL '4 seconds') AS w, count(*) AS n FROM b GROUP BY 1) y ON true LEFT JOIN (SELECT tumble(INTERVAL '4 seconds') AS w, sum(v) AS n FROM a WHERE v > 3 GROUP BY 1) z ON true",
    "SELECT epoch_us(x.w) AS s, x.n AS n, y.n AS m, z.n AS o FROM (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, count(*) AS n FROM a GROUP BY ALL) x LEFT JOIN (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, count(*) AS n FROM b GROUP BY ALL) y ON x.w = y.w LEFT JOIN (SELECT time_bucket(INTERVAL '4 seconds', ts) AS w, CAST(sum(v) AS BIGINT) AS n FROM a WHERE v > 3 GROUP BY ALL) z ON x.w = z.w",
  ],
};

/** Results that change, with a key and without one. */
export const updates: Record<string, [stream: string, table: string]> = {
  'by key': [
    'SELECT k, count(*) AS n, sum(v) AS t FROM a GROUP BY k HAVING count(*) % 3 <> 0',
    'SELECT k, count(*) AS n, CAST(sum(v) AS BIGINT) AS t FROM a GROUP BY ALL HAVING count(*) % 3 <> 0',
  ],
  'a join': [
    'SELECT x.v AS v, y.id AS id FROM a x JOIN b y ON x.k = y.k WHERE x.v > 1',
    'SELECT x.v AS v, y.id AS id FROM a x JOIN b y ON x.k = y.k WHERE x.v > 1',
  ],
};
