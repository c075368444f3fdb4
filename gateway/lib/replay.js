// Reading a log in order, page by page.
import { statements } from './statements.js';

export const LAST = 2n ** 63n - 1n;

// A page of events: { lines, next }, where next is the offset to go on from.
export async function readPage(database, limits, role, { log, from, to, limit }, kind) {
  const rows = await database.query(role, statements.replay, [log, from, to, limit, limits.rows, limits.answer_bytes], kind);
  const last = rows.at(-1)?.id;

  return { lines: rows.map((r) => r.line), ids: rows.map((r) => r.id), next: last === undefined ? from : String(BigInt(last) + 1n) };
}

// Subscribers of one log who stand at the same place get the same page: one query, not one for
// each.  times is how often the log's subscribers have been woken: who was woken must not be
// given a page that was asked for before.
export class SharedPages {
  #reading = new Map();
  #read;

  constructor(read) {
    this.#read = read;
  }

  read(role, log, from, times) {
    const key = JSON.stringify([role, log, from, times]);
    let page = this.#reading.get(key);

    if (!page) {
      page = this.#read(role, log, from).finally(() => this.#reading.delete(key));
      this.#reading.set(key, page);
    }
    return page;
  }
}
