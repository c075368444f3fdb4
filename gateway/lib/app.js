// The server: plugins, hooks and routes put together.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import Fastify, { LogController } from 'fastify';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import fastifyStatic from '@fastify/static';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import underPressure from '@fastify/under-pressure';
import { Database } from './database.js';
import { GatewayError, asAnswer, errorBody } from './errors.js';
import { addGuards } from './guards.js';
import { parseBody } from './json.js';
import { Listener } from './listener.js';
import { Counters, readQueries } from './metrics.js';
import admin from '../routes/admin.js';
import logs from '../routes/logs.js';
import sql from '../routes/sql.js';
import system from '../routes/system.js';
import values from '../routes/values.js';
import vectors from '../routes/vectors.js';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const QUERIES = new URL('../../monitoring/queries.yaml', import.meta.url);

export async function buildApp(config, logger) {
  const app = Fastify({
    loggerInstance: logger,
    https: config.tls && { key: readFileSync(config.tls.key), cert: readFileSync(config.tls.cert), minVersion: 'TLSv1.2' },
    bodyLimit: config.limits.body_bytes,
    trustProxy: config.listen.trust_proxy,
    requestTimeout: 30000,
    keepAliveTimeout: 72000,
    genReqId: ({ headers }) => (/^[\w.:-]{1,64}$/.test(headers['x-request-id'] ?? '') ? headers['x-request-id'] : randomUUID()),
    forceCloseConnections: 'idle',
    return503OnClosing: false, // we say so ourselves, below
    exposeHeadRoutes: false,
    logController: new LogController({ disableRequestLogging: true }), // there is one line for each, when it has been answered
    routerOptions: { maxParamLength: 200 },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allowUnionTypes: true, allErrors: false } },
    frameworkErrors: sendError, // those of an address that cannot be read
  });
  const counters = new Counters();
  const database = new Database(config.database, app.log);
  const listeners = new Listeners(database, config, app.log);
  const context = { config, database, listeners, counters, version, metrics: readQueries(QUERIES) };

  function sendError(error, request, reply) {
    const answer = asAnswer(error);

    if (answer.status >= 500) request.log.error({ err: error, sqlstate: answer.sqlstate }, answer.message);
    if (answer.retryAfter) reply.header('retry-after', answer.retryAfter);
    reply.header('x-request-id', request.id).code(answer.status).type('application/json; charset=utf-8');
    return reply.serializer(JSON.stringify).send(errorBody(answer, request.id));
  }
  app.setErrorHandler(sendError);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, parseBody);
  // errors leave as they are, whatever a route's schema says
  app.setSerializerCompiler(() => JSON.stringify);

  let stopping = false;
  app.addHook('preClose', async () => { stopping = true; });
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    if (stopping) {
      throw new GatewayError(503, '57P03', 'the gateway is stopping', { retryAfter: 1 });
    }
  });
  app.addHook('onSend', async (request, reply) => {
    if (stopping) reply.header('connection', 'close'); // a connection that stays would be waited for
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, url, ip, routeOptions, token } = request;
    const { statusCode: status, elapsedTime: ms } = reply;

    counters.count(method, routeOptions.url ?? 'none', status, ms / 1000);
    request.log.info({ method, url, status, ms: Math.round(ms * 1000) / 1000, ip, token: token?.name }, 'request');
  });

  await app.register(helmet, {
    strictTransportSecurity: Boolean(config.tls),
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'self'"], imgSrc: ["'self'", 'data:'], styleSrc: ["'self'", "'unsafe-inline'"], objectSrc: ["'none'"], frameAncestors: ["'none'"], baseUri: ["'none'"] } },
  });
  await app.register(rateLimit, { global: false });
  addGuards(app, context);
  await app.register(underPressure, { maxEventLoopDelay: 2000, retryAfter: 1, exposeStatusRoute: false });
  app.setNotFoundHandler({ preHandler: [] }, (request) => {
    throw new GatewayError(404, '42883', `there is no ${request.method} ${request.url.split('?')[0]}`);
  });

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'kyrodb gateway', version, description: 'HTTP in front of the SQL functions of kyrodb. A bigint is a string in answers, for JSON numbers are not exact in many a client.' },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
  });
  await app.register(async (docs) => {
    docs.addHook('onRoute', (route) => { route.config = { ...route.config, open: true }; });
    await docs.register(swaggerUi, { routePrefix: '/docs', uiConfig: { validatorUrl: null } });
  });
  for (const routes of [logs, values, vectors, admin, system]) await app.register(routes, context);
  if (config.sql) await app.register(sql, context);
  if (config.app) {
    await app.register(async (pages) => {
      pages.addHook('onRoute', (route) => { route.config = { ...route.config, open: true }; });
      await pages.register(fastifyStatic, { root: config.app, prefix: '/app/' });
      pages.get('/', { schema: { hide: true } }, async (request, reply) => reply.redirect('/app/'));
    });
  }
  app.addHook('onClose', async () => {
    await listeners.end();
    await database.end();
  });
  await app.ready();
  return app;
}

// A listener of each role, made when somebody subscribes.
class Listeners {
  #all = new Map();

  constructor(database, config, log) {
    this.make = (role) => new Listener({
      connection: database.connection(role, { name: 'kyrodb gateway listener' }), pollMs: config.subscribe.poll_ms, log,
    });
  }

  of(role) {
    if (!this.#all.has(role)) this.#all.set(role, this.make(role));
    return this.#all.get(role);
  }

  async end() {
    await Promise.all([...this.#all.values()].map((l) => l.end()));
  }
}
