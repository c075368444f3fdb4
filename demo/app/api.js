// The gateway, as the page uses it.  The token is kept in memory only.
let token = '';

export class ApiError extends Error {
  constructor(error) {
    super(error.message + (error.hint ? ` (${error.hint})` : ''));
    this.sqlstate = error.sqlstate;
  }
}

export const setToken = (t) => { token = t; };

async function send(method, path, body, headers = {}, signal = undefined) {
  const response = await fetch(`../${path}`, {
    method, signal,
    headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
    body,
  });
  if (!response.ok) throw new ApiError((await response.json()).error);
  return response;
}

export const get = async (path) => (await send('GET', path)).json();
export const post = async (path, body) => (await send('POST', path, typeof body === 'string' ? body : JSON.stringify(body))).json();

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// The rows of a query, as objects of text.  One after the other: the gateway runs few at once, and
// refuses what is too much, of other pages.
let before = Promise.resolve();
export function sql(text, params = []) {
  const mine = before.then(() => query(text, params, 50));
  before = mine.catch(() => {});
  return mine;
}

async function query(text, params, tries) {
  try {
    const { columns, rows } = await post('v1/sql', { sql: text, params });
    return rows.map((row) => Object.fromEntries(row.map((value, i) => [columns[i].name, value])));
  } catch (error) {
    if (error.sqlstate !== '53300' || tries === 0) throw error;
    await pause(300);
    return query(text, params, tries - 1);
  }
}

// Calls onEvent for each event of a log, for ever: when the connection ends it comes again, behind
// the last event.  EventSource would do so by itself, but cannot send a token.
export async function subscribe(log, { from, onEvent, onState }) {
  let lastId;

  for (;;) {
    try {
      const response = await send('GET', `v1/subscribe?log=${encodeURIComponent(log)}${from ? `&from=${from}` : ''}`, undefined, lastId ? { 'last-event-id': lastId } : {});
      onState('live');
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        const frames = text.split('\n\n');
        text = frames.pop();
        for (const frame of frames) {
          const field = (name) => new RegExp(`^${name}: ?(.*)$`, 'm').exec(frame)?.[1];
          if (field('event') === 'error') throw new ApiError(JSON.parse(field('data')).error);
          if (field('data') !== undefined) {
            lastId = field('id');
            onEvent(JSON.parse(field('data')));
          }
        }
      }
    } catch (error) {
      // what will not be better next time
      if (error instanceof ApiError && !/^(08|53|57)/.test(error.sqlstate)) {
        onState(error.message);
        return;
      }
    }
    onState('connecting again');
    await pause(500);
  }
}
