// Who wakes subscribers: one connection a role that listens to the logs that somebody follows.
// A notification is a hint and may be missed; so each log is asked for again every poll_ms, which
// wakes its subscribers, too, and takes up LISTEN again after a lost connection.  Where there
// is no LISTEN, on a standby, that is all there is.
import pg from 'pg';
import { statements } from './statements.js';

export class Listener {
  #connection;
  #pollMs;
  #log;
  #topics = new Map(); // name of a log -> { log, channel, wakes, times }
  #client;             // a promise of the connection
  #timer;

  constructor({ connection, pollMs, log }) {
    this.#connection = connection;
    this.#pollMs = pollMs;
    this.#log = log;
  }

  // wake() is called whenever there may be something new in the log.  Returns { times(), end() }:
  // how often that has been said of the log, to whomever, and what ends it.
  follow(log, wake) {
    let topic = this.#topics.get(log);

    if (!topic) {
      topic = { log, channel: undefined, wakes: new Set(), times: 0 };
      this.#topics.set(log, topic);
      this.#listen(topic);
    }
    topic.wakes.add(wake);
    this.#timer ??= setInterval(() => this.#poll(), this.#pollMs);
    return {
      times: () => topic.times,
      end: () => {
        topic.wakes.delete(wake);
        if (topic.wakes.size === 0) this.#drop(topic);
      },
    };
  }

  #poll() {
    for (const topic of this.#topics.values()) {
      this.#wake(topic);
      this.#listen(topic);
    }
  }

  #wake(topic) {
    topic.times++;
    for (const wake of topic.wakes) wake();
  }

  async #listen(topic) {
    try {
      const client = await this.#connected();
      const { rows } = await client.query({ ...statements.listen, values: [topic.log] });
      if (this.#topics.get(topic.log) !== topic) return this.#forget(topic.log, rows[0].channel);
      if (topic.channel !== rows[0].channel) {
        topic.channel = rows[0].channel;
        this.#wake(topic); // for what was appended until now
      }
    } catch (error) {
      topic.channel = undefined;
      this.#log.debug({ log: topic.log, err: error.message }, 'cannot listen');
    }
  }

  // One attempt at a time; after a failure the next poll makes another.
  #connected() {
    if (!this.#client) {
      const client = new pg.Client(this.#connection);
      const gone = () => {
        if (this.#client === promise) this.#client = undefined;
      };
      const promise = client.connect().then(() => client);
      this.#client = promise;
      promise.catch(gone);
      client.on('error', gone);
      client.on('end', gone);
      client.on('notification', ({ channel }) => {
        for (const topic of this.#topics.values()) {
          if (topic.channel === channel) this.#wake(topic);
        }
      });
    }
    return this.#client;
  }

  // Nobody follows the log any more, under this name.
  #drop(topic) {
    if (this.#topics.get(topic.log) === topic) this.#topics.delete(topic.log);
    if (this.#topics.size === 0) {
      this.end();
    } else if (topic.channel) {
      this.#forget(topic.log, topic.channel);
    }
  }

  // ... nor under another one.
  async #forget(log, channel) {
    if ([...this.#topics.values()].some((t) => t.channel === channel || t.log === log)) return;
    try {
      const client = await this.#client;
      await client?.query({ ...statements.unlisten, values: [log] });
    } catch (error) {
      this.#log.debug({ log, err: error.message }, 'cannot unlisten');
    }
  }

  async end() {
    const client = this.#client;

    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#client = undefined;
    await client?.then((c) => c.end()).catch(() => {});
  }
}
