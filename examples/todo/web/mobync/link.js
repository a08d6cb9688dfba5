// What all spaces of a database share in a tab: the other tabs, the token, requests, the live stream, and occasions.

import { Carrier } from "./carrier.js";
import { NO_SPACES } from "./errors.js";
import { Live } from "./live.js";
import { stateOf } from "./state.js";
import { Tabs, tabsOf } from "./tabs.js";
import { Tokens, markOf } from "./tokens.js";
import { LONGEST_TIMER, hearOfOccasions, isOnline, isSeen } from "./waiting.js";

/** @typedef {import("./answer.js").Failure} Failure */
/** @typedef {import("./syncing.js").Syncing} Syncing */
/** @typedef {import("./types.js").Problem} Problem */

/**
 * What the client does for it: `synced` when the person's own data has synced, `left` when a space has said that the
 * person is no member, in that life of it, `changed` when other spaces are joined, as another tab may have done, `other`
 * for an answer of another owner.
 * @typedef {{ synced: () => Promise<void>, left: (space: string, message: string, life: string) => Promise<void>,
 *   changed: () => Promise<void>, other: (failure: Failure) => Promise<void> }} Told
 */

export class Link {
  options;
  store;
  told;
  tabs;
  tokens;
  carrier;
  /** The person's own syncing is that of "". Those of spaces that were left stay, but are not joined. @type {Map<string, Syncing>} */
  known = new Map();
  #closing = new AbortController();
  /** @type {Live | undefined} */
  #live;
  /** @type {Map<string | null, Promise<Problem | null>>} */
  #proving = new Map();
  /** The mark of the token whose person has no data of their own, as the server says. @type {number | undefined} */
  #ownless;
  /** Whether the application knows of the other owner, and keeps what it has. */
  #isAsked = false;

  /** @param {any} options @param {import("./types.js").Store} store @param {Told} told */
  constructor(options, store, told) {
    const { signal } = this.#closing;
    this.options = options;
    this.store = store;
    this.told = told;
    this.tabs = new Tabs(tabsOf(store, options.names.version), (message) => this.#hear(message), signal);
    this.tokens = new Tokens(options, signal, () => this.own.soon());
    this.carrier = new Carrier(options, signal, {
      count: () => this.joined.length,
      owner: () => store.read(stateOf).then(({ owner }) => owner, () => null),
      doubt: () => this.own.soon(),
    });
  }

  get signal() {
    return this.#closing.signal;
  }

  get own() {
    return /** @type {Syncing} */ (this.known.get(""));
  }

  get joined() {
    return [...this.known.values()].filter(({ isJoined }) => isJoined);
  }

  /** Starts syncing at every occasion, unless the application does that. */
  begin() {
    if (!this.options.automatic) return;
    const { signal } = this;
    const all = (/** @type {(syncing: Syncing) => void} */ work) => () => this.joined.forEach(work);
    const occasion = all((syncing) => syncing.occasion());
    const online = () => {
      this.carrier.giveUp();
      this.joined.forEach((syncing) => syncing.online());
    };
    const [offline, focus] = [all((syncing) => syncing.refresh()), all((syncing) => syncing.focus())];
    hearOfOccasions({ online, offline, focus, seen: occasion }, signal);
    this.own.soon();
    if (!this.options.live) return;
    this.#live = new Live(this.options, this.tokens, this.tabs, signal, {
      spaces: async (token) => ((await this.#isProven(token, false)) ? this.joined.map(({ space }) => space) : []),
      live: (isLive) => this.joined.forEach((syncing) => (!isLive || syncing === this.own) && syncing.live(isLive)),
      clock: (clock, space) => this.known.get(space)?.news(clock, space !== ""),
      // A request of its own shows whether it is so, and whose token that is.
      noMember: (space) => this.known.get(space)?.soon(),
      cut: () => this.own.status.problem === null && this.own.soon(),
    });
    this.#live.listen().catch(() => {}); // it was closed before its turn
    const polling = setInterval(() => this.#poll(), Math.min(this.options.poll / 4, LONGEST_TIMER));
    /** @type {any} */ (polling).unref?.();
    signal.addEventListener("abort", () => clearInterval(polling));
  }

  /** Polls, while somebody looks: with the first one that is due also those that soon will be. */
  #poll() {
    if (!isSeen() || !isOnline() || !this.joined.some((syncing) => syncing.isStale(1))) return;
    for (const syncing of this.joined) if (syncing.isStale(1 / 2)) syncing.poll();
  }

  /** Other spaces are joined now, or another token is proven. */
  renewLive() {
    this.#live?.renew().catch(() => {}); // the local database fails: a sync shows it
  }

  /** A sync has succeeded: so the server can be reached. @param {Syncing} syncing */
  async succeeded(syncing) {
    for (const other of this.joined) if (other !== syncing) other.reached();
    if (syncing !== this.own) return;
    this.#isAsked = false;
    await this.told.synced();
    this.renewLive();
  }

  /** The server has answered for another owner: the application is asked once. @param {Failure} failure */
  other(failure) {
    if (!this.#isAsked) this.told.other(failure).catch((error) => this.signal.aborted || console.error(error));
    this.#isAsked = true;
  }

  /**
   * Whether this token is known to be the person's. If not, their own data are synced first, and for a space that has
   * never synced also if the list of spaces has changes that the server does not know yet.
   * @param {string | null} token @param {boolean} isNew
   * @returns {Promise<Failure | null>}
   */
  async proven(token, isNew) {
    if (await this.#isProven(token, isNew)) return null;
    const proving = this.#proving.get(token) ?? this.#prove(token).finally(() => this.#proving.delete(token));
    this.#proving.set(token, proving);
    const problem = await proving;
    if (await this.#isProven(token, isNew)) return null;
    // It was heard, and counted, by the person's own sync.
    if (problem) return { ...problem, heard: false };
    const { named } = await this.store.read(stateOf);
    return named === null ? NO_SPACES : REPLACED;
  }

  /** @param {string | null} token @returns {Promise<Problem | null>}  of the person's own data */
  async #prove(token) {
    const { problem } = await this.own.first(async () => !(await this.#isProven(token, true)));
    if (!problem || UNPROVABLE.has(problem.code) || (await this.#isProven(token, false))) return problem;
    // What stops the person's own data need not stop the spaces.
    if ((await this.own.prove(token)) === "no_member") this.#ownless = markOf(token);
    this.renewLive();
    return problem;
  }

  /** @param {string | null} token @param {boolean} isNew */
  #isProven(token, isNew) {
    return this.store.read(async (tx) => {
      const { named, owner, clock } = await stateOf(tx);
      const { spaces } = this.options;
      if (isNew && spaces && (await tx.all("pending", spaces.model)).length > 0) return false;
      if (owner !== null) return named === markOf(token);
      // There is nothing of anybody that could be compared.
      return this.#ownless === markOf(token) && clock === 0 && (await tx.count("pending")) === 0;
    });
  }

  /** Handles a message of another tab. @param {any} message */
  #hear(message) {
    if (message.kind === "gone") this.over(GONE);
    else if (message.kind === "spaces") this.told.changed().catch(() => {});
    else this.known.get(message.space ?? "")?.hear(message);
  }

  /** It is over for this tab. @param {Problem} problem */
  over(problem) {
    for (const syncing of this.known.values()) syncing.over(problem);
    this.#closing.abort();
    if (problem.code === GONE.code) this.store.close(); // the next transaction would make it anew
  }

  async close() {
    this.#closing.abort();
    await Promise.allSettled([...this.known.values()].map(({ turns }) => turns.ended()));
    this.tabs.close();
  }
}

/** Problems of the person's own data after which one more request is of no use. */
const UNPROVABLE = new Set([
  ...["no_answer", "no_token", "busy", "unauthenticated", "other_owner"],
  ...["storage_full", "storage_failed", "newer_data", "database_gone"],
]);

/** The person's own data were synced with a newer token meanwhile. */
const REPLACED = { code: "no_token", message: "There is another token by now.", isReplaced: true };
const GONE = { code: "database_gone", message: "The data on this device were deleted, in another tab.", lasting: true };
