// Event logs: append, replay, subscribe, offset.
import { Readable } from 'node:stream';
import { GatewayError } from '../lib/errors.js';
import { SharedPages, LAST, readPage } from '../lib/replay.js';
import { statements } from '../lib/statements.js';
import { events } from '../lib/subscription.js';
import * as s from '../lib/schemas.js';

const STREAM_BYTES = 262144;

export default async function logs(app, { config, database, listeners, counters }) {
  const { limits } = config;

  app.post('/v1/append', {
    schema: {
      tags: ['event logs'], summary: 'Append an event, or several, and get the offsets',
      description: 'With a request_id the first event of that id is the only one, however often it is sent. Several events are one transaction: give all of them a request_id, or none.',
      body: s.appendBody,
      response: { 200: s.json({ offset: s.bigint, offsets: s.array(s.bigint) }), ...s.errors },
    },
  }, async (request, reply) => {
    const { body, token } = request;
    const ways = ['payload', 'payload_base64', 'events'].filter((way) => way in body);

    if (ways.length !== 1) {
      throw new GatewayError(400, '22023', 'one of payload, payload_base64 and events has to be given');
    }
    if (ways[0] === 'events') {
      const [row] = await database.query(token.role, statements.append_batch, [request.bodyText]);
      return s.sendText(reply, `{"offsets":${row.line}}`);
    }
    const statement = ways[0] === 'payload' ? statements.append : statements.append_bytes;
    const [{ offset }] = await database.query(token.role, statement, [request.bodyText]);
    return { offset };
  });

  app.get('/v1/replay', {
    schema: {
      tags: ['event logs'], summary: 'Events in the order of their offsets',
      description: 'From "from" to "to", both inclusive, and never past one that is still to come. Go on from "next": it is behind the last event, also when an answer was cut at its greatest size.',
      querystring: s.query({ log: s.name, from: s.bigint, to: s.bigint, limit: s.bigint }, ['log']),
      response: { 200: s.json({ events: s.array(s.event), next: s.bigint }), ...s.errors },
    },
  }, async (request, reply) => {
    const { log, from = '1', to, limit } = request.query;
    const page = await readPage(database, limits, request.token.role, { log, from, to, limit });

    return s.sendText(reply, `{"events":[${page.lines.join(',')}],"next":"${BigInt(page.next)}"}`);
  });

  app.get('/v1/offset', {
    schema: {
      tags: ['event logs'], summary: 'The last offset, and that up to which nothing is still to come',
      querystring: s.query({ log: s.name }, ['log']),
      response: { 200: s.json({ last: s.nullable(s.bigint), stable: s.nullable(s.bigint) }), ...s.errors },
    },
  }, async (request) => {
    const [row] = await database.query(request.token.role, statements.offset, [request.query.log]);
    return row;
  });

  // ---- subscribe ----
  const pageLimits = { rows: Math.min(limits.rows, 1000), answer_bytes: Math.min(limits.answer_bytes, STREAM_BYTES) };
  const pages = new SharedPages((role, log, from) => readPage(database, pageLimits, role, { log, from }, 'stream_pool'));
  const open = new Set(); // what ends each subscription
  const ofToken = new Map();

  counters.subscribers = () => open.size;
  app.addHook('preClose', async () => {
    for (const stop of open) stop.abort();
  });

  app.get('/v1/subscribe', {
    schema: {
      tags: ['event logs'], summary: 'Events as they come, as server-sent events',
      description: 'Each has its offset as id and the event as data. It begins at "from"; with the header Last-Event-ID, behind that. ' +
        'If the connection ends, come again with it: nothing is missed and nothing comes twice. An event named "error" is the last one.',
      querystring: s.query({ log: s.name, from: s.bigint }, ['log']),
      headers: { type: 'object', properties: { 'last-event-id': s.bigint } },
      produces: ['text/event-stream'],
      response: s.errors,
    },
  }, async (request, reply) => {
    const { token } = request;
    const { log } = request.query;
    const from = startOf(request.headers['last-event-id'], request.query.from);
    const mine = ofToken.get(token.name) ?? 0;

    if (open.size >= limits.subscribers || mine >= limits.subscribers_per_token) {
      throw new GatewayError(503, '53400', 'there are too many subscribers', { retryAfter: 10 });
    }
    const stop = new AbortController();
    const end = () => {
      if (!open.delete(stop)) return;
      ofToken.set(token.name, ofToken.get(token.name) - 1);
      stop.abort();
    };
    open.add(stop);
    ofToken.set(token.name, mine + 1);
    reply.raw.on('close', end);
    try {
      const page = await pages.read(token.role, log, from, 'first'); // what is wrong with it is an ordinary answer
      const stream = Readable.from(events({
        page,
        read: (next, times) => pages.read(token.role, log, next, times),
        follow: (wake) => listeners.of(token.role).follow(log, wake),
        signal: stop.signal,
        heartbeatMs: config.subscribe.heartbeat_ms,
        drainMs: config.subscribe.drain_ms,
        onStuck: () => reply.raw.destroy(),
        requestId: request.id,
      }), { highWaterMark: 1 });
      reply.headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
      return reply.send(stream);
    } catch (error) {
      end();
      throw error;
    }
  });
}

// Where a subscription begins.
function startOf(lastEventId, from = '1') {
  if (lastEventId === undefined || lastEventId === '') return from;
  if (!/^\d{1,19}$/.test(lastEventId) || BigInt(lastEventId) >= LAST) {
    throw new GatewayError(400, '22023', 'Last-Event-ID is not the offset of an event');
  }
  return String(BigInt(lastEventId) + 1n);
}
