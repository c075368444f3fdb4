// Vectors: 501 where pgvector is missing; where it can be installed, what is found is what a heap
// has, by index and without, sealed and not, over a crash.
import assert from 'node:assert/strict';
import test from 'node:test';
import { setUp, until } from './support.js';

const { cluster, get, post } = await setUp({}, 'CREATE TABLE app.v (id bigint); ALTER TABLE app.v OWNER TO app;');
const isError = (response, status, sqlstate) => {
  assert.equal(response.status, status, response.text);
  assert.equal(response.body.error.sqlstate, sqlstate, response.text);
};

test('without pgvector it is said so', async () => {
  isError(await post('/v1/vector/insert', { table: 'v', id: 1, vector: [1, 2, 3] }), 501, '0A000');
  isError(await post('/v1/vector/search', { table: 'v', vector: [1, 2, 3] }), 501, '0A000');
  isError(await post('/v1/vector/search', { table: 'v', vector: 'x' }), 400, '22023');
});

const [{ there }] = await cluster.sql("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') AS there");
const skip = there ? false : 'pgvector is not installed';

// some vectors that are not all alike, and the same for everybody
const make = (i) => [Math.sin(i), Math.cos(i * 1.7), Math.sin(i * 0.3) / 2, (i % 17) / 17].map((x) => Math.fround(x));

test('insert and search, equal to a heap', { skip }, async () => {
  await cluster.sql(`
    CREATE SCHEMA ext; CREATE EXTENSION vector SCHEMA ext; GRANT USAGE ON SCHEMA ext TO app;
    DROP TABLE app.v;
    SET ROLE app; SET search_path = app, ext;
    CREATE TABLE v (id bigint, "the vector" vector(4), payload jsonb) USING kyro;
    CREATE INDEX v_id ON v USING kyro_rmi (id);
    CREATE TABLE h (id bigint, v vector(4), payload jsonb) USING heap`);
  for (let i = 1; i <= 200; i++) {
    const r = await post('/v1/vector/insert', { table: 'v', id: i, vector: make(i), payload: { group: i % 5 } });
    assert.deepEqual(r.body, { id: String(i) }, r.text);
  }
  await cluster.sql('INSERT INTO app.h SELECT * FROM app.v');
  const operators = { l2: '<->', cosine: '<=>', inner_product: '<#>' };
  const equal = async (what) => {
    for (const [metric, operator] of Object.entries(operators)) {
      for (const filter of [undefined, { group: 3 }]) {
        const vector = make(1000);
        const { body, text } = await post('/v1/vector/search', { table: 'app.v', vector, limit: 7, metric, filter });
        const expected = await cluster.sql(`SELECT id::text, (v OPERATOR(ext.${operator}) $1::ext.vector)::float8 AS distance, payload FROM app.h
          WHERE $2::jsonb IS NULL OR payload @> $2::jsonb ORDER BY 2 LIMIT 7`, [JSON.stringify(vector), filter ? JSON.stringify(filter) : null]);
        assert.deepEqual(body?.found, expected, `${what}: ${metric} ${text}`);
      }
    }
  };
  await equal('in the log');
  await cluster.sql("SELECT kyro.snapshot('app.v', 150)");
  await equal('sealed in part');
  const other = "format('[%s, 0.5, 0.1, 1]', id / 100.0)::ext.vector";
  await cluster.sql(`UPDATE app.v SET "the vector" = ${other} WHERE id % 10 = 0; UPDATE app.h SET v = ${other} WHERE id % 10 = 0`);
  await cluster.sql('DELETE FROM app.v WHERE id % 10 = 1; DELETE FROM app.h WHERE id % 10 = 1');
  await cluster.sql('VACUUM app.v');
  await equal('changed');
  await cluster.killAndRestart();
  await until('the gateway has it back', async () => (await get('/v1/offset?log=ev')).status === 200);
  await equal('after a crash');
  // of so few an index of many lists that all are looked at is exact
  await cluster.sql('SET search_path = app, ext; CREATE INDEX v_hnsw ON v USING hnsw ("the vector" vector_l2_ops) WITH (m = 32, ef_construction = 200)');
  const nearest = (await post('/v1/vector/search', { table: 'v', vector: make(55), limit: 1 })).body.found[0];
  assert.equal(nearest.id, '55');
  assert.ok(nearest.distance < 1e-6);
});

test('what is wrong with a vector', { skip }, async () => {
  const before = await cluster.sql('SELECT count(*) FROM app.v');
  isError(await post('/v1/vector/insert', { table: 'v', id: 1, vector: [1, 2] }), 400, '22000');
  isError(await post('/v1/vector/search', { table: 'v', vector: [1, 2] }), 400, '22000');
  isError(await post('/v1/vector/insert', { table: 'v', id: 1, vector: [1, 2, 3, 1e300] }), 400, '22003');
  isError(await post('/v1/vector/insert', { table: 'v', id: 'x', vector: [1, 2, 3, 4] }), 400, '22P02');
  isError(await post('/v1/vector/insert', { table: 'kv', id: 1, vector: [1] }), 400, '42809');
  isError(await post('/v1/vector/insert', { table: 'v; DROP TABLE app.v', id: 1, vector: [1] }), 400, '42602');
  isError(await post('/v1/vector/insert', { table: 'nope', id: 1, vector: [1] }), 404, '42P01');
  isError(await post('/v1/vector/search', { table: 'v', vector: [1, 2, 3, 4], limit: -1 }), 400, '22023');
  isError(await post('/v1/vector/search', { table: 'v', vector: [1, 2, 3, 4], metric: '<->' }), 400, '22023');
  assert.deepEqual(await cluster.sql('SELECT count(*) FROM app.v'), before);
});
