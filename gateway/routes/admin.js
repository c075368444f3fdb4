// What an owner does now and then: seal, retrain, warm up.  These may take long.
import { statements } from '../lib/statements.js';
import * as s from '../lib/schemas.js';

export default async function admin(app, { database }) {
  const add = (path, statement, schema) => {
    app.post(path, { schema: { tags: ['administration'], ...schema } }, async (request, reply) => {
      const [row] = await database.longQuery(request.token.role, statement, [request.bodyText]);
      return s.sendText(reply, row.line);
    });
  };

  add('/v1/snapshot', statements.snapshot, {
    summary: 'Seal the rows of a kyro table', description: 'In one transaction; at most max_rows if given.',
    body: s.body({ table: s.name, max_rows: s.bigintIn }, ['table']),
    response: { 200: s.json({ run: s.nullable(s.bigint), rows: s.bigint, pages: s.bigint, bytes: s.bigint, seconds: { type: 'number' } }), ...s.errors },
  });
  add('/v1/rmi/build', statements.build, {
    summary: 'Train the model of a kyro_rmi index anew',
    body: s.body({ index: s.name }, ['index']),
    response: { 200: s.json({ leaves: s.bigint, pages_before: s.bigint, pages_after: s.bigint, eps_max: { type: ['integer', 'null'] }, seconds: { type: 'number' } }), ...s.errors },
  });
  add('/v1/warmup', statements.warmup, {
    summary: 'Read an index or a table into memory',
    body: s.body({ relation: s.name }, ['relation']),
    response: { 200: s.json({ pages: s.bigint }), ...s.errors },
  });
}
