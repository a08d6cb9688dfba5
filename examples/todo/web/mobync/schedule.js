// When the next sync is due, by a monotonic clock.

import { timer } from "./waiting.js";

const LONGEST_WAIT = 5 * 60 * 1000;

/** What waits for long waits until a multiple of these milliseconds: so do other spaces, and they sync together. */
const GRID = 250;

/** Timers may fire this many milliseconds early. */
const TIMERS_ARE_EARLY = 20;

export class Schedule {
  #options;
  #closing;
  #sync;
  #wait;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #timerAt = Infinity;
  /** The server has asked for no request before this time. */
  #notBefore = -Infinity;
  /** When the next attempt after a failure is due. */
  #dueAt = -Infinity;

  /** @param {any} options @param {AbortSignal} closing @param {(isOccasion: boolean) => void} sync */
  constructor(options, closing, sync) {
    this.#options = options;
    this.#closing = closing;
    this.#sync = sync;
    this.#wait = options.firstWait;
    closing.addEventListener("abort", () => this.stop());
  }

  /** Whether an attempt after a failure is due. */
  get isDue() {
    return this.#options.monotonic() + TIMERS_ARE_EARLY >= this.#dueAt;
  }

  /** Whether the server accepts requests now. */
  get isAllowed() {
    return this.#options.monotonic() >= this.#notBefore;
  }

  /** Milliseconds until the next attempt after a failure; null if there was none. */
  get retryIn() {
    return this.#dueAt === -Infinity ? null : Math.max(0, this.#dueAt - this.#options.monotonic());
  }

  /**
   * Syncs after that many milliseconds, later if the server has asked for it, or sooner if a sync is due.
   * @param {number} delay @param {boolean} [isOccasion]  sync even if nothing is pending or due
   */
  soon(delay, isOccasion = delay === 0) {
    if (!this.#options.automatic || this.#closing.aborted) return;
    const now = this.#options.monotonic();
    let at = Math.max(now + delay, this.#notBefore);
    if (at - now > 4 * GRID) at = Math.ceil(at / GRID) * GRID;
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
   * A sync has failed: waits as long as the server asks, or longer each time.
   * @param {{ isLasting: boolean, retryAfter?: number, chance: number }} failure  chance: from 0 to 1
   * @returns {number}  milliseconds until the next attempt
   */
  failed({ isLasting, retryAfter, chance }) {
    const wait = retryAfter ?? (isLasting ? this.#options.longWait : this.#wait) * (0.5 + chance);
    this.#dueAt = this.#options.monotonic() + wait;
    this.#notBefore = retryAfter ? this.#dueAt : -Infinity;
    if (!isLasting) this.#wait = Math.min(this.#wait * 2, Math.max(LONGEST_WAIT, this.#options.firstWait));
    this.soon(wait, false);
    return wait;
  }

  /** Another tab has failed, and will try again. This one does so if that tab is gone. @param {number} wait */
  follow(wait) {
    this.#dueAt = this.#options.monotonic() + wait;
    this.soon(wait, false);
  }

  /** Something has changed: starts with short waits again. */
  forgive() {
    this.#wait = this.#options.firstWait;
  }

  /** Ignores the time that the server has asked for: the network is another one, or a person asks. */
  forget() {
    this.#notBefore = -Infinity;
  }
}
