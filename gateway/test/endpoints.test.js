// What each endpoint answers when it is asked for what it is for.
import assert from 'node:assert/strict';
import test from 'node:test';
import { setUp } from './support.js';

const { cluster, gateway, get, post } = await setUp({}, `
  CREATE TABLE app.t (id bigint, v text) USING kyro;
  ALTER TABLE app.t OWNER TO app;
  INSERT INTO app.t SELECT g, 'v' FROM generate_series(1, 20000) g;
  CREATE INDEX t_id ON app.t USING kyro_rmi (id);`);

test('append gives offsets, and the first again for the same request', async () => {
  const request_id = '0b7c9a52-5e0e-4f0c-9a53-2f1a7f0e6b11';
  const first = await post('/v1/append', { log: 'ev', payload: { n: 1 }, key: '7', kind: 'placed', request_id });
  assert.equal(first.status, 200);
  assert.deepEqual(first.body, { offset: '1' });
  assert.deepEqual((await post('/v1/append', { log: 'app.ev', payload: 'another', request_id })).body, { offset: '1' });
  assert.deepEqual((await get('/v1/offset?log=ev')).body, { last: '1', stable: '1' });
});

test('several events are appended in one transaction, in their order', async () => {
  const events = [1, 2, 3].map((n) => ({ payload: n, key: n, kind: `k${n}` }));
  assert.deepEqual((await post('/v1/append', { log: 'ev', events })).body, { offsets: ['2', '3', '4'] });
  const ids = ['a', 'b', 'a'].map((c) => `${c.repeat(8)}-0000-4000-8000-000000000000`);
  const { body } = await post('/v1/append', { log: 'ev', events: ids.map((request_id, i) => ({ payload: i, request_id })) });
  assert.equal(body.offsets[0], body.offsets[2]);
  assert.notEqual(body.offsets[0], body.offsets[1]);
});

test('replay returns them as they were', async () => {
  const { body } = await get('/v1/replay?log=ev&from=1&to=3');
  assert.deepEqual(body.events.map(({ at, ...e }) => e), [
    { offset: '1', key: '7', kind: 'placed', payload: { n: 1 }, request_id: '0b7c9a52-5e0e-4f0c-9a53-2f1a7f0e6b11' },
    { offset: '2', key: '1', kind: 'k1', payload: 1, request_id: null },
    { offset: '3', key: '2', kind: 'k2', payload: 2, request_id: null },
  ]);
  assert.ok(Math.abs(Date.parse(body.events[0].at) - Date.now()) < 600000);
  assert.equal(body.next, '4');
  assert.deepEqual((await get('/v1/replay?log=ev&from=2&limit=2')).body.events.map((e) => e.offset), ['2', '3']);
  const all = (await get('/v1/replay?log=ev')).body;
  assert.deepEqual((await get(`/v1/replay?log=ev&from=${all.next}`)).body, { events: [], next: all.next });
});

test('payloads that are bytes', async () => {
  const bytes = Buffer.from([0, 255, 254, 10]).toString('base64');
  assert.equal((await post('/v1/append', { log: 'bytes', payload_base64: bytes })).body.offset, '1');
  assert.equal((await get('/v1/replay?log=bytes')).body.events[0].payload, bytes);
});

test('put, get, look up, scan', async () => {
  const { body: { offset } } = await post('/v1/put', { kv: 'kv', key: 1, value: 'one' });
  assert.deepEqual((await get('/v1/get_fast/1?kv=kv')).body, { key: '1', value: 'one', offset });
  assert.equal((await get('/v1/get_fast/2?kv=kv')).status, 404);
  for (let key = 2; key <= 9; key++) await post('/v1/put', { kv: 'kv', key: String(key), value: `v${key}` });
  assert.deepEqual((await post('/v1/lookup', { kv: 'kv', keys: [5, '3', 100] })).body.values.map((v) => [v.key, v.value]), [['3', 'v3'], ['5', 'v5']]);
  assert.deepEqual((await post('/v1/lookup', { kv: 'kv', keys: [] })).body, { values: [] });
  const page = (await get('/v1/scan?kv=kv&from=2&to=8&limit=3')).body;
  assert.deepEqual(page.values.map((v) => v.key), ['2', '3', '4']);
  assert.equal(page.next, '5');
  assert.equal((await get('/v1/scan?kv=kv&from=2&to=8')).body.next, null);
});

test('put compares before it sets', async () => {
  assert.equal((await post('/v1/put', { kv: 'kv', key: 50, value: 'a', if_offset: 0 })).status, 200);
  const again = await post('/v1/put', { kv: 'kv', key: 50, value: 'b', if_offset: 0 });
  assert.equal(again.status, 412);
  assert.equal(again.body.error.sqlstate, '55000');
  const { body: { offset } } = await get('/v1/get_fast/50?kv=kv');
  assert.equal((await post('/v1/put', { kv: 'kv', key: 50, value: 'c', if_offset: offset })).status, 200);
  assert.equal((await get('/v1/get_fast/50?kv=kv')).body.value, 'c');
});

test('the past of a key', async () => {
  const { body: { offset } } = await post('/v1/put', { kv: 'old', key: 1, value: '10' });
  await post('/v1/put', { kv: 'old', key: 1, value: 12.50 });
  assert.equal((await get('/v1/get_fast/1?kv=old')).body.value, '12.5');
  assert.deepEqual((await get(`/v1/get_fast/1?kv=old&as_of=${offset}`)).body, { key: '1', value: '10' });
  assert.equal((await get(`/v1/get_fast/1?kv=old&as_of_time=${encodeURIComponent(new Date(Date.now() + 3600000).toISOString())}`)).body.value, '12.5');
  assert.equal((await get('/v1/get_fast/1?kv=old&as_of=0')).status, 404);
});

test('numbers keep all their digits', async () => {
  const number = '123456789012345678901234567890.10';
  const { status } = await post('/v1/append', `{"log":"ev","key":9007199254740993,"payload":{"n":${number},"a":"\\u0061\\ud83d\\ude00"}}`);
  assert.equal(status, 200);
  const { text, body } = await get('/v1/replay?log=ev&limit=10');
  assert.ok(text.includes(number), text);
  assert.equal(body.events.at(-1).key, '9007199254740993');
  assert.equal(body.events.at(-1).payload.a, 'a😀');
  await post('/v1/put', `{"kv":"old","key":9223372036854775807,"value":${number}}`);
  assert.equal((await get('/v1/get_fast/9223372036854775807?kv=old')).body.value, number);
  assert.deepEqual((await post('/v1/lookup', '{"kv":"old","keys":[9223372036854775807]}')).body.values[0].key, '9223372036854775807');
  assert.equal((await get('/v1/scan?kv=old&from=9223372036854775807&limit=1')).body.next, null);
});

test('seal, train, warm up', async () => {
  const sealed = (await post('/v1/snapshot', { table: 'app.t', max_rows: 15000 })).body;
  assert.equal(sealed.rows, '15000');
  assert.equal((await cluster.sql("SELECT sealed_rows FROM kyro.stat_tables WHERE relname = 't'"))[0].sealed_rows, '15000');
  const before = (await cluster.sql("SELECT rebuilds FROM kyro.stat_indexes WHERE indexrelname = 't_id'"))[0].rebuilds;
  const built = (await post('/v1/rmi/build', { index: 't_id' })).body;
  assert.ok(Number(built.leaves) > 1);
  assert.equal((await cluster.sql("SELECT rebuilds FROM kyro.stat_indexes WHERE indexrelname = 't_id'"))[0].rebuilds, String(Number(before) + 1));
  assert.ok(Number((await post('/v1/warmup', { relation: 't_id' })).body.pages) > 1);
});

test('health, versions', async () => {
  assert.deepEqual((await gateway.request('GET', '/health')).body, { status: 'ok' });
  const info = (await get('/build_info')).body;
  assert.equal(info.kyrodb.version, (await cluster.sql('SELECT version FROM kyro.build_info'))[0].version);
  assert.equal(info.node, process.version);
});

test('SQL', async () => {
  const { body } = await post('/v1/sql', { sql: 'SELECT "offset", payload->>\'n\' AS n FROM app.ev WHERE "offset" = $1 -- and so on', params: [1] });
  assert.deepEqual(body, { columns: [{ name: 'offset', type_oid: 20 }, { name: 'n', type_oid: 25 }], rows: [['1', '1']], truncated: false });
  const many = (await post('/v1/sql', { sql: 'SELECT generate_series(1, 5000)' })).body;
  assert.equal(many.rows.length, 1000);
  assert.equal(many.truncated, true);
});

test('a request keeps its id', async () => {
  assert.equal((await get('/v1/offset?log=ev', { 'x-request-id': 'abc.1' })).headers.get('x-request-id'), 'abc.1');
  const odd = await get('/v1/offset?log=nope', { 'x-request-id': 'a b"c' });
  assert.match(odd.headers.get('x-request-id'), /^[0-9a-f-]{36}$/);
  assert.equal(odd.body.error.request_id, odd.headers.get('x-request-id'));
});

test('the description has every endpoint, and the page loads nothing from elsewhere', async () => {
  const { paths } = (await gateway.request('GET', '/docs/json')).body;
  for (const path of ['/v1/put', '/v1/get_fast/{key}', '/v1/lookup', '/v1/scan', '/v1/append', '/v1/replay', '/v1/subscribe', '/v1/offset',
    '/v1/vector/insert', '/v1/vector/search', '/v1/snapshot', '/v1/rmi/build', '/v1/warmup', '/v1/sql', '/health', '/build_info', '/metrics']) {
    assert.ok(paths[path], path);
  }
  const page = await gateway.request('GET', '/docs/');
  assert.equal(page.status, 200);
  for (const [, address] of page.text.matchAll(/(?:src|href)="([^"]*)"/g)) {
    assert.match(address, /^\.\//);
    assert.equal((await gateway.request('GET', `/docs/${address.slice(2)}`)).status, 200, address);
  }
  assert.match(page.headers.get('content-security-policy'), /default-src 'self'/);
});
