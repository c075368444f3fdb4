// A real cluster and a real gateway for each test file.  The programs of PostgreSQL, with
// kyrodb installed, are found by PATH (tools/check-gateway.sh).
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after } from 'node:test';
import pg from 'pg';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const server = join(root, 'gateway', 'server.js');
const run = (program, ...args) => execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });

// Until it is so, for a minute at most.
export async function until(what, test) {
  const end = Date.now() + 60000;

  for (;;) {
    const result = await test();
    if (result) return result;
    if (Date.now() > end) throw new Error(`this did not come about: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

export async function freePort() {
  const s = createServer().listen(0, '127.0.0.1');
  await once(s, 'listening');
  const { port } = s.address();
  s.close();
  await once(s, 'close');
  return port;
}

export class Cluster {
  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'kyrogw-'));
    this.data = join(this.dir, 'data');
    run('initdb', '-D', this.data, '-A', 'trust', '-N', '-U', 'postgres', '--no-locale', '-E', 'UTF8');
    appendFileSync(join(this.data, 'postgresql.conf'), `
listen_addresses = ''
unix_socket_directories = '${this.dir}'
shared_preload_libraries = 'kyrodb'
max_connections = 100
max_prepared_transactions = 10
wal_consistency_checking = 'generic, kyro_rmi'
autovacuum = off
log_statement = 'none'
`);
    this.start();
  }

  start() { run('pg_ctl', '-D', this.data, '-l', join(this.dir, 'log'), '-w', 'start'); }

  stop(mode = 'fast') {
    if (existsSync(join(this.data, 'postmaster.pid'))) run('pg_ctl', '-D', this.data, '-m', mode, '-w', 'stop');
  }

  // As if the machine had lost its power, and come back.
  async killAndRestart() {
    const pid = Number(readFileSync(join(this.data, 'postmaster.pid'), 'utf8').split('\n')[0]);
    process.kill(pid, 'SIGKILL');
    await until('the server is dead', () => { try { process.kill(pid, 0); return false; } catch { return true; } });
    await until('it can be started again', () => { try { this.start(); return true; } catch { return false; } });
  }

  async connect(user = 'postgres') {
    const client = new pg.Client({ host: this.dir, user, database: 'postgres' });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  // The rows of one statement, or of the last of several.
  async sql(text, values, user) {
    const client = await this.connect(user);
    try {
      const result = await client.query(text, values);
      return (Array.isArray(result) ? result.at(-1) : result).rows;
    } finally {
      await client.end();
    }
  }

  remove() {
    this.stop('immediate');
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export const newToken = () => randomBytes(16).toString('hex');
export const hash = (token) => createHash('sha256').update(token).digest('hex');

export class Gateway {
  constructor(cluster, config, port) {
    const { listen, ...rest } = config;
    this.file = join(cluster.dir, `gateway-${port}.json`);
    this.log = join(cluster.dir, `gateway-${port}.log`);
    this.port = port;
    writeFileSync(this.file, JSON.stringify({
      ...rest,
      listen: { port, ...listen },
      database: { host: cluster.dir, database: 'postgres', monitor_role: 'monitor', ...config.database },
    }));
  }

  async start() {
    this.process = spawn(process.execPath, [server, this.file], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process.stdout.on('data', (data) => appendFileSync(this.log, data));
    this.process.stderr.on('data', (data) => appendFileSync(this.log, data));
    this.exited = once(this.process, 'exit');
    await until(`the gateway is there: ${this.log}`, () => {
      if (this.process.exitCode !== null) throw new Error(readFileSync(this.log, 'utf8'));
      return existsSync(this.log) && readFileSync(this.log, 'utf8').includes('Server listening');
    });
    return this;
  }

  async stop(signal = 'SIGTERM') {
    this.process.kill(signal);
    const [code] = await this.exited;
    rmSync(this.log, { force: true });
    return code;
  }

  get url() { return `http://127.0.0.1:${this.port}`; }

  // { status, headers, body } of a request; an object as body is sent as JSON.
  async request(method, path, { token, body, headers = {} } = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body !== undefined ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      body: body === undefined || typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
    });
    const text = await response.text();
    let parsed;
    try { parsed = JSON.parse(text); } catch { parsed = undefined; }
    return { status: response.status, headers: response.headers, text, body: parsed };
  }
}

// A cluster with the roles of an application, and a gateway before it, for a test file.
export async function setUp(config = {}, sql = '') {
  const cluster = new Cluster();
  const gateways = [];

  after(async () => {
    for (const g of gateways) {
      if (g.process?.exitCode === null && g.process.signalCode === null) await g.stop('SIGKILL');
    }
    cluster.remove();
  });
  await cluster.sql(`
    CREATE EXTENSION kyrodb;
    CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
    CREATE ROLE app LOGIN;
    CREATE ROLE other LOGIN;
    CREATE ROLE reader LOGIN;
    CREATE SCHEMA app AUTHORIZATION app;
    ALTER ROLE app SET search_path = app;
    GRANT USAGE ON SCHEMA app TO other, reader;
    SET ROLE app;
    SET search_path = app;
    SELECT kyro.create_log('ev');
    SELECT kyro.create_log('bytes', 'bytea');
    SELECT kyro.create_kv('kv');
    SELECT kyro.create_kv('old', 'numeric', history => true);
    GRANT SELECT ON ev TO reader;
    RESET ROLE;
    RESET search_path;
    ${sql}`);
  const tokens = Object.fromEntries(['app', 'other', 'plain'].map((name) => [name, newToken()]));
  const makeGateway = async (more = {}) => {
    const gateway = new Gateway(cluster, {
      tokens: [
        { name: 'app', role: 'app', sha256: hash(tokens.app), allow: ['sql', 'metrics'] },
        { name: 'other', role: 'other', sha256: hash(tokens.other) },
        { name: 'plain', role: 'app', sha256: hash(tokens.plain) },
      ],
      sql: { role: 'reader', statement_ms: 500 },
      ...config, ...more,
    }, more.listen?.port ?? await freePort());
    gateways.push(gateway);
    await gateway.start();
    // on a busy machine it is late at first, and says so by 503
    if (!more.limits && !more.tls) await until('it is ready', async () => (await gateway.request('GET', '/health')).status === 200);
    return gateway;
  };
  const gateway = await makeGateway();
  const as = (name) => ({
    get: (path, headers) => gateway.request('GET', path, { token: tokens[name], headers }),
    post: (path, body, headers) => gateway.request('POST', path, { token: tokens[name], body, headers }),
  });
  return { cluster, gateway, tokens, as, makeGateway, ...as('app') };
}

// What a subscriber is: it reads server-sent events, and comes again with the last id when its
// connection ends.
export class Subscriber {
  events = [];
  heartbeats = 0;
  connections = 0;

  constructor(url, token, { from, lastEventId } = {}) {
    Object.assign(this, { url, token, from, lastEventId });
    this.done = this.#loop();
  }

  async #loop() {
    while (!this.closed) {
      this.abort = new AbortController();
      try {
        const response = await fetch(this.url + (this.from === undefined ? '' : `&from=${this.from}`), {
          headers: { authorization: `Bearer ${this.token}`, ...(this.lastEventId ? { 'last-event-id': this.lastEventId } : {}) },
          signal: this.abort.signal,
        });
        if (response.status !== 200) {
          this.refused = await response.json();
          if (response.status < 500) return;
          throw new Error('not now');
        }
        this.connections++;
        await this.#read(response.body);
      } catch {
        if (!this.closed) await new Promise((resolve) => { setTimeout(resolve, 20); });
      }
    }
  }

  async #read(body) {
    const decoder = new TextDecoder();
    let text = '';

    for await (const chunk of body) {
      text += decoder.decode(chunk, { stream: true });
      const frames = text.split('\n\n');
      text = frames.pop();
      for (const frame of frames) {
        const fields = Object.fromEntries(frame.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]));
        if (fields.event === 'error') {
          this.error = JSON.parse(fields.data);
          this.close();
        } else if (fields.data !== undefined) {
          this.lastEventId = fields.id;
          this.events.push(JSON.parse(fields.data));
        } else {
          this.heartbeats++;
        }
      }
    }
  }

  // The connection is lost.
  drop() { this.abort.abort(); }

  async close() {
    this.closed = true;
    this.abort?.abort();
    await this.done;
  }
}
