// Waiting: for a time, for an event, for something that may never come.

/** The longest that a timer can be. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** What a browser knows to be offline; anything else is found out by trying. */
export const isOnline = () => globalThis.navigator?.onLine !== false;

/** Whether somebody may be looking at the page. */
export const isSeen = () => globalThis.document?.visibilityState !== "hidden";

/**
 * Tells of what happens to the page, where there is one.
 * @param {Record<"online" | "offline" | "focus" | "seen", () => void>} told @param {AbortSignal} signal
 */
export function hearOfOccasions({ online, offline, focus, seen }, signal) {
  globalThis.addEventListener?.("online", online, { signal });
  globalThis.addEventListener?.("offline", offline, { signal });
  globalThis.addEventListener?.("focus", focus, { signal });
  globalThis.document?.addEventListener("visibilitychange", () => isSeen() && seen(), { signal });
}

/** A timer that does not keep Node running. @param {() => void} work @param {number} millis */
export function timer(work, millis) {
  const made = setTimeout(work, Math.min(millis, LONGEST_TIMER));
  /** @type {any} */ (made).unref?.();
  return made;
}

/**
 * Waits that long, or until the event of the page or the signal.
 * @param {number} millis @param {AbortSignal} signal @param {string} event
 */
export const sleep = (millis, signal, event) =>
  new Promise((resolve) => {
    const wake = () => {
      clearTimeout(waiting);
      globalThis.removeEventListener?.(event, wake);
      signal.removeEventListener("abort", wake);
      resolve(undefined);
    };
    const waiting = timer(wake, millis);
    globalThis.addEventListener?.(event, wake);
    signal.addEventListener("abort", wake);
    if (signal.aborted) wake();
  });

/**
 * The promise, or a failure as soon as the signal says so: what is called may not know of signals.
 * @template T
 * @param {T | Promise<T>} promise @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
export function abortable(promise, signal) {
  return new Promise((resolve, reject) => {
    const give = () => reject(new DOMException("It was given up.", "AbortError"));
    if (signal.aborted) give();
    signal.addEventListener("abort", give);
    Promise.resolve(promise)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", give));
  });
}

/** A signal that aborts that long after its last renewal, and when `closing` does. */
export class Patience {
  #giveUp = new AbortController();
  #closing;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #abort = () => this.#giveUp.abort();

  /** @param {number} millis @param {AbortSignal} closing */
  constructor(millis, closing) {
    this.#closing = closing;
    if (closing.aborted) this.#abort();
    closing.addEventListener("abort", this.#abort);
    this.renew(millis);
  }

  get signal() {
    return this.#giveUp.signal;
  }

  /** @param {number} millis */
  renew(millis) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#abort, Math.min(millis, LONGEST_TIMER));
  }

  /** Gives up at once. */
  lose() {
    this.#abort();
  }

  end() {
    clearTimeout(this.#timer);
    this.#closing.removeEventListener("abort", this.#abort);
  }
}
