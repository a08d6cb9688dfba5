// The status that the application sees.

import { stateOf } from "./state.js";
import { isOnline } from "./waiting.js";

/** @typedef {import("./types.js").Status} Status */

/** Errors of the local database after which this tab cannot use it any more. */
const ENDINGS = new Set(["newer_data", "database_gone"]);

export class Standing {
  #store;
  #events;
  #closing;
  #over;
  /** Whether this tab or another one is syncing. */
  isSyncing = false;
  /** Whether it is a space that was left, which is the problem then. */
  #isGone = false;
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
   * @param {(problem: import("./types.js").Problem) => void} over  called if nothing here can be used any more: a newer
   *   app has updated the data, or another tab has deleted it
   */
  constructor(store, events, closing, over) {
    this.#over = over;
    this.#store = store;
    this.#events = events;
    this.#closing = closing;
  }

  /** Updates the status. @param {Partial<Status>} change */
  async refresh(change) {
    if (this.#closing.aborted) return;
    const count = this.#store.read(async (tx) => {
      const { clock, syncedAt, goal, left } = await stateOf(tx);
      const [pending, refused, overridden] = [
        await tx.count("pending"),
        await tx.count("refused"),
        await tx.count("overridden"),
      ];
      const progress = clock > 0 && clock < goal ? clock / goal : null;
      const gone = left === null ? null : { code: "no_member", message: left, lasting: true };
      const change = gone || this.#isGone ? { problem: gone } : {};
      this.#isGone = gone !== null;
      return { clock, syncedAt, progress, pending, refused, overridden, ...change };
    });
    // If it is the local database that fails, show at least that.
    const counted = await count.catch((error) => error);
    const { code, message } = counted;
    if (ENDINGS.has(code)) this.#over({ code, message, lasting: true });
    else this.#show({ ...change, ...(counted instanceof Error ? {} : counted) });
  }

  /** Nothing that it knows is true any more. @param {import("./types.js").Problem} problem */
  over(problem) {
    this.isSyncing = false;
    this.#show({ live: false, retryAt: null, problem });
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
