// Which pending changes go into a request.

import { withDeletesHeld } from "./anew.js";
import { setAside } from "./aside.js";
import { bytesOf } from "./json.js";
import { isBehind, stateOf } from "./state.js";
import { unsendable } from "./values.js";

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Tx} Tx */

/** So many diffs every server accepts in a request. */
const MOST_DIFFS = 10_000;

export class Outbox {
  #options;
  #pace;
  /** The most diffs in a request, and about the most bytes of several diffs, after one that was too large. */
  #limit = Infinity;
  #bytes = Infinity;

  /** @param {any} options @param {import("./pace.js").Pace} pace */
  constructor(options, pace) {
    this.#options = options;
    this.#pace = pace;
  }

  /**
   * Selects the changes of the next request. A request that had no answer is repeated as it was. While
   * there is something to fetch first, it is empty. Otherwise it has the oldest pending changes. A device
   * that begins anew sends all of them together, if a server accepts that. Changes that no server accepts are set aside.
   * What is about to be sent is stored first: after a crash, the same must be sent again.
   * @param {Tx} tx @param {Set<string>} models  gets those that have changed
   * @returns {Promise<{ before: State, asked: State, sent: Pending[], isAll: boolean }>}  whether the answer is
   *   applied. A device that begins anew sends all changes with the clock 0 before it applies an answer
   */
  async take(tx, models) {
    let before = await stateOf(tx);
    if (before.anew) before = await withDeletesHeld(tx, before);
    const { maxDiffs, maxChange } = this.#options;
    const limit = Math.min(this.#limit, before.anew ? MOST_DIFFS : maxDiffs);
    let pending = await tx.first("pending", limit);
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
    const most = Math.min(this.#bytes, before.anew ? maxChange : this.#pace.bytes);
    let total = 0;
    for (const entry of pending) {
      if (gone.has(entry.seq)) continue;
      const bytes = sizeOf(entry);
      const why = unsendable(asSent(entry), bytes, maxChange);
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
    return { before, asked, sent, isAll: !before.anew || (await tx.count("pending")) === sent.length };
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
   * After a request that was too large: the next one has half the diffs and half the bytes, but all changes of
   * an earlier request without an answer. If all changes were in that one, its lost answer was the same failure.
   * @param {State} before @param {Pending[]} sent
   * @returns {State}  with the changes that still have no answer
   */
  halve(before, sent) {
    const old = sent.filter(({ seq }) => seq <= before.unanswered).length;
    const half = Math.floor(sent.length / 2);
    this.#limit = old < sent.length ? Math.max(half, old) : half;
    this.#bytes = Math.floor(sent.reduce((total, entry) => total + sizeOf(entry), 0) / 2);
    return old < sent.length ? before : { ...before, unanswered: 0 };
  }

  /** The change that was too large has been set aside. */
  restore() {
    this.#limit = this.#bytes = Infinity;
  }
}

/** The diff as it is in a request. @param {Pending} entry */
export const asSent = ({ diff, sent = diff }) => sent;

/** Bytes of the diff in a request, with a comma. @param {Pending} entry */
const sizeOf = (entry) => bytesOf(JSON.stringify(asSent(entry))) + 1;
