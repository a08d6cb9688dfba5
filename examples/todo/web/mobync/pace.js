// How much one exchange has: it follows what the network can do.

/** Bytes of a page, about. */
const PAGE = 1024 * 1024;
const [FEWEST, MOST] = [10, 10_000];

/** Milliseconds of a good upload; and bytes of the first one, as nothing is known of the network yet. */
const [QUICK, SLOW] = [2000, 8000];
const [FIRST_UPLOAD, SMALLEST_UPLOAD] = [64 * 1024, 8 * 1024];

/** How many times as long as usual it waits for the first byte of an answer, at most. */
const LONGEST_SILENCE = 8;

export class Pace {
  /** The most log entries in a page. */
  entries = 1000;
  /** The most bytes in a request of several diffs. */
  bytes;
  #most;
  /** Doubles each time that no answer came. With an upload it ends at 15 minutes in all (`uploadTime`). */
  #patience = 1;

  /** @param {number} maxBytes */
  constructor(maxBytes) {
    this.#most = maxBytes;
    this.bytes = Math.min(FIRST_UPLOAD, maxBytes);
  }

  /** How many times as patient as usual: in silence, and with an upload, whose progress nobody tells. */
  get patience() {
    return { silence: Math.min(this.#patience, LONGEST_SILENCE), upload: this.#patience };
  }

  /** A page that has more after it had so many bytes. @param {number} bytes */
  fetched(bytes) {
    const factor = Math.min(Math.max(PAGE / Math.max(bytes, 1), 1 / 4), 4);
    this.entries = Math.min(Math.max(Math.round(this.entries * factor), FEWEST), MOST);
  }

  /** A page had more bytes than are read. @returns {boolean}  whether the next one will be smaller */
  overflowed() {
    const before = this.entries;
    this.entries = Math.max(Math.floor(before / 8), FEWEST);
    return this.entries < before;
  }

  /** A request with diffs took that long. @param {number} millis */
  sent(millis) {
    const factor = millis < QUICK ? 2 : millis > SLOW ? 1 / 2 : 1;
    this.bytes = Math.min(Math.max(this.bytes * factor, SMALLEST_UPLOAD), this.#most);
  }

  /** There was an answer. */
  heard() {
    this.#patience = 1;
  }

  /** There was none. @param {boolean} isSilence  or else the connection broke */
  lost(isSilence) {
    if (isSilence) this.#patience *= 2;
    this.entries = Math.max(Math.floor(this.entries / 2), FEWEST);
  }
}
