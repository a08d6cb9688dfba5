// One sync at a time, and at most one more that is queued.

import { stateOf } from "./state.js";

/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Status} Status */

/** @typedef {(state: State, pending: number) => boolean | Promise<boolean>} Need  Whether a sync is still needed. */

export class Turns {
  #syncing;
  #store;
  #carrier;
  #session;
  /** @type {{ needs: Need[], result: Promise<Status> } | null} */
  #queued = null;
  /** @type {Set<Promise<any>>} */
  #running = new Set();

  /**
   * @param {import("./syncing.js").Syncing} syncing @param {import("./types.js").Store} store
   * @param {import("./carrier.js").Carrier} carrier @param {(needs: Need[]) => Promise<void>} session
   */
  constructor(syncing, store, carrier, session) {
    this.#syncing = syncing;
    this.#store = store;
    this.#carrier = carrier;
    this.#session = session;
  }

  /** Syncs when it is its turn, if it is needed then. @param {Need} need */
  take(need) {
    if (this.#queued) {
      this.#queued.needs.push(need);
      return this.#queued.result;
    }
    const { space } = this.#syncing;
    if (this.#running.size === 0) this.#carrier.expect(space);
    const needs = [need];
    const result = this.#session(needs)
      .catch(() => {}) // it was closed before its turn
      .then(() => this.#syncing.status);
    this.#queued = { needs, result };
    this.#running.add(result);
    void result.then(() => {
      this.#running.delete(result);
      if (this.#running.size === 0) this.#carrier.done(space);
    });
    return result;
  }

  /** @param {Need[]} needs */
  async isNeeded(needs) {
    const [state, pending] = await this.#store.read(async (tx) => [await stateOf(tx), await tx.count("pending")]);
    let isNeeded = false;
    for (const need of this.#syncing.isJoined ? needs : []) isNeeded ||= await need(state, pending);
    if (!isNeeded) this.begun(needs);
    return isNeeded;
  }

  /** From now on, requests for a sync queue another one. @param {Need[]} needs */
  begun(needs) {
    if (this.#queued?.needs === needs) this.#queued = null;
  }

  /** When what is under way has ended. */
  async ended() {
    await Promise.allSettled(this.#running);
  }
}
