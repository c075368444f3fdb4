// Nobody gets more than the role of the token: hostile SQL, functions and triggers.
import assert from 'node:assert/strict';
import test from 'node:test';
import { setUp, until } from './support.js';

// The role app may create what it likes, and its objects are hostile.
const { cluster, tokens, as, makeGateway, get, post } = await setUp({}, `
  CREATE TABLE app.secret (x text);
  INSERT INTO app.secret VALUES ('secret');
  CREATE FUNCTION app.climb() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RESET ROLE;
    EXECUTE 'RESET SESSION AUTHORIZATION';
    NEW.value := session_user || ' ' || current_user || ' ' || (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
    RETURN NEW;
  END $$;
  CREATE TRIGGER climb BEFORE INSERT ON app.kv FOR EACH ROW EXECUTE FUNCTION app.climb();
  CREATE FUNCTION app.stay() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
  BEGIN
    PERFORM set_config('statement_timeout', '0', false), set_config('client_connection_check_interval', '0', false);
    LOOP
      BEGIN
        PERFORM pg_sleep(600);
      EXCEPTION WHEN query_canceled THEN
        NULL;
      END;
    END LOOP;
  END $$;
  CREATE FUNCTION app.relax() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
  BEGIN
    PERFORM set_config('statement_timeout', '0', false);
    RETURN 1;
  END $$;
  CREATE TABLE app.free (x int);
  GRANT ALL ON app.free TO reader;
  GRANT CREATE ON SCHEMA app TO reader;
  ALTER ROLE reader SET search_path = app;`);

const sql = (text, params) => post('/v1/sql', { sql: text, params });

test('a trigger cannot become somebody else', async () => {
  await post('/v1/put', { kv: 'kv', key: 1, value: 'x' });
  assert.equal((await get('/v1/get_fast/1?kv=kv')).body.value, 'app app false');
});

test('a session of a role is of no other role', async () => {
  await post('/v1/append', { log: 'ev', payload: 1 });
  assert.equal((await as('other').get('/v1/replay?log=app.ev')).status, 403);
  assert.equal((await get('/v1/replay?log=ev')).status, 200);
  const users = await cluster.sql("SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'kyrodb gateway' ORDER BY 1");
  assert.ok(users.every((u) => ['app', 'monitor', 'other'].includes(u.usename)), JSON.stringify(users));
});

test('SQL is read as the role that is for it', async () => {
  assert.deepEqual((await sql('SELECT session_user, current_user')).body.rows, [['reader', 'reader']]);
  assert.equal((await sql('SELECT * FROM app.secret')).body.error.sqlstate, '42501');
});

const never = {
  'another statement behind it': ["SELECT 1; INSERT INTO app.free VALUES (1)", '42601'],
  'the end of the transaction': ['COMMIT', '42601'],
  'the end of the transaction, behind a query': ['SELECT 1; COMMIT; INSERT INTO app.free VALUES (1)', '42601'],
  'a change': ['INSERT INTO app.free VALUES (1) RETURNING x', '42601'],
  'a change in WITH': ['WITH w AS (INSERT INTO app.free VALUES (1) RETURNING x) SELECT * FROM w', '0A000'],
  'a change of the transaction': ["SELECT set_config('transaction_read_only', 'off', false)", '25001'],
  'RESET ROLE': ['RESET ROLE', '42601'],
  'SET ROLE by a function': ["SELECT set_config('role', 'postgres', false)", '42501'],
  'SET SESSION AUTHORIZATION by a function': ["SELECT set_config('session_authorization', 'postgres', false)", '42501'],
  'a block of code': ['DO $$ BEGIN COMMIT; END $$', '42601'],
  'COPY to a program': ["COPY app.free TO PROGRAM 'touch /tmp/x'", '42601'],
  'a file of the server': ["SELECT pg_read_file('/etc/passwd')", '42501'],
  'a lock of rows': ['SELECT * FROM app.free FOR UPDATE', '25006'],
  'a sequence': ["SELECT nextval('app.ev_offset_seq')", '42501'],
  'a table': ['SELECT 1 INTO app.made', '42601'],
  'EXPLAIN ANALYZE of a change': ['EXPLAIN ANALYZE INSERT INTO app.free VALUES (1)', '42601'],
  'a prepared statement': ['PREPARE p AS SELECT 1', '42601'],
  'an error of syntax': ['SELEC', '42601'],
  'nothing': [' ', '42601'],
};
for (const [name, [text, sqlstate]] of Object.entries(never)) {
  test(`SQL refuses: ${name}`, async () => {
    const { status, body } = await sql(text);
    assert.ok(status >= 400 && status !== 500, String(status));
    assert.equal(body.error?.sqlstate, sqlstate, JSON.stringify(body));
    assert.deepEqual(await cluster.sql('SELECT * FROM app.free'), []);
    assert.deepEqual(await cluster.sql("SELECT to_regclass('app.made') AS made"), [{ made: null }]);
  });
}

test('what a read-only transaction lets pass is rolled back', async () => {
  await sql('SELECT lo_create(0)'); // before PostgreSQL 16
  assert.deepEqual(await cluster.sql('SELECT * FROM pg_largeobject_metadata'), []);
});

test('parameters are only parameters', async () => {
  assert.deepEqual((await sql('SELECT $1::text', ["'; DROP TABLE app.free; --"])).body.rows, [["'; DROP TABLE app.free; --"]]);
  assert.deepEqual((await sql('SELECT $1::int, $2::bool, $3::text', [1, true, null])).body.rows, [['1', 't', null]]);
  assert.equal((await sql('SELECT $1::int', ['x'])).body.error.sqlstate, '22P02');
});

const gone = () => until('no session is left over', async () => (await cluster.sql("SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'reader' AND application_name LIKE '%sql'"))[0].n === 0);

test('a query that takes long is ended', async () => {
  assert.deepEqual([(await sql('SELECT pg_sleep(60)')).body.error.sqlstate], ['57014']);
  await gone();
});

test('so is one that does all it can to go on', async () => {
  for (const text of ['SELECT app.stay()', 'SELECT pg_sleep(60) WHERE app.relax() = 1', "SELECT set_config('statement_timeout', '0', false), pg_sleep(60)"]) {
    const { status, body } = await sql(text);
    assert.equal(status, 504, JSON.stringify(body));
    assert.equal(body.error.sqlstate, '57014');
    await gone();
  }
});

test('so is one that returns too much', async () => {
  const { status, body } = await sql("SELECT repeat('x', 1000000) FROM generate_series(1, 20)");
  assert.equal(status, 413, JSON.stringify(body).slice(0, 200));
  assert.equal(body.error.sqlstate, '54000');
  await gone();
});

test('a query leaves nothing behind for the next', async () => {
  await sql("SELECT set_config('search_path', 'nowhere', false), pg_advisory_lock(42)");
  await gone();
  assert.deepEqual((await sql("SELECT current_setting('search_path'), pg_try_advisory_lock(42)")).body.rows, [['app', 't']]);
  await gone();
});

test('SQL is off unless the configuration has it', async () => {
  const without = await makeGateway({ sql: undefined });
  assert.equal((await without.request('POST', '/v1/sql', { token: tokens.app, body: { sql: 'SELECT 1' } })).status, 404);
});
