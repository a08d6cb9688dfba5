// What goes into a request: the oldest pending changes, as many as fit.

import { setAside } from "./aside.js";
import { bytesOf } from "./json.js";
import { stateOf } from "./state.js";
import { unsendable } from "./values.js";

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Tx} Tx */

export class Outbox {
  #options;
  #limit;

  /** @param {any} options */
  constructor(options) {
    this.#options = options;
    this.#limit = options.maxDiffs;
  }

  /**
   * The first of the pending changes; all that a request without an answer had. What no server takes
   * is set aside. That they are on their way is written before they are: whoever goes on after a crash
   * must send no fewer.
   * @param {Tx} tx @param {Set<string>} models  gets those that have changed
   * @returns {Promise<{ before: State, asked: State, sent: Pending[] }>}
   */
  async take(tx, models) {
    const before = await stateOf(tx);
    let pending = await tx.first("pending", this.#limit);
    if (pending.length > 0 && pending[pending.length - 1].seq < before.unanswered) {
      pending = (await tx.all("pending")).filter(({ seq }) => seq <= before.unanswered);
    }
    /** @type {Pending[]} */
    const sent = [];
    const gone = new Set();
    let total = 0;
    for (const entry of pending) {
      if (gone.has(entry.seq)) continue;
      const bytes = bytesOf(JSON.stringify(entry.diff)) + 1;
      const why = unsendable(entry.diff, bytes, this.#options.maxChange);
      if (why) {
        for (const { seq } of await this.setAside(tx, entry, why, models)) gone.add(seq);
        continue;
      }
      total += bytes;
      if (total > this.#options.maxBytes && sent.length > 0 && entry.seq > before.unanswered) break;
      sent.push(entry);
    }
    const asked = { ...before, unanswered: Math.max(before.unanswered, sent.at(-1)?.seq ?? 0) };
    if (asked.unanswered > before.unanswered) await tx.put("meta", asked);
    return { before, asked, sent };
  }

  /**
   * @param {Tx} tx @param {Pending} entry @param {{ code: string, message: string }} why
   * @param {Set<string>} models
   */
  setAside(tx, entry, { code, message }, models) {
    models.add(entry.model);
    const why = { code, message, at: this.#options.now() };
    return setAside(tx, entry, why, this.#options.models[entry.model]);
  }

  /**
   * The request was too large: the next one is smaller. Where all of it was in a request without an
   * answer, what was lost was the same failure; else it has no fewer than that had.
   * @param {State} before @param {Pending[]} sent
   * @returns {State}  with what still has no answer
   */
  halve(before, sent) {
    const old = sent.filter(({ seq }) => seq <= before.unanswered).length;
    const half = Math.floor(sent.length / 2);
    this.#limit = old < sent.length ? Math.max(half, old) : half;
    return old < sent.length ? before : { ...before, unanswered: 0 };
  }

  /** What was too large is out of the way. */
  restore() {
    this.#limit = this.#options.maxDiffs;
  }
}
