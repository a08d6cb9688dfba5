// Live updates: a stream that tells when the server has something new.

import { parse } from "./json.js";
import { headersOf } from "./tokens.js";
import { Patience, abortable, isOnline, sleep } from "./waiting.js";

/** Between attempts to connect. Nothing depends on the stream, so this may be long. */
const LONGEST_WAIT = 30 * 1000;

/** After a refusal, and at most after streams that were opened but stayed silent. */
const LONG_WAIT = 5 * 60 * 1000;

/** Events have about twenty bytes, so anything longer is not one. */
const LONGEST_EVENT = 64 * 1024;

/** The most spaces in a stream, and about the most characters of an address: those of other spaces are polled. */
const [MOST, LONGEST_URL] = [100, 6000];

/** @typedef {{ status: number, isHeard: boolean }} Ended  How a stream went; status 0: no connection. */

export class Live {
  #options;
  #tokens;
  #tabs;
  #closing;
  #told;
  /** The spaces of the stream that is open, as they are in its address. @type {string | undefined} */
  #spaces;
  /** @type {Patience | undefined} */
  #patience;
  /** Between two streams. @type {Patience | undefined} */
  #pause;
  #isRenewed = false;
  /** @type {string | null} */
  #token = null;

  /**
   * @param {any} options @param {import("./tokens.js").Tokens} tokens @param {import("./tabs.js").Tabs} tabs
   * @param {AbortSignal} closing
   * @param {{ spaces: (token: string | null) => Promise<string[]>, live: (isLive: boolean) => void,
   *   clock: (clock: number, space: string) => void, noMember: (space: string) => void, cut: () => void }} told
   *   callbacks: which spaces to listen to with a token, "" among them; the stream works or not; an event with a clock; an
   *   event that a space is the person's no more; there is no connection
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
      const isRenewed = this.#isRenewed;
      this.#isRenewed = false;
      if (isRenewed) continue;
      if (status === 404 || status === 405) return;
      if (status === 0) this.#told.cut();
      const isRefused = status === 403 || (status === 401 && rejected !== null);
      rejected = status === 401 ? (token ?? null) : null;
      if (isHeard) wait = this.#options.firstWait;
      else wait = isRefused ? LONG_WAIT : Math.min(wait * 2, status === 200 ? LONG_WAIT : LONGEST_WAIT);
      const pause = (this.#pause = new Patience(Infinity, this.#closing));
      await sleep(wait * Math.random(), pause.signal, "online");
      pause.end();
      this.#pause = undefined;
    }
  }

  /** Opens the stream again if it would be about other spaces now, also one that was refused. */
  async renew() {
    if (!this.#patience && !this.#pause) return;
    const spaces = queryOf(await this.#told.spaces(this.#token), this.#options.live);
    if (spaces === this.#spaces) return;
    this.#isRenewed = this.#patience !== undefined;
    (this.#patience ?? this.#pause)?.lose();
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
    this.#token = token;
    const ended = { status: 0, isHeard: false };
    /** @type {ReadableStreamDefaultReader<Uint8Array> | undefined} */
    let reader;
    try {
      const headers = { Accept: "text/event-stream", ...headersOf(token) };
      this.#spaces = undefined;
      this.#patience = patience;
      this.#spaces = queryOf(await this.#told.spaces(token), live);
      const response = await abortable(
        fetch(live + this.#spaces, { headers, cache: "no-store", redirect: "error", signal }),
        signal,
      );
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
          const { kind, clock, space } = read(event);
          if (kind === "clock" && clock !== null) this.#told.clock(clock, space);
          if (kind === "no_member") this.#told.noMember(space);
        }
      }
    } catch {
      return ended;
    } finally {
      patience.end();
      this.#patience = undefined;
      reader?.cancel().catch(() => {});
    }
  }
}

const NO_CONNECTION = { status: 0, isHeard: false };

/**
 * What an event says. Its data is the clock of the person's own data, or JSON.
 * @param {string} event
 * @returns {{ kind: string | undefined, clock: number | null, space: string }}
 */
function read(event) {
  /** @type {Record<string, string>} */
  const fields = {};
  for (const line of event.split(/\r?\n/)) {
    const [, field, value] = /^([^:]+):? ?(.*)$/.exec(line) ?? [];
    if (field) fields[field] = value;
  }
  const data = parse(fields.data ?? "");
  const clock = typeof data === "number" ? data : data?.logical_clock;
  return {
    kind: fields.event,
    clock: Number.isSafeInteger(clock) && clock >= 0 ? clock : null,
    space: typeof data?.space === "string" ? data.space : "",
  };
}

/** The spaces as a query; none if there is only the person's own data. @param {string[]} spaces @param {string} url */
function queryOf(spaces, url) {
  if (spaces.length < 2) return "";
  let query = "";
  for (const space of spaces.slice(0, MOST)) {
    const more = `${query || url.includes("?") ? "&" : "?"}space=${encodeURIComponent(space)}`;
    if (url.length + query.length + more.length <= LONGEST_URL) query += more;
  }
  return query;
}
