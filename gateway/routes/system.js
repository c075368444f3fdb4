// The gateway about itself and its server: health, versions, metrics.
import { renderQueries, renderOwn } from '../lib/metrics.js';
import { statements } from '../lib/statements.js';
import * as s from '../lib/schemas.js';

const HEALTH_MS = 500;

export default async function system(app, { config, database, metrics, counters, version }) {
  const monitor = config.database.monitor_role;
  let checked;         // a promise of the last look at the database
  let checkedAt = 0;

  // Without a token: for load balancers.  However often it is asked for, the database is seldom.
  app.get('/health', {
    config: { open: true },
    schema: { tags: ['the gateway'], summary: 'Whether requests can be served', security: [], response: { 200: s.json({ status: { type: 'string' } }), ...s.errors } },
  }, async () => {
    if (Date.now() - checkedAt > HEALTH_MS) {
      checkedAt = Date.now();
      checked = database.query(monitor, statements.health, []);
      checked.catch(() => {});
    }
    await checked;
    return { status: 'ok' };
  });

  app.get('/build_info', {
    schema: { tags: ['the gateway'], summary: 'Versions', response: { 200: s.json({ gateway: { type: 'string' }, node: { type: 'string' }, kyrodb: { type: 'object', additionalProperties: true } }), ...s.errors } },
  }, async (request, reply) => {
    const [row] = await database.query(request.token.role, statements.build_info, []);
    return s.sendText(reply, `{"gateway":${JSON.stringify(version)},"node":${JSON.stringify(process.version)},"kyrodb":${row.line}}`);
  });

  app.get('/metrics', {
    config: { permission: 'metrics' },
    schema: { tags: ['the gateway'], summary: 'Metrics for Prometheus', description: 'Those of monitoring/queries.yaml, and of the gateway itself.', produces: ['text/plain'], response: s.errors },
  }, async (request, reply) => {
    reply.type('text/plain; version=0.0.4; charset=utf-8');
    const text = await renderQueries(metrics, database, monitor);
    return renderOwn({ counters, pools: database.counts() }) + text;
  });
}
