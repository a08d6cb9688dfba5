// When the next sync is due, by a clock that nobody sets.

import { timer } from "./waiting.js";

const LONGEST_WAIT = 5 * 60 * 1000;

/** By how many milliseconds timers may be early. */
const TIMERS_ARE_EARLY = 20;

export class Schedule {
  #options;
  #closing;
  #sync;
  #wait;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #timerAt = Infinity;
  /** Before this the server does not want to hear of this device. */
  #notBefore = -Infinity;
  /** When the next try is due after a failure. */
  #dueAt = -Infinity;

  /** @param {any} options @param {AbortSignal} closing @param {(isOccasion: boolean) => void} sync */
  constructor(options, closing, sync) {
    this.#options = options;
    this.#closing = closing;
    this.#sync = sync;
    this.#wait = options.firstWait;
    closing.addEventListener("abort", () => this.stop());
  }

  /** Whether a try after a failure is due. */
  get isDue() {
    return this.#options.monotonic() + TIMERS_ARE_EARLY >= this.#dueAt;
  }

  /** Whether the server may be asked. */
  get isAllowed() {
    return this.#options.monotonic() >= this.#notBefore;
  }

  /** Milliseconds to the next try after a failure; null without one. */
  get retryIn() {
    return this.#dueAt === -Infinity ? null : Math.max(0, this.#dueAt - this.#options.monotonic());
  }

  /**
   * Syncs after that many milliseconds; later if the server has asked for it, sooner if it is due.
   * @param {number} delay @param {boolean} [isOccasion]  sync though nothing is pending, and no try is due
   */
  soon(delay, isOccasion = delay === 0) {
    if (!this.#options.automatic || this.#closing.aborted) return;
    const now = this.#options.monotonic();
    const at = Math.max(now + delay, this.#notBefore);
    if (at >= this.#timerAt) return;
    this.stop();
    this.#timerAt = at;
    this.#timer = timer(() => {
      this.#timerAt = Infinity;
      this.#sync(isOccasion);
    }, at - now);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timerAt = Infinity;
  }

  succeeded() {
    this.#wait = this.#options.firstWait;
    this.#notBefore = this.#dueAt = -Infinity;
  }

  /**
   * A sync has failed: the next try waits as the server asks, or longer each time.
   * @param {{ isLasting: boolean, retryAfter?: number }} failure
   * @returns {number}  milliseconds to the next try
   */
  failed({ isLasting, retryAfter }) {
    const wait = retryAfter ?? (isLasting ? this.#options.longWait : this.#wait) * (0.5 + Math.random());
    this.#dueAt = this.#options.monotonic() + wait;
    this.#notBefore = retryAfter ? this.#dueAt : -Infinity;
    if (!isLasting) this.#wait = Math.min(this.#wait * 2, Math.max(LONGEST_WAIT, this.#options.firstWait));
    this.soon(wait, false);
    return wait;
  }

  /** Another tab has failed, and tries again: this one looks after it. @param {number} wait */
  follow(wait) {
    this.#dueAt = this.#options.monotonic() + wait;
    this.soon(wait, false);
  }

  /** Things are other than they were: begins with short waits again. */
  forgive() {
    this.#wait = this.#options.firstWait;
  }

  /** What a server has asked for on another network counts no more. */
  forget() {
    this.#notBefore = -Infinity;
  }
}
