// What goes into a request: the oldest pending changes, as many as fit.

import { withDeletesHeld } from "./anew.js";
import { setAside } from "./aside.js";
import { bytesOf } from "./json.js";
import { isBehind, stateOf } from "./state.js";
import { unsendable } from "./values.js";

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Tx} Tx */

export class Outbox {
  #options;
  #pace;
  #limit;

  /** @param {any} options @param {import("./pace.js").Pace} pace */
  constructor(options, pace) {
    this.#options = options;
    this.#pace = pace;
    this.#limit = options.maxDiffs;
  }

  /**
   * The next request: one without an answer again, as it was; or nothing, while there is something to
   * fetch first; or the oldest of the pending changes. A device that begins anew sends all in one, if
   * possible. What no server takes is set aside. What is sent is written down before: whoever goes on
   * after a crash must send the same.
   * @param {Tx} tx @param {Set<string>} models  gets those that have changed
   * @returns {Promise<{ before: State, asked: State, sent: Pending[] }>}
   */
  async take(tx, models) {
    let before = await stateOf(tx);
    if (before.anew) before = await withDeletesHeld(tx, before);
    let pending = await tx.first("pending", this.#limit);
    if (pending.length > 0 && pending[pending.length - 1].seq < before.unanswered) {
      pending = (await tx.all("pending")).filter(({ seq }) => seq <= before.unanswered);
    }
    if (!before.anew) {
      const isAgain = pending.length > 0 && pending[0].seq <= before.unanswered;
      if (isAgain) pending = pending.filter(({ seq }) => seq <= before.unanswered);
      else if (isBehind(before, this.#options.now())) pending = [];
    }
    /** @type {Pending[]} */
    const sent = [];
    const gone = new Set();
    const most = before.anew ? this.#options.maxBytes : this.#pace.bytes;
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
      if (total > most && sent.length > 0 && entry.seq > before.unanswered) break;
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
