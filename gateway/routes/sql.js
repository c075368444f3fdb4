// One query, read only, as a role of its own; off unless the configuration names that role.
// README.md, "/v1/sql", argues what each step is for.
import pg from 'pg';
import { GatewayError } from '../lib/errors.js';
import * as s from '../lib/schemas.js';

const WATCH_MS = 20;
const GRACE_MS = 500;

export default async function sql(app, { config, database }) {
  const { role, statement_ms: statementMs, rows: maxRows, connections } = config.sql;
  const maxBytes = config.limits.answer_bytes;
  let running = 0;

  app.post('/v1/sql', {
    config: { permission: 'sql' },
    schema: {
      tags: ['SQL'], summary: 'The rows of one query, read only',
      description: 'SELECT, VALUES, TABLE or WITH; parameters are $1, $2, ... Values come as the text that PostgreSQL makes of them.',
      body: s.body({ sql: { type: 'string', minLength: 1 }, params: s.array({ type: ['string', 'number', 'boolean', 'null'] }, { maxItems: 100 }) }, ['sql']),
      response: {
        200: s.json({ columns: s.array({ type: 'object', properties: { name: { type: 'string' }, type_oid: { type: 'integer' } } }), rows: s.array(s.array({ type: ['string', 'null'] })), truncated: { type: 'boolean' } }),
        ...s.errors,
      },
    },
  }, async (request) => {
    if (running >= connections) {
      throw new GatewayError(503, '53300', 'too many queries are running', { retryAfter: 1 });
    }
    running++;
    try {
      return await runQuery(request.body);
    } finally {
      running--;
    }
  });

  async function runQuery({ sql: text, params = [] }) {
    const client = new pg.Client(database.connection(role, { name: 'kyrodb gateway sql', statementMs }));
    let refused;

    client.on('error', () => {});
    await client.connect();
    const { processID: pid } = client;
    const { stream } = client.connection;
    const end = async (error) => {
      refused ??= error;
      stream.destroy();
      // the server notices by itself only when it has something to send
      await database.query(role, { name: 'sql end', text: 'SELECT pg_terminate_backend($1)' }, [pid]).catch(() => {});
    };
    const late = setTimeout(() => end(new GatewayError(504, '57014', 'the query took too long')), statementMs + GRACE_MS);
    const watch = setInterval(() => {
      if (stream.bytesRead > 2 * maxBytes) end(new GatewayError(413, '54000', `the rows have more than ${maxBytes} bytes`));
    }, WATCH_MS);

    try {
      await client.query({ text: 'BEGIN TRANSACTION READ ONLY' });
      // a snapshot, after which a transaction cannot be made one that writes
      await client.query({ text: 'SELECT 1', queryMode: 'extended' });
      await client.query({ text: `DECLARE gateway NO SCROLL CURSOR FOR ${text}`, values: params.map(asText), queryMode: 'extended' });
      const { rows, fields } = await client.query({ text: `FETCH ${maxRows + 1} FROM gateway`, rowMode: 'array', queryMode: 'extended' });
      const truncated = rows.length > maxRows;
      return { columns: fields.map((f) => ({ name: f.name, type_oid: f.dataTypeID })), rows: truncated ? rows.slice(0, maxRows) : rows, truncated };
    } catch (error) {
      throw refused ?? error;
    } finally {
      clearTimeout(late);
      clearInterval(watch);
      await client.end().catch(() => {}); // with it the transaction, and all that the session has become
    }
  }
}

const asText = (value) => (value === null ? null : String(value));
