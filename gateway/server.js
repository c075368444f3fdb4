// node server.js CONFIGURATION: the gateway, until it is told to stop (SIGTERM, SIGINT).
import { pino } from 'pino';
import { buildApp } from './lib/app.js';
import { readConfig } from './lib/config.js';

const file = process.argv[2] ?? process.env.KYRO_GATEWAY_CONFIG;
if (!file) {
  console.error('usage: node server.js CONFIGURATION');
  process.exit(2);
}

let config;
try {
  config = readConfig(file);
} catch (error) {
  console.error(`kyrodb gateway: ${error.message}`);
  process.exit(2);
}

const log = pino({ level: config.log_level });
const app = await buildApp(config, log);

let stopping = false;
async function stop(signal) {
  if (stopping) return;
  stopping = true;
  log.info({ signal }, 'stopping: no new requests; those under way are finished');
  const late = setTimeout(() => {
    log.error('requests were still under way');
    process.exit(1);
  }, config.stop_ms);
  await app.close();
  clearTimeout(late);
  log.info('stopped');
  process.exit(0);
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);

await app.listen({ host: config.listen.host, port: config.listen.port });
