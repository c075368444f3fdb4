// The event log: append, and what comes.
import { get, post, subscribe } from './api.js';
import { $, element, onSend } from './dom.js';

const LOG = 'orders';
const SHOWN = 200;

export async function start() {
  onSend($('append'), $('append-answer'), async ({ kind, key, payload }) => {
    JSON.parse(payload); // says what is wrong with it
    const body = `{"log":${JSON.stringify(LOG)},"kind":${JSON.stringify(kind)},"key":${JSON.stringify(key || null)},"request_id":${JSON.stringify(crypto.randomUUID?.() ?? null)},"payload":${payload}}`;
    return `appended as offset ${(await post('v1/append', body)).offset}`;
  });

  // the last few, then all that come
  const { last } = await get(`v1/offset?log=${LOG}`);
  const from = last && BigInt(last) > 20n ? String(BigInt(last) - 20n) : undefined;
  subscribe(LOG, {
    from,
    onState: (state) => { $('following').textContent = state === 'live' ? 'Live: events come as they are committed, in order, each once.' : state; },
    onEvent: ({ offset, kind, key, payload }) => {
      $('events').prepend(element('li', { 'data-offset': offset }, `${offset}  ${kind ?? ''} ${key ?? ''} ${JSON.stringify(payload)}`));
      while ($('events').childElementCount > SHOWN) $('events').lastChild.remove();
    },
  });
}
