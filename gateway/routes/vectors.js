// Vectors beside the rest, by pgvector; 501 where that is not installed.  The table has a column id
// (bigint) and one of type vector, and may have payload (jsonb).
//
// Names of tables and columns cannot be parameters.  So the catalog is asked first, and the names
// that become parts of a statement are what it has answered, quoted by the server.
import { GatewayError } from '../lib/errors.js';
import { fitting, statements } from '../lib/statements.js';
import * as s from '../lib/schemas.js';

const OPERATORS = { l2: '<->', cosine: '<=>', inner_product: '<#>' };
const vector = s.array({ type: 'number' }, { minItems: 1, maxItems: 16000 });

export default async function vectors(app, { config, database }) {
  const { limits } = config;

  async function shapeOf(role, table) {
    const [{ schema }] = await database.query(role, statements.pgvector, []);

    if (schema === null) {
      throw new GatewayError(501, '0A000', 'pgvector is not installed in this database', { hint: 'Install it and CREATE EXTENSION vector.' });
    }
    const [shape] = await database.query(role, statements.vector_table, [table]);
    if (shape.columns !== '1' || shape.id === 'f') {
      throw new GatewayError(400, '42809', `${shape.table} has no column id of type bigint, or not one column of type vector`);
    }
    return { schema, ...shape, payload: shape.payload === 't' };
  }

  app.post('/v1/vector/insert', {
    schema: {
      tags: ['vectors'], summary: 'Insert a vector', description: 'Into a table with columns id (bigint) and one of type vector; and payload (jsonb), if one is given.',
      body: s.body({ table: s.name, id: s.bigintIn, vector, payload: s.any }, ['table', 'id', 'vector']),
      response: { 200: s.json({ id: s.bigint }), ...s.errors },
    },
  }, async (request) => {
    const { role } = request.token;
    const { schema, table, column, payload } = await shapeOf(role, request.body.table);
    const with_ = request.body.payload !== undefined;

    if (with_ && !payload) throw new GatewayError(400, '42703', `${table} has no column payload of type jsonb`);
    const text = `INSERT INTO ${table} (id, ${column}${with_ ? ', payload' : ''})
      SELECT (b->>'id')::bigint, (b->'vector')::text::${schema}.vector${with_ ? ", b->'payload'" : ''} FROM (SELECT $1::jsonb) AS t(b) RETURNING id::text`;
    const [row] = await database.query(role, { text }, [request.bodyText]);
    return row;
  });

  app.post('/v1/vector/search', {
    schema: {
      tags: ['vectors'], summary: 'The nearest vectors',
      description: 'By an index of pgvector if there is one for the metric, else exactly. filter: only rows whose payload contains it. The distance of inner_product is negative, as pgvector has it.',
      body: s.body({ table: s.name, vector, limit: { type: 'integer', minimum: 1, maximum: 1000, default: 10 }, metric: { enum: Object.keys(OPERATORS), default: 'l2' }, filter: { type: 'object' } }, ['table', 'vector']),
      response: { 200: s.json({ found: s.array({ type: 'object', properties: { id: s.bigint, distance: { type: 'number' }, payload: s.any } }) }), ...s.errors },
    },
  }, async (request, reply) => {
    const { role } = request.token;
    const { limit, metric, filter } = request.body;
    const { schema, table, column, payload } = await shapeOf(role, request.body.table);

    if (filter && !payload) throw new GatewayError(400, '42703', `${table} has no column payload of type jsonb`);
    const distance = `${column} OPERATOR(${schema}.${OPERATORS[metric]}) $1::${schema}.vector`;
    const text = fitting(`
      SELECT row_number() OVER () AS id, row_to_json(r)::text AS line
      FROM (SELECT id::text AS id, ${distance} AS distance${payload ? ', payload' : ''} FROM ${table}
            ${filter ? "WHERE payload @> ($4::jsonb->'filter')" : ''} ORDER BY ${distance} LIMIT $2::int) AS r`, '$3');
    const values = [JSON.stringify(request.body.vector), String(limit), limits.answer_bytes];
    const rows = await database.query(role, { text }, filter ? [...values, request.bodyText] : values);

    if (rows.length > 0 && rows.length < Number(rows[0].total)) {
      throw new GatewayError(413, '54000', `the rows have more than ${limits.answer_bytes} bytes`, { hint: 'Ask for fewer.' });
    }
    return s.sendText(reply, `{"found":[${rows.map((r) => r.line).join(',')}]}`);
  });
}
