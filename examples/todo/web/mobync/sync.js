// One sync: requests and their answers, until nothing is left to send.

import { keepRefused } from "./aside.js";
import { interpret, misfit } from "./answer.js";
import { Changes } from "./changes.js";
import { fold } from "./diffs.js";
import { UNREACHED } from "./errors.js";
import { Outbox } from "./outbox.js";
import { settle } from "./settling.js";
import { baseOf, dropBase, keepBase, stateOf } from "./state.js";
import { markOf } from "./tokens.js";
import { post } from "./transport.js";
import { Patience } from "./waiting.js";

/** @typedef {import("./answer.js").Answer} Answer */
/** @typedef {import("./answer.js").Failure} Failure */
/** @typedef {import("./types.js").Diff} Diff */
/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Tx} Tx */

/** Of the usual time without a byte. */
const MOST_PATIENT = 8;

export class Sync {
  #options;
  #store;
  #closing;
  #told;
  #outbox;
  /** @type {Patience | undefined} */
  #flight;
  /** How many times as patient as usual it is: a server may need long before its first byte. */
  #patience = 1;

  /**
   * @param {any} options @param {import("./types.js").Store} store @param {AbortSignal} closing
   * @param {{ traffic: (detail: any) => void, changed: (models: Set<string>, isSaved: boolean) => Promise<void> }} told
   */
  constructor(options, store, closing, told) {
    this.#options = options;
    this.#store = store;
    this.#closing = closing;
    this.#told = told;
    this.#outbox = new Outbox(options);
  }

  /**
   * Syncs, with nobody else doing so.
   * @param {string | null} token
   * @returns {Promise<Failure | null>}
   */
  async run(token) {
    /** @type {Failure | "again" | null} */
    let outcome = await this.#identify(token);
    if (outcome) return outcome;
    do {
      outcome = await this.#exchange(token);
    } while (outcome === "again" && !this.#closing.aborted);
    return outcome === "again" ? null : outcome;
  }

  /**
   * Before the first change is sent with another token than before: whether that is the same owner's.
   * What the device's last tick brought says so; nothing of it is applied.
   * @param {string | null} token
   * @returns {Promise<Failure | null>}
   */
  async #identify(token) {
    const [state, pending] = await this.#store.read(async (tx) => [await stateOf(tx), await tx.count("pending")]);
    const { clock, owner } = state;
    const isKnown = owner === null || clock === 0 || state.token === markOf(token);
    if (isKnown || pending === 0) return null;
    const answer = await this.#ask(clock - 1, [], token);
    const problem = answer.success ? misfit(answer, state, []) : answer;
    if (problem) return problem;
    await this.#write(async (tx) => tx.put("meta", { ...(await stateOf(tx)), token: markOf(token) }));
    return null;
  }

  /** @param {number} clock @param {Diff[]} diffs @param {string | null} token */
  async #ask(clock, diffs, token) {
    const body = JSON.stringify({ logical_clock: clock, diffs });
    this.#flight = new Patience(Infinity, this.#closing);
    const { timeout, monotonic } = this.#options;
    const begun = monotonic();
    const patient = { ...this.#options, timeout: timeout * this.#patience };
    const heard = await post(patient, body, token, this.#flight.signal);
    this.#flight.end();
    if (heard) this.#patience = 1;
    else if (monotonic() - begun >= timeout) this.#patience = Math.min(this.#patience * 2, MOST_PATIENT);
    return interpret(heard, this.#options);
  }

  /** The network is another one: on the old one no answer will come. */
  giveUp() {
    this.#flight?.lose();
  }

  /** @param {string | null} token @returns {Promise<Failure | "again" | null>} */
  async #exchange(token) {
    const { before, asked, sent } = await this.#write((tx, models) => this.#outbox.take(tx, models));
    const diffs = sent.map(({ diff }) => diff);
    this.#told.traffic({ direction: "up", clock: asked.clock, diffs });
    const answer = await this.#ask(asked.clock, diffs, token);
    const problem = answer.success ? misfit(answer, asked, diffs) : answer;
    if (!problem) {
      const { logical_clock: clock, diffs, refused } = /** @type {Answer} */ (answer);
      this.#told.traffic({ direction: "down", clock, diffs, refused });
      return (await this.#apply(asked, sent, /** @type {Answer} */ (answer), token)) ? "again" : null;
    }
    this.#told.traffic({ direction: "down", clock: asked.clock, diffs: [], problem });
    // Of a server that failed nobody knows how far it had come. Any other failure of its own is an
    // answer, too: nothing of this request was done.
    if (!problem.status || problem.status >= 500) return problem;
    return this.#rejected(problem, before, asked, sent);
  }

  /**
   * @param {Failure} problem @param {State} before @param {State} asked @param {Pending[]} sent
   * @returns {Promise<Failure | "again">}
   */
  async #rejected(problem, before, asked, sent) {
    const isTooLarge = problem.code === "payload_too_large" && sent.length > 0;
    const isAlone = isTooLarge && sent.length === 1;
    const blamed = isAlone ? sent[0] : sent.find(({ diff }) => diff.id === problem.diffId);
    const isUnsendable = isAlone || (problem.code === "invalid_diff" && blamed !== undefined);
    const now = isTooLarge && !isAlone ? this.#outbox.halve(before, sent) : before;
    await this.#write(async (tx, models) => {
      const state = await stateOf(tx);
      if (state.clock !== asked.clock || state.unanswered !== asked.unanswered) return; // another tab was here
      const failures = UNREACHED.has(problem.code) ? state.failures : 0;
      await tx.put("meta", { ...state, unanswered: now.unanswered, failures });
      if (blamed && isUnsendable) await this.#outbox.setAside(tx, blamed, problem, models);
    });
    if (isAlone) this.#outbox.restore();
    return isTooLarge || isUnsendable ? "again" : problem;
  }

  /**
   * Applies an answer in one transaction.
   * @param {State} asked @param {Pending[]} sent @param {Answer} answer @param {string | null} token
   * @returns {Promise<boolean>}  whether there is more to send
   */
  async #apply(asked, sent, answer, token) {
    let isTaken = false;
    const more = await this.#write(async (tx, models) => {
      const state = await stateOf(tx);
      // Another tab was quicker, or has sent what this answer knows nothing of.
      isTaken = state.clock === asked.clock && state.unanswered === asked.unanswered;
      if (!isTaken) return true;

      const at = this.#options.now();
      const refusedIds = new Set(answer.refused.map(({ diff_id }) => diff_id));
      for (const { diff_id, code, message } of answer.refused) {
        const entry = sent.find(({ diff }) => diff.id === diff_id);
        if (entry) await keepRefused(tx, entry, { code, message, at });
      }
      for (const { seq, model } of sent) {
        models.add(model);
        await tx.delete("pending", seq);
      }
      for (const entry of sent.filter(({ diff }) => !refusedIds.has(diff.id)))
        await this.#advance(tx, entry.diff, entry.id);
      for (const diff of answer.diffs) {
        models.add(diff.model);
        await this.#applyDiff(tx, diff);
      }
      for (const { model, id } of sent) {
        if ((await tx.all("pending", model, id)).length === 0) await dropBase(tx, model, id);
      }
      const owner = state.owner ?? answer.diffs[0]?.owner ?? null;
      const { logical_clock: clock } = answer;
      const known = { clock, owner, syncedAt: at, token: markOf(token) };
      await tx.put("meta", { ...state, ...known, deleted: [], failures: 0 });
      const changes = new Changes(tx, this.#options, models);
      for (const [model, id] of state.deleted) {
        if (await tx.get("objects", [model, id])) await changes.delete(model, id);
      }
      return (await tx.count("pending")) > 0;
    }, true);
    return more;
  }

  /** @param {Tx} tx @param {Diff} diff */
  async #applyDiff(tx, diff) {
    const { model } = diff;
    const { id } = JSON.parse(diff.json_data);
    /** @type {Pending[]} */
    const left = await tx.all("pending", model, id);
    const before = (await tx.get("objects", [model, id]))?.row;
    const after = settle(before, left, diff, this.#options.models[model]);
    if (after.row) await tx.put("objects", { model, id, row: after.row });
    else await tx.delete("objects", [model, id]);
    if (left.length > 0) await this.#advance(tx, diff, id);
    const kept = new Map(after.left.map((entry) => [entry.seq, entry]));
    for (const entry of left) {
      const now = kept.get(entry.seq);
      if (!now) await tx.delete("pending", entry.seq);
      else if (now !== entry) await tx.put("pending", now);
    }
    if (left.length > 0 && after.left.length === 0) await dropBase(tx, model, id);
  }

  /**
   * The object's base, if it has one, becomes what the server has.
   * @param {Tx} tx @param {Diff} diff @param {string} id
   */
  async #advance(tx, diff, id) {
    const base = await baseOf(tx, diff.model, id);
    if (base) await keepBase(tx, diff.model, id, fold(base.row, [diff], this.#options.models[diff.model]));
  }

  /**
   * @template T
   * @param {(tx: Tx, models: Set<string>) => Promise<T>} work @param {boolean} [isSaved]
   * @returns {Promise<T>}
   */
  async #write(work, isSaved = false) {
    /** @type {Set<string>} */
    const models = new Set();
    const result = await this.#store.write(async (tx) => {
      models.clear();
      return work(tx, models);
    });
    if (models.size > 0 || isSaved) await this.#told.changed(models, isSaved);
    return result;
  }
}
