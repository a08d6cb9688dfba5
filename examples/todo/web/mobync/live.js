// Live updates: a stream that tells when the server has something new.

import { headersOf } from "./tokens.js";
import { Patience, abortable, isOnline, sleep } from "./waiting.js";

/** Between attempts to connect. Nothing depends on the stream, so this may be long. */
const LONGEST_WAIT = 30 * 1000;

/** After a refusal, and at most after streams that were opened but stayed silent. */
const LONG_WAIT = 5 * 60 * 1000;

/** Events have about twenty bytes, so anything longer is not one. */
const LONGEST_EVENT = 64 * 1024;

/** @typedef {{ status: number, isHeard: boolean }} Ended  How a stream went; status 0: no connection. */

export class Live {
  #options;
  #tokens;
  #tabs;
  #closing;
  #told;

  /**
   * @param {any} options @param {import("./tokens.js").Tokens} tokens @param {import("./tabs.js").Tabs} tabs
   * @param {AbortSignal} closing
   * @param {{ live: (isLive: boolean) => void, clock: (clock: number) => void, cut: () => void }} told  callbacks:
   *   the stream works or not, an event with a clock, there is no connection
   */
  constructor(options, tokens, tabs, closing, told) {
    this.#options = options;
    this.#tokens = tokens;
    this.#tabs = tabs;
    this.#closing = closing;
    this.#told = told;
  }

  /** Listens, in the one tab that has the lock. */
  async listen() {
    await this.#tabs.alone("live", () => this.#listen());
  }

  async #listen() {
    let wait = this.#options.firstWait;
    /** @type {string | null} */
    let rejected = null;
    this.#told.live(false); // another tab may have set it
    while (!this.#closing.aborted) {
      if (!isOnline()) await sleep(Infinity, this.#closing, "online");
      /** @type {string | null | undefined} */
      const token = await this.#tokens.ask(rejected).catch(() => undefined);
      /** @type {Ended} */
      const { status, isHeard } = token === undefined ? NO_CONNECTION : await this.#stream(token);
      if (this.#closing.aborted) return;
      if (isHeard) this.#told.live(false);
      if (status === 404 || status === 405) return;
      if (status === 0) this.#told.cut();
      const isRefused = status === 403 || (status === 401 && rejected !== null);
      rejected = status === 401 ? (token ?? null) : null;
      if (isHeard) wait = this.#options.firstWait;
      else wait = isRefused ? LONG_WAIT : Math.min(wait * 2, status === 200 ? LONG_WAIT : LONGEST_WAIT);
      await sleep(wait * Math.random(), this.#closing, "online");
    }
  }

  /**
   * Reads one stream to its end.
   * @param {string | null} token
   * @returns {Promise<Ended>}
   */
  async #stream(token) {
    const { silence, fetch, live } = this.#options;
    const patience = new Patience(silence, this.#closing);
    const { signal } = patience;
    const ended = { status: 0, isHeard: false };
    /** @type {ReadableStreamDefaultReader<Uint8Array> | undefined} */
    let reader;
    try {
      const headers = { Accept: "text/event-stream", ...headersOf(token) };
      const response = await abortable(fetch(live, { headers, cache: "no-store", redirect: "error", signal }), signal);
      ended.status = response.status;
      reader = response.body?.getReader();
      const type = response.headers.get("Content-Type") ?? "";
      if (response.status !== 200 || !reader || !/^text\/event-stream\b/i.test(type)) return ended;
      const decoder = new TextDecoder();
      let text = "";
      for (;;) {
        const { done, value } = await abortable(reader.read(), signal);
        if (done) return ended;
        patience.renew(silence);
        const events = (text + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/);
        text = events.pop() ?? "";
        if (text.length > LONGEST_EVENT) return ended;
        // A proxy may accept the stream but buffer its events: only an event proves that it works.
        if (events.length > 0 && !ended.isHeard) {
          ended.isHeard = true;
          this.#told.live(true);
        }
        for (const event of events) {
          const clock = clockOf(event);
          if (clock !== null) this.#told.clock(clock);
        }
      }
    } catch {
      return ended;
    } finally {
      patience.end();
      reader?.cancel().catch(() => {});
    }
  }
}

const NO_CONNECTION = { status: 0, isHeard: false };

/** The clock of a `clock` event; null for any other event. @param {string} event */
function clockOf(event) {
  /** @type {Record<string, string>} */
  const fields = {};
  for (const line of event.split(/\r?\n/)) {
    const [, field, value] = /^([^:]+):? ?(.*)$/.exec(line) ?? [];
    if (field) fields[field] = value;
  }
  return fields.event === "clock" && /^\d+$/.test(fields.data ?? "") ? Number(fields.data) : null;
}
