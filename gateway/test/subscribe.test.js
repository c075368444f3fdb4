// Subscribers get every event once and in order, whatever ends: their connection, the gateway,
// the server.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import test, { after } from 'node:test';
import { Subscriber, freePort, setUp, until } from './support.js';

const subscribe = { heartbeat_ms: 200, poll_ms: 1000 };
const { cluster, gateway, tokens, makeGateway, get, post } = await setUp({ subscribe });
const path = '/v1/subscribe?log=ev';
const offsetsOf = (s) => s.events.map((e) => e.offset);
const committed = async () => (await cluster.sql('SELECT "offset"::text FROM app.ev ORDER BY ev."offset"')).map((r) => r.offset);
const last = async () => (await committed()).at(-1);
const caughtUp = (s) => until(`a subscriber has all (${s.events.length} by now)`, async () => s.lastEventId === await last());

test('what there is, and what comes', async () => {
  await post('/v1/append', { log: 'ev', payload: { text: 'one\ntwo' } });
  const s = new Subscriber(gateway.url + path, tokens.app);
  await until('the first', () => s.events.length === 1);
  await post('/v1/append', { log: 'ev', payload: 2, key: 5, kind: 'a\nb: c' });
  await until('the second', () => s.events.length === 2);
  await s.close();
  assert.deepEqual(s.events.map(({ at, ...e }) => e), [
    { offset: '1', key: null, kind: null, payload: { text: 'one\ntwo' }, request_id: null },
    { offset: '2', key: '5', kind: 'a\nb: c', payload: 2, request_id: null },
  ]);
});

test('from an offset, or behind the last event', async () => {
  const s = new Subscriber(gateway.url + path, tokens.app, { from: 2 });
  await until('the second', () => s.events.length === 1);
  await s.close();
  assert.deepEqual(offsetsOf(s), ['2']);
  const t = new Subscriber(gateway.url + path, tokens.app, { from: 1, lastEventId: '1' });
  await until('the second', () => t.events.length === 1);
  await t.close();
  assert.deepEqual(offsetsOf(t), ['2']);
});

test('notifications wake it, and not only the clock', async () => {
  const slow = await makeGateway({ subscribe: { heartbeat_ms: 100000, poll_ms: 100000 } });
  const s = new Subscriber(slow.url + path, tokens.app);
  await until('listening', async () => (await cluster.sql("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'kyrodb gateway listener' AND query LIKE '%channel%'"))[0].n > 0);
  for (let i = 0; i < 10; i++) {
    await post('/v1/append', { log: 'ev', payload: i });
    await caughtUp(s);
  }
  await s.close();
  // and not for nobody: the connection is closed with the last subscriber
  await until('nobody listens', async () => (await cluster.sql("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'kyrodb gateway listener'"))[0].n === 0);
  await slow.stop();
});

test('an event that waits for another transaction comes when that has ended', async () => {
  const s = new Subscriber(gateway.url + path, tokens.app);
  await caughtUp(s);
  const slow = await cluster.connect();
  await slow.query("BEGIN; SELECT kyro.append('app.ev', '\"slow\"')");
  const { body: { offset } } = await post('/v1/append', { log: 'ev', payload: 'quick' });
  const { heartbeats } = s;
  await until('heartbeats meanwhile', () => s.heartbeats > heartbeats + 3);
  assert.notEqual(s.lastEventId, offset);
  await slow.query('COMMIT');
  await slow.end();
  await caughtUp(s);
  await s.close();
  assert.deepEqual(offsetsOf(s), await committed());
});

test('a log that is dropped, and a right that is taken away, end it with an error', async () => {
  await cluster.sql("SET search_path = app; SET ROLE app; SELECT kyro.create_log('going')");
  const s = new Subscriber(`${gateway.url}/v1/subscribe?log=going`, tokens.app);
  await until('a heartbeat', () => s.heartbeats > 1);
  await cluster.sql("SELECT kyro.drop_log('app.going')");
  await until('an error', () => s.error);
  assert.equal(s.error.error.sqlstate, '42P01');

  await cluster.sql('GRANT SELECT ON app.ev TO other');
  const t = new Subscriber(gateway.url + '/v1/subscribe?log=app.ev', tokens.other);
  await caughtUp(t);
  await cluster.sql('REVOKE SELECT ON app.ev FROM other');
  await post('/v1/append', { log: 'ev', payload: 'not for you' });
  await until('an error', () => t.error);
  assert.equal(t.error.error.sqlstate, '42501');
});

test('a client that does not read makes the gateway remember nothing', async () => {
  await cluster.sql("SELECT kyro.append_batch('app.ev', array_agg(to_jsonb(repeat('x', 50000)))) FROM generate_series(1, 800)");
  const own = await makeGateway({ subscribe: { ...subscribe, drain_ms: 3000 } });
  const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${own.process.pid}/status`, 'utf8'))[1]) / 1024;
  const before = memory();
  const sockets = Array.from({ length: 20 }, () => {
    const socket = net.connect({ port: own.port, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${tokens.app}\r\n\r\n`);
    socket.pause();
    return socket;
  });
  const open = async () => Number(/^kyrodb_gateway_subscribers (\d+)$/m.exec((await own.request('GET', '/metrics', { token: tokens.app })).text)[1]);
  await until('they are there', async () => await open() === 20);
  // 40 MB are there for each of them; it reads no further than it can write
  await until('they are let go', async () => await open() === 0);
  const grown = memory() - before;
  assert.ok(grown < 150, `${grown} MB`);
  for (const s of sockets) s.destroy();
  await own.stop();
});

test('every event once and in order, over lost connections, a gateway that ends, a server that is killed', async () => {
  const port = await freePort();
  const start = () => makeGateway({ listen: { port } });
  let own = await start();
  const url = `http://127.0.0.1:${port}`;
  const from = BigInt(await last()) + 1n;
  const subscribers = Array.from({ length: 8 }, () => new Subscriber(url + path, tokens.app, { from: String(from) }));
  let stop = false;
  const answered = new Map(); // request -> offset

  // Each appends its requests again and again until it has an answer.
  const appender = async (n) => {
    for (let i = 0; !stop; i++) {
      const request_id = `${String(n).padStart(8, '0')}-0000-4000-8000-${String(i).padStart(12, '0')}`;
      for (;;) {
        try {
          const r = await own.request('POST', '/v1/append', { token: tokens.app, body: { log: 'ev', payload: { n, i }, request_id } });
          if (r.status === 200) {
            answered.set(request_id, r.body.offset);
            break;
          }
          assert.ok(r.status >= 500, r.text);
          assert.match(r.body?.error?.sqlstate ?? r.text, /^(08006|57P0[123])$/);
        } catch (error) {
          if (error.code === 'ERR_ASSERTION') throw error;
        }
        await new Promise((resolve) => { setTimeout(resolve, 50); });
      }
    }
  };
  after(() => {
    stop = true;
    for (const s of subscribers) s.close();
  });
  const appenders = Array.from({ length: 4 }, (_, n) => appender(n));
  const progress = async () => { const n = answered.size; await until('some were appended', () => answered.size > n + 100); };

  await progress();
  for (const s of subscribers) s.drop();
  await progress();
  await cluster.killAndRestart();
  await progress();
  assert.equal(await own.stop('SIGTERM'), 0);
  own = await start();
  await progress();
  await own.stop('SIGKILL');
  own = await start();
  for (const s of subscribers.slice(0, 4)) s.drop();
  await progress();
  await cluster.killAndRestart();
  await progress();
  stop = true;
  await Promise.all(appenders);
  for (const s of subscribers) await caughtUp(s);

  const events = await cluster.sql('SELECT "offset"::text, request_id::text FROM app.ev WHERE "offset" >= $1 ORDER BY ev."offset"', [String(from)]);
  for (const s of subscribers) {
    await s.close();
    assert.ok(s.connections > 3, `${s.connections} connections`);
    assert.deepEqual(offsetsOf(s), events.map((e) => e.offset));
  }
  // each request is one event, and has the offset that was answered
  assert.deepEqual(new Map(events.map((e) => [e.request_id, e.offset])).size, events.length);
  for (const { offset, request_id } of events) assert.ok(answered.get(request_id) === offset, request_id);
  assert.equal(events.length, answered.size);
  assert.deepEqual((await get('/v1/offset?log=ev')).body.stable, events.at(-1).offset);
});
