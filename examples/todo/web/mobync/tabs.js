// The tabs of a browser share a database: messages between them, and locks.

import { abortable } from "./waiting.js";

/**
 * Tabs with the same version of the schema hear each other. Those of older apps hear nothing of newer ones, but
 * that they have updated the data.
 * @param {{ name: string }} store @param {number} version
 */
export const tabsOf = ({ name }, version) => `mobync:${name}${version > 1 ? `:${version}` : ""}`;

/** Tells other tabs something, of an older app too. @param {string} tabs @param {any} message */
export function tell(tabs, message) {
  const channel = new BroadcastChannel(tabs);
  channel.postMessage(message);
  channel.close();
}

export class Tabs {
  #name;
  #channel;
  #closing;

  /** @param {string} name @param {(message: any) => void} hear @param {AbortSignal} closing */
  constructor(name, hear, closing) {
    this.#name = name;
    this.#closing = closing;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => hear(data);
    /** @type {any} */ (this.#channel).unref?.();
  }

  /** Tells the other tabs. @param {any} message */
  tell(message) {
    if (!this.#closing.aborted) this.#channel.postMessage(message);
  }

  /**
   * Does the work while no other tab does work of that name. It rejects if this client is closed before
   * its turn; work under way is completed.
   * @template T
   * @param {string} what @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  alone(what, work) {
    return locked(`${this.#name}:${what}`, work, this.#closing);
  }

  close() {
    this.#channel.close();
  }
}

/** @type {Map<string, Promise<any>>} */
const turns = new Map();

/**
 * Uses Web Locks. Without them, work takes turns within this page only; applying an answer checks for
 * other tabs anyway.
 * @template T
 * @param {string} name @param {() => Promise<T>} work @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
function locked(name, work, signal) {
  const locks = globalThis.navigator?.locks;
  if (locks) return /** @type {Promise<T>} */ (locks.request(name, { signal }, work));
  const before = turns.get(name) ?? Promise.resolve();
  const result = abortable(before, signal).then(work);
  const quiet = () => {};
  const turn = Promise.all([before, result.then(quiet, quiet)]).then(() => {
    if (turns.get(name) === turn) turns.delete(name);
  });
  turns.set(name, turn);
  return result;
}
