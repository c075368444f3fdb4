// The configuration: one JSON file, checked before anything is started.  docs/gateway.md has
// what each entry means.
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import Ajv from 'ajv';

const count = (value, minimum = 1, maximum = 1e9) => ({ type: 'integer', minimum, maximum, default: value });
const object = (properties, required = []) => ({ type: 'object', additionalProperties: false, default: {}, properties, required });
const text = { type: 'string', minLength: 1 };

const schema = {
  ...object({
    listen: object({
      host: { ...text, default: '127.0.0.1' },
      port: count(8080, 0, 65535),
      plaintext: { type: 'boolean', default: false },
      trust_proxy: { type: ['boolean', 'string'], default: false },
    }),
    tls: { ...object({ key: text, cert: text }, ['key', 'cert']), default: undefined },
    database: object({
      host: { ...text, default: '/var/run/postgresql' },
      port: count(5432, 1, 65535),
      database: text,
      monitor_role: text,
      ca: text,
      pool: count(8, 1, 1000),
      stream_pool: count(2, 1, 1000),
      queue: count(200, 0, 100000),
      wait_ms: count(2000),
      statement_ms: count(5000),
      long_statement_ms: count(600000),
    }, ['database', 'monitor_role']),
    limits: object({
      body_bytes: count(1048576, 1024, 268435456),
      answer_bytes: count(4194304, 1024, 268435456),
      rows: count(10000),
      keys: count(10000),
      ip_per_minute: count(6000),
      token_per_minute: count(60000),
      subscribers: count(1000),
      subscribers_per_token: count(100),
    }),
    subscribe: object({
      heartbeat_ms: count(15000, 10),
      poll_ms: count(5000, 10),
      drain_ms: count(120000, 10),
    }),
    sql: { ...object({ role: text, statement_ms: count(2000), rows: count(1000), connections: count(2, 1, 100) }, ['role']), default: undefined },
    app: { type: 'string' },
    stop_ms: count(10000),
    log_level: { enum: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], default: 'info' },
    tokens: {
      type: 'array', minItems: 1,
      items: object({
        name: text, role: text,
        sha256: { type: 'string', pattern: '^[0-9a-f]{64}$' },
        allow: { type: 'array', items: { enum: ['sql', 'metrics'] }, default: [] },
        per_minute: { type: 'integer', minimum: 1 },
      }, ['name', 'role', 'sha256']),
    },
  }, ['database', 'tokens']),
};
// those have to be given as a whole, or not at all
delete schema.default;
delete schema.properties.tls.default;
delete schema.properties.sql.default;
delete schema.properties.tokens.items.default;

const validate = new Ajv({ useDefaults: true, allErrors: true, allowUnionTypes: true }).compile(schema);

export function checkConfig(config) {
  if (!validate(config)) {
    throw new Error(validate.errors.map((e) => `${e.instancePath || '/'} ${e.message}${e.params.additionalProperty ? ` (${e.params.additionalProperty})` : ''}`).join('; '));
  }
  const { listen, tls, tokens } = config;
  for (const key of ['name', 'sha256']) {
    if (new Set(tokens.map((t) => t[key])).size < tokens.length) throw new Error(`/tokens: two have the same ${key}`);
  }
  if (!tls && !listen.plaintext && !isLoopback(listen.host)) {
    throw new Error(`/listen: tokens would cross the network in the clear at ${listen.host}; give "tls", or "plaintext": true if something in front has it`);
  }
  return config;
}

const isLoopback = (host) => host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));

// Paths in it are relative to the file.
export function readConfig(file) {
  try {
    const config = checkConfig(JSON.parse(readFileSync(file, 'utf8')));
    const at = (path) => (path === undefined ? undefined : resolve(dirname(file), path));
    config.app = at(config.app);
    config.database.ca = at(config.database.ca);
    if (config.tls) config.tls = { key: at(config.tls.key), cert: at(config.tls.cert) };
    return config;
  } catch (error) {
    throw new Error(`${file}: ${error.message}`);
  }
}
