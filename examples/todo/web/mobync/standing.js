// How it stands: the status that the application sees.

import { stateOf } from "./state.js";
import { isOnline } from "./waiting.js";

/** @typedef {import("./types.js").Status} Status */

export class Standing {
  #store;
  #events;
  #closing;
  /** Whether this tab syncs, or another one. */
  isSyncing = false;
  /** @type {Status} */
  status = Object.freeze({
    state: "saved",
    pending: 0,
    refused: 0,
    problem: null,
    clock: 0,
    syncedAt: null,
    retryAt: null,
    live: false,
  });

  /** @param {import("./types.js").Store} store @param {EventTarget} events @param {AbortSignal} closing */
  constructor(store, events, closing) {
    this.#store = store;
    this.#events = events;
    this.#closing = closing;
  }

  /** Brings the status up to date. @param {Partial<Status>} change */
  async refresh(change) {
    if (this.#closing.aborted) return;
    const count = this.#store.read(async (tx) => {
      const { clock, syncedAt } = await stateOf(tx);
      return { clock, syncedAt, pending: await tx.count("pending"), refused: await tx.count("refused") };
    });
    // The local database may be what fails, and that is to be shown.
    this.#show({ ...(await count.catch(() => ({}))), ...change });
  }

  /** @param {Partial<Status>} change */
  #show(change) {
    const status = { ...this.status, ...change };
    const { problem, pending } = status;
    if (this.isSyncing) status.state = "syncing";
    else if (!isOnline() || problem?.lasting === false) status.state = "offline";
    else if (problem) status.state = "stopped";
    else status.state = pending > 0 ? "waiting" : "saved";
    if (JSON.stringify(status) === JSON.stringify(this.status)) return;
    this.status = Object.freeze(status);
    this.#events.dispatchEvent(new Event("status"));
  }
}
