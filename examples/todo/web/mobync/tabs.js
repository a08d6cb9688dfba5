// The tabs of one browser share a database: what they tell each other, and what one does at a time.

import { abortable } from "./waiting.js";

export class Tabs {
  #name;
  #channel;
  #closing;

  /** @param {string} name @param {(message: any) => void} hear @param {AbortSignal} closing */
  constructor(name, hear, closing) {
    this.#name = `mobync:${name}`;
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
   * Does the work while no other tab does the like. It rejects when this client is closed before its
   * turn has come; work under way is not broken off.
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
 * Web Locks where there are any; else turns within this page, and what is applied is checked anyway.
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
