// One sync: requests and their answers, until nothing is left to fetch or to send.

import { refetchAll, resendAll } from "./anew.js";
import { interpret, misfit } from "./answer.js";
import { apply } from "./applying.js";
import { newDiff } from "./diffs.js";
import { applyPage, copyAgain, swap } from "./beside.js";
import { ELSEWHERE, MobyncError, isUnreached } from "./errors.js";
import { Identity, OLD_ANSWER } from "./identity.js";
import { Outbox, asSent } from "./outbox.js";
import { Pace } from "./pace.js";
import { isBehind, stateOf, storedSchema } from "./state.js";
import { forgetSent } from "./updating.js";

/** @typedef {import("./answer.js").Answer} Answer */
/** @typedef {import("./answer.js").Failure} Failure */
/** @typedef {import("./types.js").Diff} Diff */
/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * @typedef {{ logical_clock: number, owner: string | null, diffs: Diff[], head?: string, limit?: number,
 *   report?: boolean, check?: boolean }} Request
 */

/** After so many doubtful answers in a row, a diff without effect shows whether they are old. */
const DOUBTS = 3;

const LEFT = new MobyncError("left", "This space was left meanwhile.");

export class Sync {
  #options;
  #store;
  #closing;
  #told;
  #pace;
  #outbox;
  #carrier;
  #identity;
  #space;
  /** Which time of being joined this is about, if it is a space's. */
  #life = "";
  /** Whether this run has begun anew. Between two histories behind one address it would do so for ever. */
  #hasBegunAnew = false;
  /** Whether this run has begun the copy anew, or has waited for the device to reach the clock of the copy. */
  #hasCopiedAnew = false;
  #doubts = 0;
  #wantsCheck = false;
  /** @type {{ clock: number, check: Answer["check"] } | null} */
  #checked = null;

  /**
   * @param {any} options @param {import("./types.js").Store} store @param {AbortSignal} closing
   * @param {{ traffic: (detail: any) => void, changed: (models: Set<string>, isSaved: boolean) => Promise<void> }} told
   * @param {import("./carrier.js").Carrier} carrier @param {string} space
   */
  constructor(options, store, closing, told, carrier, space) {
    this.#carrier = carrier;
    this.#space = space;
    this.#options = options;
    this.#store = store;
    this.#closing = closing;
    this.#told = told;
    this.#pace = new Pace(options.maxBytes);
    this.#outbox = new Outbox(options, this.#pace);
    this.#identity = new Identity(store, this.#pace, {
      ask: (request, token) => this.#ask(request, token),
      isSmallerNext: (problem, request) => this.#isSmallerNext(problem, request),
      write: (work) => this.#write(work),
    });
  }

  /**
   * Syncs. The caller makes sure that nobody else does so at the same time.
   * @param {string | null} token
   * @returns {Promise<Failure | null>}
   */
  async run(token) {
    /** @type {Failure | "again" | null} */
    let outcome;
    this.#hasBegunAnew = this.#hasCopiedAnew = false;
    this.#life = (await this.#store.read((tx) => this.#stateOf(tx))).life;
    do {
      outcome = (await this.#identity.check(token)) ?? (await this.#exchange(token)) ?? (await this.#copyOn(token));
      if (outcome === null && this.#wantsCheck) outcome = "again";
      if (outcome && outcome !== "again") outcome = await this.#recovered(outcome, token);
    } while (outcome === "again" && !this.#closing.aborted);
    return outcome === "again" ? null : outcome;
  }

  /** Which time of being joined the last run was about. */
  get life() {
    return this.#life;
  }

  /** Asks only whose token it is; see {@link Identity#prove}. @param {string | null} token */
  prove(token) {
    return this.#identity.prove(token);
  }

  /** The next sync asks for checksums of what is at its clock. */
  askForChecksums() {
    this.#checked = null;
    this.#wantsCheck = true;
  }

  /** What the server has answered; null if no sync came so far. */
  takeChecksums() {
    this.#wantsCheck = false;
    return this.#checked;
  }

  /**
   * With the option `recover`, begins anew on a server whose history is not the device's. Nobody is asked, so
   * it must have proof that it is the owner's account: an empty one may be anybody's.
   * @param {Failure} failure @param {string | null} token
   * @returns {Promise<Failure | "again">}
   */
  async #recovered(failure, token) {
    const { clock, owner } = await this.#store.read(stateOf);
    const isElsewhere = ELSEWHERE.has(failure.code) && clock > 0 && owner !== null;
    if (!this.#options.recover || !isElsewhere || this.#hasBegunAnew) return failure;
    const { problem, seen } = await this.#identity.seek({ owner, mark: null }, token);
    if (problem || seen === undefined) return problem ?? failure;
    this.#hasBegunAnew = true;
    await this.#write((tx) => resendAll(tx, this.#options, true), true);
    return "again";
  }

  /**
   * @param {Request} request  and the version of the schema
   * @param {string | null} token
   */
  async #ask(request, token) {
    const { timeout, monotonic, schema } = this.#options;
    const begun = monotonic();
    const whole = { ...request, owner: request.owner ?? "", schema };
    const heard = await this.#carrier.ask(this.#space, whole, token, this.#pace.patience);
    const answer = interpret(heard, this.#options);
    if (!heard) this.#pace.lost(monotonic() - begun >= timeout);
    else this.#pace.heard();
    if (heard && answer.success && request.diffs.length > 0) this.#pace.sent(monotonic() - begun);
    // A page that was asked for to see its owner is small on purpose.
    const isFull = request.limit === this.#pace.entries;
    if (heard && answer.success && answer.more !== undefined && isFull) this.#pace.fetched(heard.bytes);
    return answer;
  }

  /**
   * After a page that was too large, the next one has fewer entries, as long as that is possible.
   * @param {Failure} problem @param {{ limit?: number }} request
   */
  #isSmallerNext({ code }, { limit }) {
    return code === "answer_too_large" && limit !== undefined && this.#pace.overflowed();
  }

  /** The network is another one. */
  giveUp() {
    this.#pace.heard();
  }

  /** @param {string | null} token @returns {Promise<Failure | "again" | null>} */
  async #exchange(token) {
    const [taken, { copy }] = await this.#write(async (tx, models) => [
      await this.#outbox.take(tx, models),
      await storedSchema(tx),
    ]);
    const { before, asked, sent, isAll } = taken;
    const diffs = sent.map(asSent);
    if (this.#doubts >= DOUBTS)
      diffs.unshift(...sent.slice(0, 1).map(({ model, id }) => newDiff("update", model, { id })));
    const { clock, head, owner } = asked;
    const isReady = !copy && !asked.anew && !isBehind(asked, this.#options.now());
    const isCheck = this.#wantsCheck && diffs.length === 0 && isReady;
    if (isCheck) this.#wantsCheck = false;
    const members = isCheck ? { check: true } : diffs.length > 0 ? { report: true } : { limit: this.#pace.entries };
    this.#told.traffic({ direction: "up", clock, diffs });
    const answer = await this.#ask({ logical_clock: clock, head, owner, diffs, ...members }, token);
    const problem = answer.success ? misfit(answer, asked, diffs) : answer;
    this.#doubts = problem ? this.#doubts + Number(problem.isDoubtful ?? 0) : 0;
    if (!problem) {
      const heard = /** @type {Answer} */ (answer);
      const { logical_clock, refused, check } = heard;
      this.#told.traffic({ direction: "down", clock: logical_clock, diffs: heard.diffs, refused });
      const exchange = { asked, sent, isAll, answer: heard, token };
      const isMore = await this.#write((tx, models) => apply(tx, this.#options, models, exchange), true);
      // A server may answer any empty request with a page, which has no checksums.
      if (isCheck && heard.more === undefined) this.#checked = { clock: logical_clock, check };
      else this.#wantsCheck ||= isCheck;
      return isMore ? "again" : null;
    }
    this.#told.traffic({ direction: "down", clock, diffs: [], problem });
    if (this.#isSmallerNext(problem, members)) return "again";
    // A server that failed may have processed the request. Any other failure of the server means that it
    // did not.
    if (!problem.status || problem.status >= 500) return problem;
    const isAlone = problem.code === "payload_too_large" && sent.length === 1;
    const other = isAlone ? await this.#failsAnyway(asked, token) : null;
    return other ? this.#rejected(other, before, asked, []) : this.#rejected(problem, before, asked, sent);
  }

  /**
   * After an update of the app: fetches another page of the copy, or puts a complete one into its place.
   * @param {string | null} token
   * @returns {Promise<Failure | "again" | null>}
   */
  async #copyOn(token) {
    const [{ copy }, { clock, owner }] = await this.#store.read(async (tx) => [
      await storedSchema(tx),
      await stateOf(tx),
    ]);
    if (!copy) return null;
    if (copy.clock === clock) {
      await this.#write((tx, models) => swap(tx, this.#options, models));
      return null;
    }
    if (copy.clock > clock) return this.#onceMore();
    const limit = this.#pace.entries;
    const answer = await this.#ask({ logical_clock: copy.clock, head: copy.head, owner, diffs: [], limit }, token);
    const problem = answer.success ? misfit(answer, { owner, clock: copy.clock }, []) : answer;
    if (!problem) {
      const page = /** @type {Answer} */ (answer);
      // The device is ahead of the copy, so there is something.
      if (page.logical_clock <= copy.clock) return OLD_ANSWER;
      await this.#write((tx) => applyPage(tx, this.#options, copy, page));
      return "again";
    }
    if (this.#isSmallerNext(problem, { limit })) return "again";
    if (problem.code !== "too_old" && !ELSEWHERE.has(problem.code)) return problem;
    await this.#write((tx) => copyAgain(tx, copy));
    return this.#onceMore();
  }

  /** Goes on in this run, but not for ever: the next run goes on as well. @returns {"again" | null} */
  #onceMore() {
    const isOver = this.#hasCopiedAnew;
    this.#hasCopiedAnew = true;
    if (!isOver) return "again";
    this.#wantsCheck = false; // there is nothing to compare yet
    return null;
  }

  /**
   * A change that is too large alone is to blame only if a request without it succeeds. Nothing is applied.
   * @param {State} asked @param {string | null} token
   * @returns {Promise<Failure | null>}
   */
  async #failsAnyway(asked, token) {
    const { clock, head, owner } = asked;
    const answer = await this.#ask({ logical_clock: clock, head, owner, diffs: [], limit: 1 }, token);
    const problem = answer.success ? misfit(answer, asked, []) : answer;
    if (problem?.code !== "payload_too_large") return problem;
    return { ...problem, message: "Even a request without changes is too large for the server, or what is before it." };
  }

  /**
   * @param {Failure} problem @param {State} before @param {State} asked @param {Pending[]} sent
   * @returns {Promise<Failure | "again">}
   */
  async #rejected(problem, before, asked, sent) {
    const isTooLarge = problem.code === "payload_too_large" && sent.length > 0;
    const isAlone = isTooLarge && sent.length === 1;
    const blamed = isAlone ? sent[0] : sent.find(({ diff }) => diff.id === problem.diffId);
    const isUnsendable = isAlone || (problem.code === "invalid_diff" && blamed !== undefined);
    const isTooOld = problem.code === "too_old" && asked.clock > 0 && !this.#hasBegunAnew;
    if (problem.code === "too_old" && !isTooOld) problem = { ...problem, isPassing: true };
    this.#hasBegunAnew ||= isTooOld;
    const now = isTooLarge && !isAlone ? this.#outbox.halve(before, sent) : before;
    await this.#write(async (tx, models) => {
      const state = await stateOf(tx);
      if (state.clock !== asked.clock || state.unanswered !== asked.unanswered) return; // another tab has synced
      const failures = isUnreached(problem) ? state.failures : 0;
      await tx.put("meta", { ...state, unanswered: now.unanswered, failures });
      if (now.unanswered < before.unanswered) await forgetSent(tx, sent);
      if (blamed && isUnsendable) await this.#outbox.setAside(tx, blamed, problem, models);
      if (isTooOld) await this.#outgrown(tx, problem, before, models);
    });
    if (isAlone) this.#outbox.restore();
    return isTooLarge || isUnsendable || isTooOld ? "again" : problem;
  }

  /**
   * The server's log does not go back as far as this device's clock: the device begins anew. If the server
   * has forgotten which changes it had accepted, those of a request without an answer are set aside.
   * @param {Tx} tx @param {Failure} problem @param {State} before @param {Set<string>} models
   */
  async #outgrown(tx, { code, forgotten }, { unanswered }, models) {
    const message = "This change may have been saved on the server or not; after this long time it cannot tell.";
    for (const { seq } of forgotten ? await tx.all("pending") : []) {
      const entry = seq <= unanswered ? await tx.get("pending", seq) : undefined;
      if (entry) await this.#outbox.setAside(tx, entry, { code, message }, models);
    }
    await refetchAll(tx);
  }

  /**
   * @template T
   * @param {(tx: Tx, models: Set<string>) => Promise<T>} work @param {boolean} [isSaved]
   * @returns {Promise<T>}
   */
  async #write(work, isSaved = false) {
    /** @type {Set<string>} */
    const models = new Set();
    const result = await this.#store.write(async (tx) => {
      models.clear();
      if ((await this.#stateOf(tx)).life !== this.#life) throw LEFT;
      return work(tx, models);
    });
    if (models.size > 0 || isSaved) await this.#told.changed(models, isSaved);
    return result;
  }

  /** Throws if it is a space that is not joined any more. @param {Tx} tx */
  async #stateOf(tx) {
    const state = await stateOf(tx);
    if (this.#space && !state.joined) throw LEFT;
    return state;
  }
}
