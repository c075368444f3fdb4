// What is bounded: requests in a minute, waiting requests, subscribers, connections, time.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import test from 'node:test';
import { parse } from 'yaml';
import { Subscriber, hash, newToken, root, setUp, until } from './support.js';

const { cluster, gateway, tokens, makeGateway, get, post } = await setUp();

const limited = async (config, work) => {
  const own = await makeGateway(config);
  try {
    await work(own, (path, token = tokens.app) => own.request('GET', path, { token }));
  } finally {
    await own.stop();
  }
};
const isError = (response, status, sqlstate) => {
  assert.equal(response.status, status, response.text);
  assert.equal(response.body.error.sqlstate, sqlstate);
};

test('requests of an address, also without a token', () => limited({ limits: { ip_per_minute: 5 } }, async (own) => {
  for (let i = 0; i < 5; i++) isError(await own.request('GET', '/v1/offset?log=ev', { token: 'guess' }), 401, '28000');
  const response = await own.request('GET', '/v1/offset?log=ev', { token: tokens.app });
  isError(response, 429, '53400');
  assert.ok(Number(response.headers.get('retry-after')) > 0);
  // of whom it is said that he sends for another is of no account
  isError(await own.request('GET', '/health', { headers: { 'x-forwarded-for': '1.2.3.4' } }), 429, '53400');
}));

test('requests of a token', () => {
  const small = newToken();
  return limited({
    tokens: [{ name: 'app', role: 'app', sha256: hash(tokens.app) }, { name: 'small', role: 'app', sha256: hash(small), per_minute: 3 }],
  }, async (own, ask) => {
    for (let i = 0; i < 3; i++) assert.equal((await ask('/v1/offset?log=ev', small)).status, 200);
    isError(await ask('/v1/offset?log=ev', small), 429, '53400');
    assert.equal((await ask('/v1/offset?log=ev')).status, 200);
  });
});

test('requests that wait for a connection', () => limited({ database: { pool: 2, queue: 3, wait_ms: 60000, statement_ms: 60000 } }, async (own, ask) => {
  const lock = await cluster.connect();
  await lock.query('BEGIN; LOCK TABLE app.kv');
  const asked = Array.from({ length: 5 }, () => ask('/v1/get_fast/1?kv=kv'));
  await until('two are at it', async () => (await cluster.sql("SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted"))[0].n === 2);
  const refused = await until('the others wait', async () => { const r = await ask('/v1/offset?log=ev'); return r.status === 503 && r; });
  isError(refused, 503, '53300');
  assert.equal(refused.headers.get('retry-after'), '1');
  await lock.query('COMMIT');
  await lock.end();
  for (const r of await Promise.all(asked)) assert.ok(r.status === 404 || r.status === 503);
  assert.ok((await Promise.all(asked)).filter((r) => r.status === 404).length >= 4);
}));

test('how long a request waits, and how long a statement takes', () => limited({ database: { pool: 1, wait_ms: 300, statement_ms: 1000 } }, async (own, ask) => {
  const lock = await cluster.connect();
  await lock.query('BEGIN; LOCK TABLE app.kv');
  const first = ask('/v1/get_fast/1?kv=kv');
  await until('it waits for the lock', async () => (await cluster.sql("SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted"))[0].n === 1);
  isError(await ask('/v1/offset?log=ev'), 503, '08006');
  isError(await first, 504, '57014');
  await lock.query('COMMIT');
  await lock.end();
}));

test('a server that says nothing at all', () => limited({ database: { pool: 1, statement_ms: 500 } }, async (own, ask) => {
  await ask('/v1/offset?log=ev');
  const [{ pid }] = await cluster.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND application_name = 'kyrodb gateway' ORDER BY backend_start DESC LIMIT 1");
  process.kill(pid, 'SIGSTOP');
  const response = ask('/v1/offset?log=ev');
  isError(await response, 503, '08006');
  process.kill(pid, 'SIGCONT');
  assert.equal((await ask('/v1/offset?log=ev')).status, 200);
}));

test('subscribers', () => limited({ limits: { subscribers: 3, subscribers_per_token: 2 } }, async (own, ask) => {
  const url = `${own.url}/v1/subscribe?log=ev`;
  const s = [new Subscriber(url, tokens.app), new Subscriber(url, tokens.app)];
  await until('both are there', () => s.every((x) => x.heartbeats > 0));
  isError(await ask('/v1/subscribe?log=ev'), 503, '53400');
  s.push(new Subscriber(url, tokens.plain));
  await until('another token is', () => s[2].heartbeats > 0);
  isError(await ask('/v1/subscribe?log=ev', tokens.plain), 503, '53400');
  await s[0].close();
  await until('its place is free', async () => {
    const t = new Subscriber(url, tokens.app);
    await until('an answer', () => t.heartbeats > 0 || t.refused);
    await t.close();
    return t.heartbeats > 0;
  });
  for (const x of s) await x.close();
}));

test('connections: however many subscribe, two read and one listens', async () => {
  const subscribers = Array.from({ length: 50 }, () => new Subscriber(`${gateway.url}/v1/subscribe?log=ev`, tokens.app));
  await until('all are there', () => subscribers.every((s) => s.heartbeats > 0));
  await post('/v1/append', { log: 'ev', payload: 1 });
  await until('all have it', () => subscribers.every((s) => s.events.length === 1));
  const [{ n }] = await cluster.sql("SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'app'");
  assert.ok(n <= 8 + 2 + 1, `${n} connections`);
  await Promise.all(subscribers.map((s) => s.close()));
});

test('pages: an answer is cut at its size, and none is lost', () => limited({ limits: { answer_bytes: 10000, rows: 50 } }, async (own, ask) => {
  await cluster.sql("SELECT kyro.append_batch('app.ev', array_agg(to_jsonb(repeat('x', (g * 37) % 3000)))) FROM generate_series(1, 200) g");
  await post('/v1/append', { log: 'ev', payload: 'y'.repeat(30000) }); // more than an answer may have: it comes alone
  const seen = [];
  for (let next = '1', page; ; next = page.next) {
    page = (await ask(`/v1/replay?log=ev&from=${next}&limit=1000`)).body;
    if (page.events.length === 0) break;
    assert.ok(page.events.length <= 50);
    assert.ok(JSON.stringify(page.events).length < 12000 || page.events.length === 1);
    seen.push(...page.events.map((e) => e.offset));
  }
  assert.deepEqual(seen, (await cluster.sql('SELECT "offset"::text AS o FROM app.ev ORDER BY "offset"')).map((r) => r.o));

  await cluster.sql("INSERT INTO app.kv SELECT g, repeat('v', 500) FROM generate_series(1, 120) g");
  isError(await own.request('POST', '/v1/lookup', { token: tokens.app, body: { kv: 'kv', keys: Array.from({ length: 100 }, (_, i) => i + 1) } }), 413, '54000');
  const keys = [];
  for (let next = '1'; next !== null;) {
    const page = (await ask(`/v1/scan?kv=kv&from=${next}`)).body;
    keys.push(...page.values.map((v) => Number(v.key)));
    next = page.next;
  }
  assert.deepEqual(keys, Array.from({ length: 120 }, (_, i) => i + 1));
}));

test('the same request from many at once is one event', async () => {
  const ids = Array.from({ length: 20 }, (_, i) => `aaaaaaaa-0000-4000-8000-${String(i).padStart(12, '0')}`);
  const answers = await Promise.all(Array.from({ length: 400 }, (_, i) =>
    post('/v1/append', { log: 'ev', payload: i, request_id: ids[i % 20] }).then((r) => ({ id: ids[i % 20], status: r.status, offset: r.body.offset }))));
  for (const a of answers) assert.equal(a.status, 200);
  for (const id of ids) {
    const offsets = new Set(answers.filter((a) => a.id === id).map((a) => a.offset));
    assert.equal(offsets.size, 1);
    assert.deepEqual((await cluster.sql('SELECT "offset"::text AS o FROM app.ev WHERE request_id = $1', [id])).map((r) => r.o), [...offsets]);
  }
});

test('a graceful stop: what is under way is answered, subscribers are sent away', async () => {
  const own = await makeGateway();
  const s = new Subscriber(`${own.url}/v1/subscribe?log=kept`, tokens.app);
  await cluster.sql("SET search_path = app; SET ROLE app; SELECT kyro.create_log('kept')");
  await until('it is there', () => s.heartbeats > 0 || (s.refused && (s.closed = true)));
  const lock = await cluster.connect();
  await lock.query('BEGIN; LOCK TABLE app.kv');
  const slow = own.request('GET', '/v1/get_fast/1?kv=kv', { token: tokens.app });
  await until('it waits', async () => (await cluster.sql("SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted"))[0].n === 1);
  const stopped = own.stop('SIGTERM');
  await until('it takes no more', async () => own.request('GET', '/health').then((r) => r.status === 503, () => true));
  await lock.query('COMMIT');
  await lock.end();
  assert.ok([200, 404].includes((await slow).status));
  assert.equal(await stopped, 0);
  await s.close();
});

test('metrics: those of monitoring/queries.yaml by the same names, and its own', async () => {
  await cluster.sql("CREATE TABLE t (id bigint) USING kyro; INSERT INTO t SELECT generate_series(1, 20000); CREATE INDEX t_id ON t USING kyro_rmi (id); SELECT kyro.snapshot('t', 15000)");
  await cluster.sql('SET enable_seqscan = off; SET enable_bitmapscan = off; SET kyro.sample_rate = 1; SELECT count(*) FROM t WHERE id = 5');
  const queries = parse(readFileSync(join(root, 'monitoring/queries.yaml'), 'utf8'));
  const { text, headers } = await until('use has been counted', async () => {
    const own = await makeGateway();
    const r = await own.request('GET', '/metrics', { token: tokens.app });
    await own.stop();
    assert.equal(r.status, 200, r.text);
    return /kyrodb_rmi_lookups_total\{[^}]*t_id[^}]*\} 1/.test(r.text) && r;
  });
  assert.match(headers.get('content-type'), /^text\/plain; version=0.0.4/);
  const missing = Object.entries(queries).flatMap(([name, q]) => q.metrics.flatMap((m) => Object.entries(m)).filter(([, { usage }]) => !['LABEL', 'DISCARD'].includes(usage)).map(([column]) => `${name}_${column}`))
    .filter((metric) => !text.includes(`\n# TYPE ${metric} `) && !text.startsWith(`# TYPE ${metric} `));
  // those of tables and indexes with no such thing to tell have no value anywhere
  assert.deepEqual(missing.filter((m) => !/worker|autopilot|rebuild/.test(m)), []);
  const [{ size }] = await cluster.sql("SELECT pg_relation_size('t_id') AS size");
  assert.match(text, new RegExp(`^kyrodb_rmi_index_size_bytes\\{[^}]*indexrelname="t_id"[^}]*\\} ${size}$`, 'm'));
  assert.match(text, /^kyrodb_gateway_subscribers 0$/m);
  assert.match(text, /^kyrodb_gateway_connections_total\{pool="pool",role="monitor"\} \d+$/m);
  for (const line of text.trimEnd().split('\n')) assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="([^"\\]|\\.)*",?)*\})? (-?[\d.]+(e[-+]?\d+)?|NaN|[-+]Inf))$/);
});

test('TLS', async () => {
  const [key, cert] = ['key.pem', 'cert.pem'].map((f) => join(cluster.dir, f));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const own = await makeGateway({ tls: { key: 'key.pem', cert: 'cert.pem' } });
  const ask = (options) => new Promise((resolve, reject) => {
    https.get({ host: 'localhost', family: 4, port: own.port, path: '/v1/offset?log=ev', headers: { authorization: `Bearer ${tokens.app}` }, ca: readFileSync(cert), ...options }, (r) => { r.resume(); resolve(r); }).on('error', reject);
  });
  const response = await ask();
  assert.equal(response.statusCode, 200);
  assert.ok(response.headers['strict-transport-security']);
  await assert.rejects(ask({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }));
  await assert.rejects(own.request('GET', '/health'));
  await own.stop();
});

test('configurations that are refused', async () => {
  for (const [more, message] of [
    [{ listen: { host: '0.0.0.0' } }, /in the clear/],
    [{ listen: { prot: 1 } }, /additional properties \(prot\)/],
    [{ tokens: [] }, /tokens/],
    [{ tokens: [{ name: 'a', role: 'app', sha256: 'x' }] }, /sha256/],
    [{ tokens: [1, 2].map(() => ({ name: 'a', role: 'app', sha256: hash('x') })) }, /the same name/],
    [{ sql: {} }, /role/],
    [{ database: { database: 'postgres', pool: 0 } }, /pool/],
  ]) {
    await assert.rejects(makeGateway(more), message);
  }
});

test('tokens are in no log', async () => {
  await gateway.request('GET', '/v1/nothing', { token: tokens.app });
  await gateway.request('GET', '/v1/offset?log=nope', { token: 'guessed-token' });
  const log = () => readFileSync(gateway.log, 'utf8');
  const line = await until('it is in the log', () => log().split('\n').slice(0, -1).map((l) => JSON.parse(l)).find((l) => l.url === '/v1/nothing'));
  assert.equal(line.status, 404);
  await until('the other, too', () => log().includes('log=nope'));
  assert.ok(!log().includes(tokens.app) && !log().includes('guessed-token'));
});
