// Key-value tables: put, get, look up, scan.
import { GatewayError } from '../lib/errors.js';
import { statements } from '../lib/statements.js';
import * as s from '../lib/schemas.js';

const value = { type: 'object', properties: { key: s.bigint, value: { type: 'string' }, offset: s.bigint } };

export default async function values(app, { config, database }) {
  const { limits } = config;

  app.post('/v1/put', {
    schema: {
      tags: ['key-value tables'], summary: 'Set the value of a key',
      description: 'Returns the offset of the change. With if_offset only if the last change of the key was that one, or with 0 if there is none: else 412, and nothing is written.',
      body: s.body({ kv: s.name, key: s.bigintIn, value: s.any, if_offset: s.bigintIn }, ['kv', 'key', 'value']),
      response: { 200: s.json({ offset: s.bigint }), ...s.errors },
    },
  }, async (request) => {
    const [{ offset }] = await database.query(request.token.role, statements.put, [request.bodyText]);

    if (offset === null) {
      throw new GatewayError(412, '55000', 'the last change of the key is another one', { hint: 'Read value and offset again.' });
    }
    return { offset };
  });

  app.get('/v1/get_fast/:key', {
    schema: {
      tags: ['key-value tables'], summary: 'The value of a key, by one look-up',
      description: 'With as_of, an offset, or as_of_time, as it was then, if the table keeps a history.',
      params: s.query({ key: s.bigint }, ['key']),
      querystring: s.query({ kv: s.name, as_of: s.bigint, as_of_time: { type: 'string', maxLength: 64 } }, ['kv']),
      response: { 200: value, ...s.errors },
    },
  }, async (request, reply) => {
    const { kv, as_of: asOf, as_of_time: asOfTime } = request.query;
    const { key } = request.params;
    const { role } = request.token;

    if (asOf !== undefined || asOfTime !== undefined) {
      if (asOf !== undefined && asOfTime !== undefined) throw new GatewayError(400, '22023', 'as_of and as_of_time exclude each other');
      const statement = asOf !== undefined ? statements.get_at_offset : statements.get_at_time;
      const [row] = await database.query(role, statement, [kv, key, asOf ?? asOfTime]);
      if (row.value === null) throw new GatewayError(404, '02000', 'the key had no value');
      return { key: String(BigInt(key)), value: row.value };
    }
    const [row] = await database.query(role, statements.get, [kv, key]);
    if (!row) throw new GatewayError(404, '02000', 'the key has no value');
    return s.sendText(reply, row.line);
  });

  app.post('/v1/lookup', {
    schema: {
      tags: ['key-value tables'], summary: 'The values of many keys, by one pass over the index',
      description: 'In the order of the keys; those that are there.',
      body: s.body({ kv: s.name, keys: s.array(s.bigintIn, { maxItems: limits.keys }) }, ['kv', 'keys']),
      response: { 200: s.json({ values: s.array(value) }), ...s.errors },
    },
  }, async (request, reply) => {
    const rows = await database.query(request.token.role, statements.lookup, [request.bodyText, limits.answer_bytes]);

    if (rows.length > 0 && rows.length < Number(rows[0].total)) {
      throw new GatewayError(413, '54000', `the values have more than ${limits.answer_bytes} bytes`, { hint: 'Ask for fewer keys.' });
    }
    return s.sendText(reply, `{"values":[${rows.map((r) => r.line).join(',')}]}`);
  });

  app.get('/v1/scan', {
    schema: {
      tags: ['key-value tables'], summary: 'The values of all keys from one to another, both inclusive',
      description: '"next" is where to go on from; null: there is no more. An answer that was cut at its limit has one, though there may be nothing behind it.',
      querystring: s.query({ kv: s.name, from: s.bigint, to: s.bigint, limit: s.bigint }, ['kv']),
      response: { 200: s.json({ values: s.array(value), next: s.nullable(s.bigint) }), ...s.errors },
    },
  }, async (request, reply) => {
    const { kv, from, to, limit } = request.query;
    const rows = await database.query(request.token.role, statements.scan, [kv, from, to, limit, limits.rows, limits.answer_bytes]);
    const full = rows.length > 0 && (rows.length < Number(rows[0].total) || String(rows.length) === limit || rows.length === limits.rows);
    const last = rows.at(-1)?.id;
    const next = full && last !== (to ?? '9223372036854775807') ? `"${BigInt(last) + 1n}"` : 'null';

    return s.sendText(reply, `{"values":[${rows.map((r) => r.line).join(',')}],"next":${next}}`);
  });
}
