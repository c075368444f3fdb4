// Keys and values, and their past.
import { ApiError, get, post, sql } from './api.js';
import { $, element, onSend, rows } from './dom.js';

const KV = 'prices';
const valueOf = async (key, asOf) => {
  try {
    return (await get(`v1/get_fast/${encodeURIComponent(key)}?kv=${KV}${asOf === undefined ? '' : `&as_of=${asOf}`}`)).value;
  } catch (error) {
    if (error instanceof ApiError && error.sqlstate === '02000') return '–';
    throw error;
  }
};

let watched = []; // the keys whose past is shown

async function refreshPast() {
  const { last } = await get(`v1/offset?log=${KV}_history`);
  const slider = $('past');
  const atEnd = slider.value === slider.max;

  slider.max = last ?? '0';
  if (atEnd) slider.value = slider.max;
  await showPast();
}

let showing = 0;
async function showPast() {
  const mine = ++showing;
  const at = $('past').value;

  $('past-at').value = at;
  const [then, now] = await Promise.all([Promise.all(watched.map((key) => valueOf(key, at))), Promise.all(watched.map((key) => valueOf(key)))]);
  if (mine !== showing) return; // the slider has moved on
  rows($('past-values'), watched.map((key, i) => [key, element('td', then[i] === now[i] ? {} : { class: 'changed' }, then[i]), now[i]]));
}

export async function start() {
  onSend($('put'), $('value-answer'), async ({ key, value }) => {
    const { offset } = await post('v1/put', { kv: KV, key, value });
    if (!watched.includes(key)) watched = [key, ...watched].slice(0, 6);
    await refreshPast();
    return `key ${key} set, as change ${offset}`;
  });
  onSend($('get'), $('value-answer'), async ({ key }) => {
    const began = performance.now();
    const value = await valueOf(key);
    return `key ${key}: ${value} (${(performance.now() - began).toFixed(1)} ms with the network)`;
  });
  const scan = async ({ from, to }) => {
    const { values } = await get(`v1/scan?kv=${KV}&from=${encodeURIComponent(from)}&to=${encodeURIComponent(to)}&limit=50`);
    rows($('scanned'), values.map((v) => [v.key, v.value, v.offset]));
    return `${values.length} keys`;
  };
  onSend($('scan'), $('value-answer'), scan);
  let timer;
  $('past').addEventListener('input', () => {
    $('past-at').value = $('past').value;
    clearTimeout(timer);
    timer = setTimeout(showPast, 60);
  });

  await scan({ from: '1000', to: '1100' });
  watched = (await sql(`SELECT key FROM ${KV} ORDER BY key LIMIT 4`)).map((r) => r.key);
  await refreshPast();
}
