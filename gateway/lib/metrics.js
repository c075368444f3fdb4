// Metrics in Prometheus' text format.  Those of the database are the queries of
// monitoring/queries.yaml, as prometheus-postgres-exporter would ask them: the same names, labels
// and values.  The rest is what the gateway counts of itself.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const escape = (value) => String(value).replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/"/g, '\\"');
const labels = (pairs) => {
  const list = Object.entries(pairs).map(([name, value]) => `${name}="${escape(value ?? '')}"`);
  return list.length > 0 ? `{${list.join(',')}}` : '';
};
const sample = (name, pairs, value) => `${name}${labels(pairs)} ${value}\n`;
const head = (name, type, help) => `# HELP ${name} ${help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')}\n# TYPE ${name} ${type}\n`;

// The queries of the file: [{ name, statement, columns: [{ name, usage, description }], cacheMs }].
export function readQueries(file) {
  return Object.entries(parse(readFileSync(file, 'utf8'))).map(([name, q]) => ({
    name,
    statement: { name: `metrics ${name}`, text: q.query },
    columns: q.metrics.map((m) => { const [column, { usage, description }] = Object.entries(m)[0]; return { name: column, usage, description }; }),
    cacheMs: (q.cache_seconds ?? 0) * 1000,
    asked: -Infinity,
    answer: undefined,
  }));
}

const listOf = (array) => (array === '{}' ? [] : array.slice(1, -1).split(','));

// A histogram's columns are its name, which has the bounds, and _bucket, _sum and _count.
function histogram(name, column, row, pairs) {
  const counts = listOf(row[`${column}_bucket`]);
  let text = '';

  listOf(row[column]).forEach((le, i) => { text += sample(`${name}_bucket`, { ...pairs, le }, counts[i]); });
  return text + sample(`${name}_bucket`, { ...pairs, le: '+Inf' }, row[`${column}_count`]) +
    sample(`${name}_sum`, pairs, row[`${column}_sum`]) + sample(`${name}_count`, pairs, row[`${column}_count`]);
}

function render(query, rows) {
  const labelled = query.columns.filter((c) => c.usage === 'LABEL').map((c) => c.name);
  let text = '';

  for (const { name: column, usage, description } of query.columns) {
    if (usage === 'LABEL' || usage === 'DISCARD') continue;
    const name = `${query.name}_${column}`;
    const type = usage.toLowerCase();
    let samples = '';
    for (const row of rows) {
      const pairs = Object.fromEntries(labelled.map((l) => [l, row[l]]));
      if (usage === 'HISTOGRAM') samples += row[column] === null ? '' : histogram(name, column, row, pairs);
      else if (row[column] !== null) samples += sample(name, pairs, row[column] === 't' ? 1 : row[column] === 'f' ? 0 : row[column]);
    }
    if (samples) text += head(name, type, description) + samples;
  }
  return text;
}

// One after the other: there is no hurry, and the connections are for others, too.
export async function renderQueries(queries, database, role) {
  let text = '';

  for (const query of queries) {
    if (!query.answer || Date.now() - query.asked > query.cacheMs) {
      query.asked = Date.now();
      query.answer = database.query(role, query.statement, []).then((rows) => render(query, rows));
      query.answer.catch(() => { query.answer = undefined; });
    }
    text += await query.answer;
  }
  return text;
}

// What the gateway counts: requests by route and status, and how long they took.
export class Counters {
  requests = new Map();
  durations = new Map();
  refused = 0;
  subscribers = () => 0;

  count(method, route, status, seconds) {
    const key = JSON.stringify({ method, route, status });
    const times = this.durations.get(route) ?? { buckets: BUCKETS.map(() => 0), sum: 0, count: 0 };

    this.requests.set(key, (this.requests.get(key) ?? 0) + 1);
    BUCKETS.forEach((le, i) => { if (seconds <= le) times.buckets[i]++; });
    times.sum += seconds;
    times.count++;
    this.durations.set(route, times);
  }
}

export function renderOwn({ counters, pools }) {
  const prefix = 'kyrodb_gateway';
  let text = head(`${prefix}_requests_total`, 'counter', 'Requests answered');

  for (const [key, n] of counters.requests) text += sample(`${prefix}_requests_total`, JSON.parse(key), n);
  text += head(`${prefix}_request_duration_seconds`, 'histogram', 'Time from a request to the end of its answer');
  for (const [route, { buckets, sum, count }] of counters.durations) {
    BUCKETS.forEach((le, i) => { text += sample(`${prefix}_request_duration_seconds_bucket`, { route, le }, buckets[i]); });
    text += sample(`${prefix}_request_duration_seconds_bucket`, { route, le: '+Inf' }, count) +
      sample(`${prefix}_request_duration_seconds_sum`, { route }, sum) + sample(`${prefix}_request_duration_seconds_count`, { route }, count);
  }
  text += head(`${prefix}_rate_limited_total`, 'counter', 'Requests refused because there were too many') + sample(`${prefix}_rate_limited_total`, {}, counters.refused);
  text += head(`${prefix}_subscribers`, 'gauge', 'Subscriptions that are open') + sample(`${prefix}_subscribers`, {}, counters.subscribers());
  for (const [what, help] of [['total', 'Connections to the database'], ['idle', 'Connections that nobody uses'], ['waiting', 'Requests that wait for a connection']]) {
    text += head(`${prefix}_connections_${what}`, 'gauge', help);
    for (const pool of pools) text += sample(`${prefix}_connections_${what}`, { pool: pool.kind, role: pool.role }, pool[what]);
  }
  return text;
}
