// Each bad request gets the error that docs/gateway.md gives it, and changes nothing.
import assert from 'node:assert/strict';
import net from 'node:net';
import test from 'node:test';
import { setUp } from './support.js';

const { cluster, gateway, tokens, get, post } = await setUp({ limits: { body_bytes: 65536 } }, `
  CREATE TABLE app.plain (id bigint PRIMARY KEY);
  ALTER TABLE app.plain OWNER TO app;
  CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING DETAIL = 'because', HINT = 'do not'; END $$;
  CREATE TABLE app.guarded (LIKE app.plain);`);

await post('/v1/append', { log: 'ev', payload: 'first' });
await post('/v1/put', { kv: 'kv', key: 1, value: 'one' });
const content = async () => (await cluster.sql(`SELECT
  (SELECT json_agg(e ORDER BY "offset")::text FROM app.ev e) AS ev, (SELECT json_agg(k)::text FROM app.kv k) AS kv,
  (SELECT last_value FROM app.ev_offset_seq) AS given, (SELECT json_agg(relname ORDER BY oid)::text FROM pg_class WHERE relnamespace = 'app'::regnamespace) AS relations`))[0];
const before = await content();

const refused = (name, request, status, sqlstate, message) => test(name, async () => {
  const response = await request();
  assert.equal(response.status, status, response.text);
  assert.equal(response.body?.error?.sqlstate, sqlstate, response.text);
  assert.match(response.body.error.message, message ?? /./);
  assert.equal(response.body.error.request_id, response.headers.get('x-request-id'));
  assert.match(response.headers.get('content-type'), /^application\/json/);
});
const raw = (path, body, headers) => gateway.request('POST', path, { token: tokens.app, body, headers });

// tokens
refused('no token', () => gateway.request('GET', '/v1/offset?log=ev'), 401, '28000', /a token is needed/);
refused('a wrong token', () => gateway.request('GET', '/v1/offset?log=ev', { token: `${tokens.app.slice(0, -1)}x` }), 401, '28000', /not known/);
refused('another scheme', () => gateway.request('GET', '/v1/offset?log=ev', { headers: { authorization: `Basic ${tokens.app}` } }), 401, '28000');
refused('the hash of a token is not a token', async () => gateway.request('GET', '/v1/offset?log=ev', { token: (await import('./support.js')).hash(tokens.app) }), 401, '28000');
refused('a token in the address is none', () => gateway.request('GET', `/v1/offset?log=ev&token=${tokens.app}`), 401, '28000');
refused('no token to append', () => gateway.request('POST', '/v1/append', { body: { log: 'ev', payload: 1 } }), 401, '28000');
refused('no token for metrics', () => gateway.request('GET', '/metrics'), 401, '28000');

// names
refused('an unknown log', () => get('/v1/replay?log=nope'), 404, '42P01', /event log "nope" does not exist/);
refused('append to an unknown log', () => post('/v1/append', { log: 'nope', payload: 1 }), 404, '42P01');
refused('several to an unknown log', () => post('/v1/append', { log: 'nope', events: [{ payload: 1 }] }), 404, '42P01');
refused('subscribe to an unknown log', () => get('/v1/subscribe?log=nope'), 404, '42P01');
refused('the offset of an unknown log', () => get('/v1/offset?log=nope'), 404, '42P01');
refused('a table that is no log', () => get('/v1/replay?log=plain'), 400, '42809', /not an event log/);
refused('an unknown schema', () => get('/v1/replay?log=no.ev'), 404, '42P01');
refused('not a name', () => get('/v1/replay?log=a.b.c.d'), 400, '42601');
refused('an unknown key-value table', () => get('/v1/get_fast/1?kv=nope'), 404, '42P01');
refused('a table that is no key-value table', () => post('/v1/put', { kv: 'plain', key: 1, value: '' }), 400, '42809');
refused('an unknown table to seal', () => post('/v1/snapshot', { table: 'nope' }), 404, '42P01');
refused('a table that cannot be sealed', () => post('/v1/snapshot', { table: 'plain' }), 400, '42809');
refused('an unknown index', () => post('/v1/rmi/build', { index: 'nope' }), 404, '42P01');
refused('an index of another kind', () => post('/v1/rmi/build', { index: 'plain_pkey' }), 400, '42809');
refused('no history', () => get('/v1/get_fast/1?kv=kv&as_of=1'), 409, '55000', /keeps no history/);
refused('an unknown endpoint', () => get('/v1/nothing'), 404, '42883');
refused('another method', () => get('/v1/append'), 404, '42883');

// injection
const hostile = ['ev; DROP TABLE app.ev', "ev'; DROP TABLE app.ev --", 'ev" ; DROP TABLE app.ev; --', "ev') UNION SELECT 1 --", '$(touch /tmp/x)', "E'\\x27'"];
for (const name of hostile) {
  test(`a name is only a name: ${name}`, async () => {
    for (const response of [
      await get(`/v1/replay?log=${encodeURIComponent(name)}`), await get(`/v1/offset?log=${encodeURIComponent(name)}`),
      await get(`/v1/get_fast/1?kv=${encodeURIComponent(name)}`), await get(`/v1/subscribe?log=${encodeURIComponent(name)}`),
      await post('/v1/append', { log: name, payload: 1 }), await post('/v1/put', { kv: name, key: 1, value: '1' }),
      await post('/v1/snapshot', { table: name }), await post('/v1/rmi/build', { index: name }), await post('/v1/warmup', { relation: name }),
    ]) {
      assert.ok([400, 404].includes(response.status), response.text);
      assert.match(response.body.error.sqlstate, /^(42P01|42601|42602|22023)$/, response.text);
    }
  });
}
refused('a key is only a key', () => get(`/v1/get_fast/${encodeURIComponent('1 OR 1=1')}?kv=kv`), 400, '22P02');
refused('an offset is only an offset', () => get(`/v1/replay?log=ev&from=${encodeURIComponent('1); DROP TABLE app.ev')}`), 400, '22P02');
refused('a type that no value has', () => post('/v1/append', { log: 'ev', payload: 1, request_id: "' || 1" }), 400, '22P02');

// types
refused('a key that is text', () => post('/v1/append', { log: 'ev', payload: 1, key: 'abc' }), 400, '22P02', /invalid input syntax for type bigint/);
refused('a key with a fraction', () => post('/v1/append', { log: 'ev', payload: 1, key: 1.5 }), 400, '22023');
refused('a key beyond bigint', () => post('/v1/put', '{"kv":"kv","key":9223372036854775808,"value":"x"}'), 400, '22003');
refused('a key that is a list', () => post('/v1/put', { kv: 'kv', key: [1], value: 'x' }), 400, '22023');
refused('a value of another type', () => post('/v1/put', { kv: 'old', key: 1, value: 'abc' }), 400, '22P02');
refused('no value', () => post('/v1/put', { kv: 'kv', key: 2, value: null }), 400, '23502');
refused('a value is missing', () => post('/v1/put', { kv: 'kv', key: 2 }), 400, '22023');
refused('no payload', () => post('/v1/append', { log: 'ev' }), 400, '22023');
refused('two payloads', () => post('/v1/append', { log: 'ev', payload: 1, events: [{ payload: 2 }] }), 400, '22023');
refused('no events', () => post('/v1/append', { log: 'ev', events: [] }), 400, '22023');
refused('a request for some of the events', () => post('/v1/append', { log: 'ev', events: [{ payload: 1 }, { payload: 2, request_id: '0b7c9a52-5e0e-4f0c-9a53-2f1a7f0e6b12' }] }), 400, '22004');
refused('one bad event among good ones', () => post('/v1/append', { log: 'ev', events: [{ payload: 1 }, { payload: 2, key: 'x' }] }), 400, '22P02');
refused('a payload of the other type', () => post('/v1/append', { log: 'bytes', payload: 1 }), 400, '42804');
refused('bytes for a log of jsonb', () => post('/v1/append', { log: 'ev', payload_base64: 'AAAA' }), 400, '42804');
refused('not base64', () => post('/v1/append', { log: 'bytes', payload_base64: '*' }), 400, '22023');
refused('not a uuid', () => post('/v1/append', { log: 'ev', payload: 1, request_id: 'x' }), 400, '22P02');
refused('an entry that there is not', () => post('/v1/append', { log: 'ev', payload: 1, offset: 5 }), 400, '22023');
refused('a parameter that there is not', () => get('/v1/replay?log=ev&form=1'), 400, '22023');
refused('no log', () => get('/v1/replay'), 400, '22023');
refused('a log twice', () => get('/v1/replay?log=ev&log=bytes'), 400, '22023');
refused('a time that is none', () => get('/v1/get_fast/1?kv=old&as_of_time=yesteryear'), 400, '22007');
refused('offset and time', () => get('/v1/get_fast/1?kv=old&as_of=1&as_of_time=now'), 400, '22023');

// numbers out of range
refused('a negative limit', () => get('/v1/replay?log=ev&limit=-1'), 400, '2201W');
refused('a negative limit of a scan', () => get('/v1/scan?kv=kv&limit=-1'), 400, '2201W');
refused('a negative offset', () => get('/v1/replay?log=ev&from=-1'), 400, '22023', /must not be negative/);
refused('an offset beyond the end', () => get('/v1/replay?log=ev&from=1000'), 400, '22023', /beyond the end/);
refused('an offset that is no bigint', () => get('/v1/replay?log=ev&from=99999999999999999999'), 400, '22003');
refused('subscribe beyond the end', () => get('/v1/subscribe?log=ev&from=1000'), 400, '22023', /beyond the end/);
refused('Last-Event-ID beyond the end', () => get('/v1/subscribe?log=ev', { 'last-event-id': '1000' }), 400, '22023', /beyond the end/);
refused('Last-Event-ID that is none', () => get('/v1/subscribe?log=ev', { 'last-event-id': '1; x' }), 400, '22023');
refused('Last-Event-ID behind which there is nothing', () => get('/v1/subscribe?log=ev', { 'last-event-id': '9223372036854775807' }), 400, '22023');

// bodies
refused('a huge body', () => raw('/v1/append', JSON.stringify({ log: 'ev', payload: 'x'.repeat(70000) })), 413, '54000');
test('a body that is huge and does not say so', async () => {
  // in pieces, without Content-Length, for as long as it is taken
  const socket = net.connect(gateway.port, '127.0.0.1');
  let answer = '';
  socket.on('data', (data) => { answer += data; });
  socket.on('error', () => {});
  socket.write(`POST /v1/append HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${tokens.app}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`);
  for (let i = 0; i < 200 && !answer && !socket.destroyed; i++) {
    socket.write(`1000\r\n${'x'.repeat(4096)}\r\n`);
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
  socket.destroy();
  assert.match(answer, /^HTTP\/1.1 413 /);
});
refused('a body that is no JSON', () => raw('/v1/append', '{"log":"ev"'), 400, '22P02');
refused('no body', () => gateway.request('POST', '/v1/append', { token: tokens.app, headers: { 'content-type': 'application/json' } }), 400, '22P02');
refused('a body of another type', () => raw('/v1/append', '<a/>', { 'content-type': 'text/xml' }), 415, '0A000');
refused('a body that is a list', () => raw('/v1/append', '[]'), 400, '22023');
refused('a body that is null', () => raw('/v1/append', 'null'), 400, '22023');
refused('broken UTF-8 in a payload', () => raw('/v1/append', Buffer.concat([Buffer.from('{"log":"ev","payload":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')])), 400, '22021', /UTF-8/);
refused('broken UTF-8 in a value', () => raw('/v1/put', Buffer.concat([Buffer.from('{"kv":"kv","key":2,"value":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')])), 400, '22021');
refused('half a character by escape', () => raw('/v1/append', '{"log":"ev","payload":"\\ud800"}'), 400, '22P02');
refused('a zero byte', () => raw('/v1/append', '{"log":"ev","payload":"\\u0000"}'), 400, '22P05');
refused('a zero byte in a name', () => get('/v1/replay?log=ev%00'), 400, '22021');
refused('broken UTF-8 in a path', () => get('/v1/get_fast/%ff?kv=kv'), 400, '22021');
refused('broken UTF-8 in a name', () => get('/v1/replay?log=%ff'), 404, '42P01');
refused('a very deep body', () => raw('/v1/append', `{"log":"ev","payload":${'['.repeat(30000)}${']'.repeat(30000)}}`), 400, '54001');
refused('a long name', () => get(`/v1/replay?log=${'a'.repeat(300)}`), 400, '22023');
refused('a long path', () => get(`/v1/get_fast/${'1'.repeat(300)}?kv=kv`), 414, '54000');

// privileges
refused('a role that may not read', () => gateway.request('GET', '/v1/replay?log=app.ev', { token: tokens.other }), 403, '42501');
refused('a role that may not write', () => gateway.request('POST', '/v1/append', { token: tokens.other, body: { log: 'app.ev', payload: 1 } }), 403, '42501');
refused('a role that may not put', () => gateway.request('POST', '/v1/put', { token: tokens.other, body: { kv: 'app.kv', key: 1, value: '' } }), 403, '42501');
refused('a role that may not subscribe', () => gateway.request('GET', '/v1/subscribe?log=app.ev', { token: tokens.other }), 403, '42501');
refused('a role that is not the owner', () => gateway.request('POST', '/v1/snapshot', { token: tokens.other, body: { table: 'app.ev' } }), 403, '42501');
refused('a token that does not allow metrics', () => gateway.request('GET', '/metrics', { token: tokens.plain }), 403, '42501');
refused('a token that does not allow SQL', () => gateway.request('POST', '/v1/sql', { token: tokens.plain, body: { sql: 'SELECT 1' } }), 403, '42501');

test('an error of a trigger comes with DETAIL and HINT', async () => {
  await cluster.sql('CREATE TRIGGER refuse BEFORE INSERT ON app.kv FOR EACH ROW EXECUTE FUNCTION app.refuse()');
  const { status, body } = await post('/v1/put', { kv: 'kv', key: 9, value: 'x' });
  await cluster.sql('DROP TRIGGER refuse ON app.kv');
  assert.equal(status, 400);
  assert.equal(body.error.sqlstate, 'P0001');
  assert.equal(body.error.detail, 'because');
  assert.equal(body.error.hint, 'do not');
});

test('HTTP that is none', async () => {
  const socket = net.connect(gateway.port, '127.0.0.1');
  let answer = '';
  socket.on('data', (data) => { answer += data; });
  socket.write('GARBAGE\r\n\r\n');
  await new Promise((resolve) => { socket.on('close', resolve); });
  assert.match(answer, /^HTTP\/1.1 400 /);
});

test('nothing was changed by all that', async () => {
  const now = await content();
  assert.deepEqual({ ...now, given: '' }, { ...before, given: '' });
  assert.equal((await get('/v1/replay?log=ev')).body.events.length, 1);
});
