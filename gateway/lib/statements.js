// Every statement of the gateway but those of /v1/sql, /v1/vector and /metrics.  Each is prepared under its
// name, once a connection; nothing of a request ever becomes a part of one.
//
// Bodies of requests are $1::jsonb as they came.  bigint becomes text: a JSON number above 2^53
// is another one in many a client.  Rows that become answers are JSON made by the server.

const prepare = (statements) => Object.fromEntries(Object.entries(statements).map(([name, text]) => [name, { name, text }]));

// The rows of a query with columns id and line, as long as they fit into so many bytes; the first
// in any case.  total: how many there are without that.
export const fitting = (query, bytes) => `
  SELECT id::text AS id, line, total FROM (
    SELECT id, line, sum(octet_length(line)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS upto, count(*) OVER () AS total
    FROM (${query}) AS q) AS f
  WHERE upto <= ${bytes}::bigint OR upto = octet_length(line) ORDER BY f.id`;

export const statements = prepare({
  health: 'SELECT 1',
  build_info: 'SELECT row_to_json(b)::text AS line FROM kyro.build_info AS b',

  append: `SELECT kyro.append(b->>'log', b->'payload', (b->>'key')::bigint, b->>'kind', (b->>'request_id')::uuid)::text AS "offset"
    FROM (SELECT $1::jsonb) AS t(b)`,
  append_bytes: `SELECT kyro.append_bytes(b->>'log', decode(b->>'payload_base64', 'base64'), (b->>'key')::bigint, b->>'kind', (b->>'request_id')::uuid)::text AS "offset"
    FROM (SELECT $1::jsonb) AS t(b)`,
  append_batch: `SELECT to_json(kyro.append_batch(b->>'log', payloads, keys, kinds, CASE WHEN requests THEN ids END)::text[])::text AS line
    FROM (SELECT $1::jsonb) AS t(b), LATERAL (
      SELECT array_agg(e->'payload' ORDER BY n) AS payloads, array_agg((e->>'key')::bigint ORDER BY n) AS keys, array_agg(e->>'kind' ORDER BY n) AS kinds,
             array_agg((e->>'request_id')::uuid ORDER BY n) AS ids, bool_or(e->>'request_id' IS NOT NULL) AS requests
      FROM jsonb_array_elements(b->'events') WITH ORDINALITY AS x(e, n)) AS a`,

  // log, from, to, limit, most rows, bytes
  replay: fitting(`
    SELECT e."offset" AS id, row_to_json(r)::text AS line
    FROM kyro.replay($1, coalesce($2::bigint, 1), $3::bigint, least(coalesce($4::bigint, $5::bigint), $5::bigint)) AS e,
         LATERAL (SELECT e."offset"::text AS "offset", e.at, e.key::text AS key, e.kind, e.payload, e.request_id) AS r`, '$6'),
  // listens, and says by an error if that is no log, or the place is beyond its end
  listen: 'SELECT kyro.channel($1) AS channel, (SELECT count(*) FROM kyro.subscribe($1, 1, 0)) AS none',
  unlisten: 'SELECT kyro.unsubscribe($1)',
  offset: 'SELECT kyro.last_offset($1)::text AS last, kyro.stable_offset($1)::text AS stable',

  put: `SELECT kyro.put(b->>'kv', (b->>'key')::bigint, b->>'value', (b->>'if_offset')::bigint)::text AS "offset" FROM (SELECT $1::jsonb) AS t(b)`,
  get: `SELECT row_to_json(r)::text AS line
    FROM kyro.get_many($1, ARRAY[$2::bigint]) AS g, LATERAL (SELECT g.key::text AS key, g.value, g.changed_at::text AS "offset") AS r`,
  get_at_offset: 'SELECT kyro.get($1, $2::bigint, $3::bigint) AS value',
  get_at_time: 'SELECT kyro.get($1, $2::bigint, $3::timestamptz) AS value',
  lookup: fitting(`
    SELECT g.key AS id, row_to_json(r)::text AS line
    FROM (SELECT $1::jsonb) AS t(b),
         LATERAL kyro.get_many(b->>'kv', ARRAY(SELECT k::bigint FROM jsonb_array_elements_text(b->'keys') AS k)) AS g,
         LATERAL (SELECT g.key::text AS key, g.value, g.changed_at::text AS "offset") AS r`, '$2'),
  // kv, from, to, limit, most rows, bytes
  scan: fitting(`
    SELECT g.key AS id, row_to_json(r)::text AS line
    FROM kyro.scan($1, $2::bigint, $3::bigint, least(coalesce($4::bigint, $5::bigint), $5::bigint)) AS g,
         LATERAL (SELECT g.key::text AS key, g.value, g.changed_at::text AS "offset") AS r`, '$6'),

  pgvector: "SELECT (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector') AS schema",
  // names as SQL writes them, quoted by the server
  vector_table: `SELECT t.rel::text AS "table", count(*) FILTER (WHERE y.typname = 'vector') AS columns, min(quote_ident(a.attname)) FILTER (WHERE y.typname = 'vector') AS column,
      coalesce(bool_or(a.attname = 'id' AND a.atttypid = 'bigint'::regtype), false) AS id, coalesce(bool_or(a.attname = 'payload' AND a.atttypid = 'jsonb'::regtype), false) AS payload
    FROM (SELECT $1::regclass AS rel) AS t
    LEFT JOIN pg_attribute a ON a.attrelid = t.rel AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_extension e ON e.extname = 'vector'
    LEFT JOIN pg_type y ON y.oid = a.atttypid AND y.typnamespace = e.extnamespace
    GROUP BY t.rel`,

  snapshot: `SELECT row_to_json(r)::text AS line FROM (
    SELECT run::text, rows::text, pages::text, bytes::text, extract(epoch FROM duration) AS seconds
    FROM (SELECT $1::jsonb) AS t(b), LATERAL kyro.snapshot((b->>'table')::regclass, (b->>'max_rows')::bigint)) AS r`,
  build: `SELECT row_to_json(r)::text AS line FROM (
    SELECT leaves::text, pages_before::text, pages_after::text, eps_max, extract(epoch FROM duration) AS seconds
    FROM (SELECT $1::jsonb) AS t(b), LATERAL kyro.rebuild((b->>'index')::regclass)) AS r`,
  warmup: `SELECT row_to_json(r)::text AS line FROM (
    SELECT kyro.warmup((b->>'relation')::regclass)::text AS pages FROM (SELECT $1::jsonb) AS t(b)) AS r`,
});
