// The status that the application sees.

import { stateOf } from "./state.js";
import { isOnline } from "./waiting.js";

/** @typedef {import("./types.js").Status} Status */

export class Standing {
  #store;
  #events;
  #closing;
  #outdated;
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

  /**
   * @param {import("./types.js").Store} store @param {EventTarget} events @param {AbortSignal} closing
   * @param {() => void} outdated  called if a newer app has updated the data
   */
  constructor(store, events, closing, outdated) {
    this.#outdated = outdated;
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
    const counted = await count.catch((error) => error);
    if (counted.code !== "newer_data") return this.#show({ ...(counted instanceof Error ? {} : counted), ...change });
    // It is over for this tab: nothing that it knows is true any more.
    const { code, message } = counted;
    this.isSyncing = false;
    this.#show({ live: false, retryAt: null, problem: { code, message, lasting: true } });
    this.#outdated();
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
