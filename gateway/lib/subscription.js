// One subscriber: an endless stream of server-sent events, made by a generator.  It goes on only
// when the client has taken what there was, so a slow client makes nobody remember anything: its
// events stay in the log until it wants them.
import { isPassing, asAnswer, errorBody } from './errors.js';

const HEARTBEAT = ':\n\n';
const RETRY_FIRST_MS = 100;
const RETRY_LAST_MS = 3000;

// An alarm that rings when wake() has been called since it was last waited for, or after ms, or
// when the signal is aborted.
class Alarm {
  #rung = false;
  #ring = () => { this.#rung = true; };

  constructor(signal) {
    this.wake = () => this.#ring();
    signal.addEventListener('abort', this.wake, { once: true });
  }

  // Whether it was rung, and not only late.
  async wait(ms) {
    if (!this.#rung) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.#ring = () => { this.#rung = true; clearTimeout(timer); resolve(); };
      });
      const rung = this.#rung;
      this.#ring = () => { this.#rung = true; };
      this.#rung = false;
      return rung;
    }
    this.#rung = false;
    return true;
  }
}

const frames = ({ ids, lines }) => lines.map((line, i) => `id: ${ids[i]}\ndata: ${line}\n\n`).join('');

const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(done, ms);
  function done() { clearTimeout(timer); signal.removeEventListener('abort', done); resolve(); }
  signal.addEventListener('abort', done, { once: true });
});

// page: the first page, already read.  read(next, times): another.  follow(wake): see Listener.
// A database that is away is waited for; any other error ends the stream with an event that says so.
export async function* events({ page, read, follow, signal, heartbeatMs, onStuck, drainMs, requestId }) {
  const alarm = new Alarm(signal);
  const following = follow(alarm.wake);
  let retryMs = RETRY_FIRST_MS;

  // what is yielded waits for the client
  const patience = () => setTimeout(onStuck, drainMs);
  try {
    let timer = patience();
    yield `retry: 1000\n\n${HEARTBEAT}`;
    clearTimeout(timer);
    while (!signal.aborted) {
      if (page.lines.length > 0) {
        timer = patience();
        try {
          yield frames(page);
        } finally {
          clearTimeout(timer);
        }
      } else if (!await alarm.wait(heartbeatMs)) {
        yield HEARTBEAT;
        continue;
      }
      if (signal.aborted) break;
      try {
        page = await read(page.next, following.times());
        retryMs = RETRY_FIRST_MS;
      } catch (error) {
        if (!isPassing(error)) {
          yield `event: error\ndata: ${JSON.stringify(errorBody(asAnswer(error), requestId))}\n\n`;
          return;
        }
        page = { lines: [], ids: [], next: page.next };
        await pause(retryMs, signal);
        retryMs = Math.min(2 * retryMs, RETRY_LAST_MS);
        alarm.wake();
      }
    }
  } finally {
    following.end();
  }
}
