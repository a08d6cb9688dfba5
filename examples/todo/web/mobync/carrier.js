// Carrying requests: those that the spaces make at the same time go in one HTTP request.

import { bytesOf, parse } from "./json.js";
import { NO_SPACES } from "./errors.js";
import { post } from "./transport.js";
import { Patience } from "./waiting.js";

/** @typedef {import("./transport.js").Heard} Heard */

/**
 * @typedef {{ space: string, request: any, token: string | null, patience: { silence: number, upload: number },
 *   bytes: number, isFirst: boolean, give: (heard: Heard | null) => void }} Asked
 */

/** The most requests in one that a server accepts. */
const MOST = 100;

/** Milliseconds that a request waits at most for those of other spaces: what makes one sync makes others sync, too. */
const GATHER = 30;

/** No page of several has fewer log entries. */
const FEWEST = 10;

export class Carrier {
  #options;
  #closing;
  #person;
  /** @type {Set<Patience>} */
  #flights = new Set();
  /** The spaces that will ask soon, and those of them that have asked before in their sync. @type {Set<string>} */
  #coming = new Set();
  /** @type {Set<string>} */
  #going = new Set();
  /** @type {Asked[]} */
  #waiting = [];
  #most = MOST;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** A random number for the waits after a failure: what has failed together is tried again together. */
  chance = Math.random();

  /**
   * @param {any} options @param {AbortSignal} closing
   * @param {{ count: () => number, owner: () => Promise<string | null>, doubt: () => void }} person  how many spaces
   *   sync, the owner of the person's own data, and what to do where another account has logged in
   */
  constructor(options, closing, person) {
    this.#person = person;
    this.#options = options;
    this.#closing = closing;
  }

  /** The space will ask soon. @param {string} space */
  expect(space) {
    this.#coming.add(space);
  }

  /** The space asks nothing more. @param {string} space */
  done(space) {
    this.#coming.delete(space);
    this.#going.delete(space);
    this.#go();
  }

  /**
   * @param {string} space  "" for the person's own data
   * @param {any} request @param {string | null} token @param {Asked["patience"]} patience
   * @returns {Promise<Heard | null>}  null if there was no answer
   */
  ask(space, request, token, patience) {
    return new Promise((give) => {
      const bytes = bytesOf(JSON.stringify(request));
      this.#waiting.push({ space, request, token, patience, bytes, give, isFirst: !this.#going.has(space) });
      this.done(space);
    });
  }

  /** The network is another one, so no answer will come on the old one. */
  giveUp() {
    for (const flight of this.#flights) flight.lose();
  }

  #go() {
    if (this.#waiting.length === 0) return;
    const isFirst = this.#waiting.length < this.#person.count() && this.#waiting.some((asked) => asked.isFirst);
    if (this.#coming.size === 0 && !isFirst) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), GATHER);
  }

  /** Sends what waits: all of one token together, unless it is too much. */
  #send() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#waiting.length > 0) {
      const [{ token }] = this.#waiting;
      /** @type {Asked[][]} */
      const [batch, rest] = [[], []];
      let bytes = 0;
      for (const asked of this.#waiting) {
        bytes += asked.token === token ? asked.bytes : 0;
        const fits = batch.length === 0 || (batch.length < this.#most && bytes <= this.#options.maxBytes);
        (asked.token === token && fits ? batch : rest).push(asked);
      }
      this.#waiting = rest;
      void this.#carry(batch);
    }
  }

  /** @param {Asked[]} batch */
  async #carry(batch) {
    const [{ token, space }] = batch;
    const isPlain = batch.length === 1 && space === ""; // as to a server that knows no spaces
    const syncs = batch.map((asked) => memberOf(asked, batch.length));
    const body = isPlain ? batch[0].request : { owner: (await this.#person.owner()) ?? "", syncs };
    const patience = {
      silence: Math.max(...batch.map((asked) => asked.patience.silence)),
      upload: Math.max(...batch.map((asked) => asked.patience.upload)),
    };
    const flight = new Patience(Infinity, this.#closing);
    this.#flights.add(flight);
    const heard = await post(this.#options, JSON.stringify(body), token, patience, flight.signal);
    flight.end();
    this.#flights.delete(flight);
    this.chance = Math.random();
    if (isPlain || !heard) return this.#give(batch, () => heard);
    if (heard.status === 413 && batch.length > 1) {
      const half = (this.#most = Math.ceil(batch.length / 2));
      return void [batch.slice(0, half), batch.slice(half)].map((part) => this.#carry(part));
    }
    if (knowsNoSpaces(heard)) return this.#toOlder(batch, heard);
    if (isOthers(heard)) {
      // A request for the person's own data shows it, and what happens then.
      if (batch.every((asked) => asked.space !== "")) this.#person.doubt();
      return this.#give(batch, (place) => (batch[place].space === "" ? heard : null));
    }
    if (heard.status !== 200) return this.#give(batch, () => heard);
    this.#most = Math.min(this.#most * 2, MOST);
    const answer = parse(heard.text ?? "");
    const isWhole = answer?.success === true && answer.syncs?.length === batch.length;
    // The answer to something else is none.
    const part = (/** @type {number} */ place) =>
      isWhole ? partOf(answer.syncs[place], heard.bytes) : { ...heard, text: heard.text && "" };
    this.#give(batch, part);
  }

  /** The spaces wait for a newer server, and the person's own data go alone. @param {Asked[]} batch @param {Heard} heard */
  #toOlder(batch, heard) {
    const answer = { success: false, ...NO_SPACES };
    const own = batch.filter(({ space }) => space === "");
    this.#give(
      batch.filter(({ space }) => space !== ""),
      () => ({ ...heard, answer }),
    );
    if (own.length > 0) void this.#carry(own);
  }

  /** @param {Asked[]} batch @param {(place: number) => Heard | null} part */
  #give(batch, part) {
    // They go on to store it, and may ask again.
    for (const { space } of batch) {
      this.#coming.add(space);
      this.#going.add(space);
    }
    batch.forEach(({ give }, place) => give(part(place)));
  }
}

/**
 * Whether a server says that it does not take several requests in one: it looks for the members of one request outside of
 * `syncs`. Any other 400 may be of a proxy, or to a body that was cut off.
 * @param {Heard} heard
 */
function knowsNoSpaces({ status, text }) {
  const { success, code, message } = Object(status === 400 && parse(text ?? ""));
  if (success !== false || code !== "invalid_request") return false;
  return /logical_clock.*missing|missing.*logical_clock|\(syncs\)/.test(String(message));
}

/** Whether another account has logged in. @param {Heard} heard */
const isOthers = ({ status, text }) => status === 403 && parse(text ?? "")?.code === "other_owner";

/** @param {Asked} asked @param {number} count  of those that share the size of an answer */
function memberOf({ space, request }, count) {
  const { limit } = request;
  const pages = limit === undefined ? {} : { limit: Math.min(limit, Math.max(Math.ceil(limit / count), FEWEST)) };
  return { ...(space && { space }), ...request, ...pages };
}

/** The answer to one of them, as if it had come alone; the size is that of all. @param {any} answer @param {number} bytes @returns {Heard} */
function partOf(answer, bytes) {
  const { status, retry_after: wait } = Object(answer);
  const headers = new Headers(Number.isSafeInteger(wait) ? { "Retry-After": String(wait) } : {});
  return { status: Number(status), headers, text: "", answer: Object(answer), bytes };
}
