// The model of an index, drawn from what kyro.trace says of keys all over it.
import { sql } from './api.js';
import { $, bytes, onSend, rows } from './dom.js';

const [WIDTH, HEIGHT, MARGIN] = [800, 360, 30];
const SAMPLES = 120;
let drawn; // { index, low, high, top }: what is on the picture

// Indexes of kyro_rmi beside a btree on the same column.  Names come quoted by the server.
const INDEXES = `
  SELECT i.indexrelid::regclass AS index, i.indrelid::regclass AS "table", quote_ident(a.attname) AS "column",
         pg_relation_size(i.indexrelid) AS size, pg_relation_size(b.indexrelid) AS btree_size
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_am m ON m.oid = c.relam AND m.amname = 'kyro_rmi'
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
  LEFT JOIN LATERAL (
    SELECT x.indexrelid FROM pg_index x JOIN pg_class xc ON xc.oid = x.indexrelid JOIN pg_am xm ON xm.oid = xc.relam AND xm.amname = 'btree'
    WHERE x.indrelid = i.indrelid AND x.indkey::text = i.indkey::text LIMIT 1) AS b ON true
  WHERE c.relkind = 'i' AND i.indisvalid AND a.atttypid IN ('bigint'::regtype, 'integer'::regtype, 'smallint'::regtype) AND has_table_privilege(i.indrelid, 'SELECT')
  ORDER BY b.indexrelid IS NULL, pg_relation_size(i.indexrelid) DESC LIMIT 20`;

const svg = (name, attributes, text) => {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  if (text) e.textContent = text;
  return e;
};

const TRACE = `SELECT k AS key, t.* FROM unnest($2::bigint[]) AS k, LATERAL kyro.trace($1::regclass, k::text) AS t`;
const trace = async (index, keys) => sql(TRACE, [index, `{${keys.join(',')}}`]);

async function draw({ index, table, column }) {
  const [{ low, high }] = await sql(`SELECT min(${column}) AS low, max(${column}) AS high FROM ${table}`);
  const picture = $('model');

  picture.querySelectorAll(':scope > :not(title):not(desc)').forEach((e) => e.remove());
  drawn = undefined;
  if (low === null) throw new Error(`${table} is empty`);
  const [from, to] = [BigInt(low), BigInt(high)];
  const points = await trace(index, Array.from({ length: SAMPLES + 1 }, (_, i) => from + ((to - from) * BigInt(i)) / BigInt(SAMPLES)));
  const top = Math.max(1, ...points.map((p) => Math.max(Number(p.window_high), Number(p.true_position))));
  drawn = { index, low: Number(low), high: Number(high), top };

  const at = (key, position) => `${x(key).toFixed(1)},${y(position).toFixed(1)}`;
  picture.append(
    svg('polygon', { class: 'band', points: [...points.map((p) => at(p.key, p.window_high)), ...[...points].reverse().map((p) => at(p.key, p.window_low))].join(' ') }),
    svg('polyline', { class: 'line', points: points.map((p) => at(p.key, p.predicted_position)).join(' ') }),
    ...points.map((p) => svg('circle', { class: 'dot', r: 2.5, cx: x(p.key), cy: y(p.true_position) })),
    svg('text', { x: MARGIN, y: HEIGHT - 7 }, `key ${low}`),
    svg('text', { x: WIDTH - MARGIN, y: HEIGHT - 7, 'text-anchor': 'end' }, `key ${high}`),
    svg('text', { x: MARGIN, y: 25 }, `leaf ${top}`),
  );
  $('model-desc').textContent = `Keys ${low} to ${high}; ${top + 1} leaves; at ${points.length} keys the model is off by at most ${Math.max(...points.map((p) => Math.abs(p.predicted_position - p.true_position)))} leaves.`;
  const [{ key }] = await sql(`SELECT ${column} AS key FROM ${table} WHERE ${column} >= $1::bigint ORDER BY ${column} LIMIT 1`, [String(from + (to - from) / 3n)]);
  $('trace').elements.key.value = key;
}

const x = (key) => MARGIN + ((Number(key) - drawn.low) / Math.max(1, drawn.high - drawn.low)) * (WIDTH - 2 * MARGIN);
const y = (position) => HEIGHT - MARGIN - (Number(position) / drawn.top) * (HEIGHT - 2 * MARGIN);

async function lookUp(key) {
  const [t] = await trace(drawn.index, [key]);
  const picture = $('model');

  picture.querySelectorAll('.sought, .window').forEach((e) => e.remove());
  const across = Math.min(Math.max(x(key), MARGIN), WIDTH - MARGIN);
  picture.append(
    svg('line', { class: 'sought', x1: across, x2: across, y1: HEIGHT - MARGIN, y2: y(t.predicted_position) }),
    svg('line', { class: 'sought', x1: across, x2: MARGIN, y1: y(t.true_position), y2: y(t.true_position) }),
    svg('line', { class: 'window', x1: across, x2: across, y1: y(t.window_low), y2: y(t.window_high) }),
  );
  return `The model says leaf ${t.predicted_position}, at most ${t.window_low} to ${t.window_high}; it is leaf ${t.true_position}, block ${t.block}` +
    `${t.probes === null ? '' : `, where ${t.probes} entries were compared`}: ${t.matches} found.`;
}

export async function start() {
  const indexes = await sql(INDEXES);
  const select = $('indexes');
  const show = () => draw(indexes.find((i) => i.index === select.value));

  rows($('sizes'), indexes.filter((i) => i.btree_size !== null).map((i) => [`${i.table} (${i.column})`, bytes(Number(i.size)), bytes(Number(i.btree_size)), (i.btree_size / i.size).toFixed(1)]));
  select.append(...indexes.map((i) => new Option(i.index, i.index)));
  onSend($('trace'), $('trace-answer'), async ({ index, key }) => {
    if (drawn?.index !== index) await show();
    return lookUp(BigInt(key));
  });
  select.addEventListener('change', async () => {
    try {
      await show();
      $('trace-answer').textContent = await lookUp(BigInt($('trace').elements.key.value));
    } catch (error) {
      $('trace-answer').textContent = error.message;
    }
  });
  if (indexes.length > 0) {
    await show();
    $('trace-answer').textContent = await lookUp(BigInt($('trace').elements.key.value));
  }
}
