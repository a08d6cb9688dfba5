// The application's token, which may come late or never.

import { MobyncError } from "./errors.js";
import { Patience, abortable, isOnline } from "./waiting.js";

/** Errors of fetch and similar functions if there is no network. */
const OF_NETWORKS =
  /TypeError|AbortError|network|fetch|offline|time.?out|connect|load failed|ECONN|ENOTFOUND|EAI_AGAIN/i;

export class Tokens {
  #options;
  #closing;
  #late;
  /** @type {{ rejected: boolean, result: Promise<string | null> } | null} */
  #asking = null;
  /** @type {string | null} */
  #last = null;

  /**
   * @param {any} options @param {AbortSignal} closing
   * @param {() => void} late  called when a token has come too late
   */
  constructor(options, closing, late) {
    this.#options = options;
    this.#closing = closing;
    this.#late = late;
  }

  /**
   * Asks the application for the token, once at a time; null if it has no tokens.
   * @param {string | null} [rejected]  the token that the server has rejected
   * @returns {Promise<string | null>}
   */
  ask(rejected = null) {
    if (!this.#options.token) return Promise.resolve(null);
    // There is a newer token already, which need not be renewed.
    const isRejected = rejected !== null && (this.#last === null || this.#last === rejected);
    const current = this.#asking;
    if (current && (current.rejected || !isRejected)) return current.result;
    const asking = { rejected: isRejected, result: this.#call(isRejected) };
    this.#asking = asking;
    const over = () => {
      if (this.#asking === asking) this.#asking = null;
    };
    asking.result.then(over, over);
    return asking.result;
  }

  /** @param {boolean} rejected */
  async #call(rejected) {
    const patience = new Patience(this.#options.timeout, this.#closing);
    const { signal } = patience;
    let token;
    try {
      const given = Promise.resolve(this.#options.token({ rejected, signal }));
      given.then(() => signal.aborted && this.#late()).catch(() => {});
      token = await abortable(given, signal);
    } catch (error) {
      throw this.#failure(error, signal.aborted);
    } finally {
      patience.end();
    }
    this.#last = checked(token);
    return this.#last;
  }

  /** @param {any} error @param {boolean} isLate */
  #failure(error, isLate) {
    if (isLate) return new MobyncError("no_token", "There is no token yet: it takes too long to get one.", error);
    if (!isOnline() || OF_NETWORKS.test(`${error?.name} ${error?.code} ${error?.message ?? error}`)) {
      return new MobyncError("no_token", "There is no token yet: it cannot be got without a network.", error);
    }
    // It may still be the network, so it is tried again soon.
    const failure = new MobyncError("unauthenticated", "There is no token: sign in again.", error);
    return Object.assign(failure, { isPassing: true });
  }
}

/** Checks that a header can contain it. @param {any} token @returns {string} */
function checked(token) {
  if (token === undefined || token === null || token === "") {
    throw new MobyncError("unauthenticated", "Nobody is signed in: sign in again.");
  }
  if (typeof token !== "string" || !/^[\x21-\x7e]+( +[\x21-\x7e]+)*$/.test(token)) {
    throw new MobyncError("unauthenticated", "The token is no text of visible ASCII: sign in again.");
  }
  return token;
}

/** @param {string | null} token */
export const headersOf = (token) => (token === null ? {} : { Authorization: `Bearer ${token}` });

/** A small hash: it shows that a token has changed, but reveals nothing about it. @param {string | null} token */
export const markOf = (token) =>
  [...(token ?? "")].reduce((mark, letter) => Math.imul(mark ^ letter.charCodeAt(0), 16777619), 2166136261 | 0);
