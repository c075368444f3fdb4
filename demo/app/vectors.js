// Vectors, where the server has pgvector.
import { post, sql } from './api.js';
import { $, element, onSend } from './dom.js';

export async function start() {
  const [{ there }] = await sql("SELECT to_regclass('colours') IS NOT NULL AS there");

  if (there !== 't') return;
  $('vectors').hidden = false;
  onSend($('near'), $('near-answer'), async ({ vector }) => {
    const { found } = await post('v1/vector/search', { table: 'colours', vector: vector.split(',').map(Number), limit: 8 });
    $('found').replaceChildren(...found.map(({ id, distance, payload }) => {
      const swatch = element('span', { class: 'swatch' });
      swatch.style.background = payload.css;
      return element('li', { 'data-id': id }, swatch, ` ${payload.css}, ${distance.toFixed(3)} away`);
    }));
    return `${found.length} found`;
  });
}
