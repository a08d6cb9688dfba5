// The status that the application sees.

import { stateOf } from "./state.js";
import { isOnline } from "./waiting.js";

/** @typedef {import("./types.js").Status} Status */

export class Standing {
  #store;
  #events;
  #closing;
  /** Whether this tab or another one is syncing. */
  isSyncing = false;
  /** @type {Status} */
  status = Object.freeze({
    state: "saved",
    pending: 0,
    refused: 0,
    overridden: 0,
    progress: null,
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

  /** Updates the status. @param {Partial<Status>} change */
  async refresh(change) {
    if (this.#closing.aborted) return;
    const count = this.#store.read(async (tx) => {
      const { clock, syncedAt, goal } = await stateOf(tx);
      const [pending, refused, overridden] = [
        await tx.count("pending"),
        await tx.count("refused"),
        await tx.count("overridden"),
      ];
      const progress = clock > 0 && clock < goal ? clock / goal : null;
      return { clock, syncedAt, progress, pending, refused, overridden };
    });
    // If it is the local database that fails, show at least that.
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
