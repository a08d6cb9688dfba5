// Waiting for a time, for an event, or for something that may never happen.

/** The longest time of a timer. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** False if the browser knows that it is offline. True means nothing: only a request shows it. */
export const isOnline = () => globalThis.navigator?.onLine !== false;

/** Whether the page may be visible. */
export const isSeen = () => globalThis.document?.visibilityState !== "hidden";

/**
 * Listens to the events of the page, if there is one.
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
 * Waits that long, or until the event of the page, or until the signal aborts.
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
 * The promise, but it rejects as soon as the signal aborts: the function called may ignore signals.
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

/** A signal that aborts some time after its last renewal, or when `closing` aborts. */
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

  /** Aborts now. */
  lose() {
    this.#abort();
  }

  end() {
    clearTimeout(this.#timer);
    this.#closing.removeEventListener("abort", this.#abort);
  }
}
