// Connections.  Each role of a token has a pool of its own, whose connections log in as that
// role: a session can then do nothing that its role may not do, whatever SQL it is made to run
// (README.md, "Rights").  A second pool of each role is for subscribers, so that many of those
// leave connections to the others.
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { GatewayError } from './errors.js';

// All values come as the text that PostgreSQL makes of them.
const types = { getTypeParser: () => (value) => value };

// What answers look like must not depend on a role's settings.
const SETTINGS = '-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c bytea_output=hex -c extra_float_digits=1 -c client_min_messages=error';

// After statement_timeout a server that still says nothing is taken for lost.
const GRACE_MS = 3000;

export class Database {
  #config;
  #ssl;
  #pools = new Map();
  #log;

  constructor(config, log) {
    this.#config = config;
    this.#log = log;
    this.#ssl = config.ca ? { ca: readFileSync(config.ca, 'utf8') } : false;
  }

  // What a client of pg needs to log in as a role.
  connection(role, { name = 'kyrodb gateway', statementMs = this.#config.statement_ms } = {}) {
    const { host, port, database, wait_ms } = this.#config;
    return {
      user: role, host, port, database, ssl: this.#ssl, types, keepAlive: true,
      application_name: name, connectionTimeoutMillis: wait_ms, options: `${SETTINGS} -c statement_timeout=${statementMs}`,
    };
  }

  // kind: 'pool', or 'stream_pool' for subscribers
  #pool(role, kind) {
    const key = `${kind} ${role}`;
    let pool = this.#pools.get(key);

    if (!pool) {
      pool = new pg.Pool({ ...this.connection(role), max: this.#config[kind], idleTimeoutMillis: 60000 });
      pool.on('error', (error) => this.#log.warn({ role, err: error.message }, 'idle connection lost'));
      // one that is lost while it is in use makes its query fail; this is for the time between two
      pool.on('connect', (client) => client.on('error', () => {}));
      this.#pools.set(key, pool);
    }
    return pool;
  }

  // With a connection of the role.  Those that wait for one are bounded in number and time; one
  // whose work failed for other reasons than the server's word is not used again.
  async #with(role, kind, deadlineMs, work) {
    const pool = this.#pool(role, kind);

    if (kind === 'pool' && pool.waitingCount >= this.#config.queue) {
      throw new GatewayError(503, '53300', 'too many requests are waiting for a connection to the database', { retryAfter: 1 });
    }
    const client = await pool.connect();
    let timer;
    try {
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new GatewayError(503, '08006', 'the database does not answer', { retryAfter: 1 })), deadlineMs + GRACE_MS);
      });
      const result = await Promise.race([work(client), late]);
      client.release();
      return result;
    } catch (error) {
      client.release(error.severity === 'ERROR' && !client.inTransaction ? undefined : error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  // One statement, which is a transaction.  Returns its rows.
  async query(role, statement, values, kind = 'pool') {
    return this.#with(role, kind, this.#config.statement_ms, async (client) => (await client.query({ ...statement, values })).rows);
  }

  // One statement in a transaction that may take long.
  async longQuery(role, statement, values) {
    const ms = this.#config.long_statement_ms;

    return this.#with(role, 'pool', ms, async (client) => {
      client.inTransaction = true;
      await client.query({ name: 'begin', text: 'BEGIN' });
      await client.query({ name: 'timeout', text: "SELECT set_config('statement_timeout', $1, true)", values: [String(ms)] });
      const { rows } = await client.query({ ...statement, values });
      await client.query({ name: 'commit', text: 'COMMIT' });
      client.inTransaction = false;
      return rows;
    });
  }

  // { "pool role": { total, idle, waiting } }
  counts() {
    return [...this.#pools].map(([key, p]) => {
      const [kind, ...role] = key.split(' ');
      return { kind, role: role.join(' '), total: p.totalCount, idle: p.idleCount, waiting: p.waitingCount };
    });
  }

  async end() {
    await Promise.allSettled([...this.#pools.values()].map((p) => p.end()));
  }
}
