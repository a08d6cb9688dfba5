// Whose account is it? A server that names owners tells with each answer. With any other, diffs show it.

import { misfit } from "./answer.js";
import { stateOf } from "./state.js";
import { markOf } from "./tokens.js";

/** @typedef {import("./answer.js").Answer} Answer */
/** @typedef {import("./answer.js").Failure} Failure */
/** @typedef {import("./types.js").State} State */

/** The most log entries in a page that is fetched only to see its owner. */
const A_FEW = 100;

export const OLD_ANSWER = { code: "no_answer", message: "The answer is an old one.", heard: true };

export class Identity {
  #store;
  #pace;
  #asking;

  /**
   * @param {import("./types.js").Store} store @param {import("./pace.js").Pace} pace
   * @param {{ ask: (request: import("./sync.js").Request, token: string | null) => Promise<Answer | (Failure & { success?: undefined })>,
   *   isSmallerNext: (problem: Failure, request: { limit?: number }) => boolean,
   *   write: (work: (tx: import("./types.js").Tx) => Promise<void>) => Promise<void> }} asking
   */
  constructor(store, pace, asking) {
    this.#store = store;
    this.#pace = pace;
    this.#asking = asking;
  }

  /**
   * Before the first change is sent with a new token, checks that it is the same owner's. The diffs of the
   * device's last tick show the owner, or else the first page that has any. While the owner is unknown, a
   * create of this device shows it. Nothing is applied.
   * @param {string | null} token
   * @returns {Promise<Failure | null>}
   */
  async check(token) {
    const [state, pending] = await this.#store.read(async (tx) => [await stateOf(tx), await tx.count("pending")]);
    const { clock, owner, mark, named } = state;
    // A server that names owners applies nothing of a request for another one.
    if (named !== null || (owner ?? mark) === null || pending === 0 || state.token === markOf(token)) return null;
    let isUnknown = clock === 0 || owner === null;
    if (!isUnknown) {
      const answer = await this.#asking.ask({ logical_clock: clock - 1, owner, diffs: [], limit: 1 }, token);
      const problem = answer.success ? misfit(answer, { owner, clock: clock - 1 }, []) : answer;
      const isOld = answer.success && answer.logical_clock < clock;
      if (isOld) return OLD_ANSWER;
      isUnknown = problem?.code === "too_old";
      if (problem && !isUnknown) return problem;
    }
    const { problem, seen } = isUnknown ? await this.seek(state, token) : { problem: null, seen: owner };
    if (problem) return problem;
    if (seen === undefined && (owner === null || state.isUnasked)) {
      const message = "This account has no data of this device, which has synced before. Is it the right one?";
      return { code: "clock_ahead", message, heard: true };
    }
    const known = { owner: owner ?? seen, token: markOf(token) };
    await this.#asking.write(async (tx) => tx.put("meta", { ...(await stateOf(tx)), ...known }));
    return null;
  }

  /**
   * Asks a server that names owners whose token it is, from the clock 0, which is in each history. If it is the owner's,
   * that is stored. Nothing is applied.
   * @param {string | null} token
   * @returns {Promise<string | null>}  the code of the failure, null if it is the owner's or nobody knows
   */
  async prove(token) {
    const { owner } = await this.#store.read(stateOf);
    const answer = await this.#asking.ask({ logical_clock: 0, head: "", owner, diffs: [], limit: 1 }, token);
    const problem = answer.success ? misfit(answer, { owner, clock: 0 }, []) : answer;
    if (problem) return problem.code;
    if (owner === null || /** @type {Answer} */ (answer).owner !== owner) return null;
    await this.#store.write(async (tx) => {
      const state = await stateOf(tx);
      if (state.owner === owner) await tx.put("meta", { ...state, named: markOf(token) });
    });
    return null;
  }

  /**
   * Fetches pages until one has diffs, which show whose account it is; or while the owner is unknown, until one
   * has the create that is remembered. Such a page has one tick, as others may have deleted the object since,
   * unless the server keeps these no more.
   * @param {Pick<State, "owner" | "mark">} state @param {string | null} token
   * @returns {Promise<{ problem: Failure | null, seen?: string }>}  the owner, if it is that of this device
   */
  async seek({ owner, mark }, token) {
    const made = mark?.id;
    let [clock, head] = [mark?.from ?? 0, ""];
    for (;;) {
      const limit = mark && mark.to < Infinity ? 1 : Math.min(A_FEW, this.#pace.entries);
      const answer = await this.#asking.ask({ logical_clock: clock, head, owner, diffs: [], limit }, token);
      const problem = answer.success ? misfit(answer, { owner, clock }, []) : answer;
      if (problem && this.#asking.isSmallerNext(problem, { limit })) continue;
      if (problem?.code === "too_old" && mark?.from) {
        mark = { ...mark, from: 0, to: Infinity };
        clock = 0;
        continue;
      }
      if (problem) return { problem };
      const page = /** @type {Answer} */ (answer);
      const unnamed = { ...page, owner: undefined };
      const seen = page.diffs.find(({ id }) => (made ?? id) === id)?.owner;
      if (seen !== undefined || page.more === undefined || page.logical_clock >= (mark?.to ?? Infinity)) {
        return { problem: seen === undefined ? misfit(unnamed, { owner: owner ?? "", clock }, []) : null, seen };
      }
      [clock, head] = [page.logical_clock, page.head ?? ""];
    }
  }
}
