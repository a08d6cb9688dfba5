// When to sync: occasions, changes, other tabs, failures.

import { MobyncError, isPassing, isUnreached } from "./errors.js";
import { Schedule } from "./schedule.js";
import { Standing } from "./standing.js";
import { countFailure, stateOf } from "./state.js";
import { Sync } from "./sync.js";
import { Telling } from "./telling.js";
import { Turns } from "./turns.js";
import { isOnline } from "./waiting.js";

/** @typedef {import("./answer.js").Failure} Failure */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Status} Status */

/** @typedef {import("./turns.js").Need} Need */

/** How much longer this tab waits than the one that will sync, so that it only does what that one did not. */
const SECOND_TO_ACT = 1500;

/** Of the person's own data, or of a space. */
export class Syncing {
  #link;
  #options;
  #store;
  #telling;
  space;
  #standing;
  #schedule;
  #sync;
  /** @type {Turns} */
  turns;
  /** When a sync last succeeded, here or in another tab. */
  #heardAt = -Infinity;
  /** Which time of being joined this is; undefined if it is left, and does not sync. @type {string | undefined} */
  life;

  /**
   * @param {import("./link.js").Link} link @param {import("./types.js").Store} store @param {EventTarget} events
   * @param {string} space  "" for the person's own data
   */
  constructor(link, store, events, space) {
    const { options, signal, carrier } = link;
    this.#link = link;
    this.#options = options;
    this.#store = store;
    this.space = space;
    this.#standing = new Standing(store, events, signal, (problem) => link.over(problem));
    this.#telling = new Telling(link, this.#standing, events, space);
    this.#schedule = new Schedule(options, signal, (isOccasion) => this.#due(isOccasion));
    const told = {
      traffic: (/** @type {any} */ detail) => this.#telling.traffic({ at: options.now(), ...detail }),
      changed: (/** @type {Set<string>} */ models, /** @type {boolean} */ isSaved) =>
        this.told(models, isSaved ? { problem: null, retryAt: null } : {}),
    };
    this.turns = new Turns(this, store, carrier, (needs) => this.#session(needs));
    this.#sync = new Sync(options, store, signal, told, carrier, space);
    link.known.set(space, this);
  }

  get status() {
    return this.#standing.status;
  }

  get isClosed() {
    return this.#link.signal.aborted;
  }

  get isJoined() {
    return this.life !== undefined;
  }

  /** It is joined from now on. @param {string} [life] */
  async begin(life = "") {
    this.life = life;
    this.#telling.here();
    await this.#standing.refresh({ problem: null, retryAt: null });
    if (this.#options.automatic) this.#telling.tabs({ kind: "opened" });
  }

  /** It is left. */
  async stop() {
    this.life = undefined;
    this.#telling.here();
    this.#schedule.stop();
    this.#schedule.succeeded();
    await this.#standing.refresh({ problem: null, retryAt: null, live: false });
  }

  // ---------------------------------------------------------------------------------- occasions

  /** Syncs as soon as possible. */
  soon() {
    this.#schedule.soon(0);
  }

  occasion() {
    this.refresh();
    this.#schedule.forgive();
    this.soon();
  }

  online() {
    this.#schedule.forget();
    this.#sync.giveUp();
    this.occasion();
  }

  /** Shows what is stored. */
  refresh() {
    void this.#standing.refresh({});
  }

  focus() {
    if (this.status.problem) this.occasion();
  }

  /** Another space has reached the server. */
  reached() {
    if (this.status.problem?.code === "no_answer" && !this.#standing.isSyncing) this.occasion();
  }

  /** The live stream works, or not. @param {boolean} isLive */
  live(isLive) {
    void this.#telling.status({ live: isLive });
  }

  /** The live stream has told of this clock. @param {number} clock @param {boolean} isLive  which shows that it works */
  news(clock, isLive) {
    if (isLive && this.isJoined && !this.status.live) this.live(true);
    void this.turns.take(
      (state, pending) =>
        this.#schedule.isAllowed && (clock > state.clock || pending > 0 || this.status.problem !== null),
    );
  }

  /** Whether there is no live stream, and no sync has succeeded in that part of the time between polls. @param {number} part */
  isStale(part) {
    if (this.status.live || this.status.retryAt !== null) return false;
    return this.#options.monotonic() - this.#heardAt >= this.#options.poll * part;
  }

  poll() {
    // All tabs get here at the same time, and one sync is enough.
    const { syncedAt } = this.status;
    void this.turns.take((state) => state.syncedAt === syncedAt);
  }

  /** Syncs if this is still needed when it is its turn, and the server accepts requests. @param {Need} need */
  async first(need) {
    return this.#schedule.isAllowed ? this.turns.take(need) : this.status;
  }

  /** Asks the server whose token it is, if a sync fails; see {@link Sync#prove}. @param {string | null} token */
  async prove(token) {
    try {
      return await this.#sync.prove(token);
    } finally {
      this.#link.carrier.done(this.space);
    }
  }

  /** Syncs now. @returns {Promise<Status>} */
  now() {
    this.#schedule.forget();
    return this.turns.take(() => true);
  }

  /**
   * Syncs, and gets the server's checksums of everything at its clock.
   * @returns {Promise<{ clock: number, check: Record<string, import("./check.js").Checksum | null> }>}
   */
  async checksums() {
    this.#sync.askForChecksums();
    const { problem } = await this.now();
    const checked = this.#sync.takeChecksums();
    if (checked?.check) return { clock: checked.clock, check: checked.check };
    const message = "The server did not compare: it has no checksums, or something changes all the time.";
    throw new MobyncError("not_synced", problem?.message ?? message);
  }

  /**
   * Runs the work while nobody syncs.
   * @template T
   * @param {() => Promise<T>} work
   */
  alone(work) {
    return this.#link.tabs.alone(this.space ? `sync:${this.space}` : "sync", work);
  }

  /** It is over for this tab. @param {import("./types.js").Problem} problem */
  over(problem) {
    this.#standing.over(problem);
  }

  /** This person has changed something. @param {Set<string>} models */
  async changed(models) {
    await this.told(models);
    // This change may solve a problem that waits for a person. Other failures wait for their next attempt.
    if (this.status.problem?.lasting) this.#schedule.soon(this.#options.debounce, true);
    else if (this.status.retryAt === null) this.#schedule.soon(this.#options.debounce, false);
  }

  /** Tells the listeners here and the other tabs. @param {Set<string>} models @param {Partial<Status>} [change] */
  told(models, change) {
    return this.#telling.changed(models, change);
  }

  // ------------------------------------------------------------------------------- running

  /** The timer has fired. @param {boolean} isOccasion */
  #due(isOccasion) {
    if (!isOnline()) return;
    const isNeeded = (/** @type {State} */ _, /** @type {number} */ pending) =>
      isOccasion || (this.#schedule.isDue && (pending > 0 || this.status.problem !== null));
    void this.turns.take(isNeeded);
  }

  /** A sync, and a second one with a new token if the first was rejected. @param {Need[]} needs */
  async #session(needs) {
    /** @type {string | null} */
    let token = null;
    /** @type {Failure | undefined} */
    let outcome;
    do {
      try {
        if (outcome === undefined && !(await this.turns.isNeeded(needs))) return;
        // Before it is this tab's turn, so that a slow application does not block other tabs.
        token = await this.#link.tokens.ask(outcome?.code === "unauthenticated" ? token : null);
        if (this.space) {
          this.#link.carrier.done(this.space); // nothing waits for it meanwhile
          const { syncedAt } = await this.#store.read(stateOf);
          const problem = await this.#link.proven(token, syncedAt === null);
          this.#link.carrier.expect(this.space);
          if (problem?.isReplaced && outcome === undefined) {
            outcome = problem;
            continue;
          }
          if (problem) {
            this.turns.begun(needs);
            return this.#settle(problem);
          }
        }
      } catch (error) {
        this.turns.begun(needs);
        return this.#settle(failureOf(error));
      }
      const isAgain = outcome !== undefined;
      outcome = await this.alone(() => this.#run(needs, token, isAgain));
      if (isAgain) return;
    } while (outcome?.code === "unauthenticated" || outcome?.isReplaced);
  }

  /**
   * @param {Need[]} needs @param {string | null} token @param {boolean} isAgain
   * @returns {Promise<Failure | undefined>}
   */
  async #run(needs, token, isAgain) {
    this.turns.begun(needs);
    if (this.isClosed) return;
    let failure;
    try {
      if (!isAgain && !(await this.turns.isNeeded(needs))) return;
      this.#schedule.stop();
      this.#standing.isSyncing = true;
      this.#telling.tabs({ kind: "syncing" });
      await this.#standing.refresh({});
      failure = await this.#sync.run(token);
    } catch (error) {
      failure = failureOf(error);
    }
    this.#standing.isSyncing = false;
    // First try again with a new token.
    const isFirst = failure?.code === "unauthenticated" && !isAgain && token !== null;
    if (!isFirst) await this.#settle(failure);
    return isFirst && failure ? failure : undefined;
  }

  #succeeded() {
    this.#heardAt = this.#options.monotonic();
    this.#schedule.succeeded();
  }

  /** Handles the outcome of a sync. @param {Failure | null} failure */
  async #settle(failure) {
    if (this.isClosed || !this.isJoined) return;
    if (!failure) {
      this.#succeeded();
      await this.#telling.status({ problem: null, retryAt: null }, null);
      return this.#link.succeeded(this);
    }
    if (failure.code === "left") {
      // By another tab, maybe, whose message has not come yet. It may be joined again.
      await this.#link.told.changed();
      return void (this.isJoined && this.soon());
    }
    if (this.space && failure.code === "no_member" && failure.isMember) {
      return this.#link.told.left(this.space, failure.message, this.#sync.life);
    }
    const failures = failure.heard && isUnreached(failure) ? await countFailure(this.#store).catch(() => 0) : 0;
    const isTooMuch = failures >= this.#options.maxFailures;
    const isLasting = isTooMuch || !isPassing(failure);
    const { code, diffId, minSchema } = failure;
    const message = isTooMuch ? `It has failed ${failures} times in a row. ${failure.message}` : failure.message;
    const lasting = isLasting || !isUnreached(failure);
    const wait = this.#schedule.failed({
      isLasting: isLasting && !failure.isPassing,
      retryAfter: isPassing(failure) ? failure.retryAfter : undefined,
      chance: this.#link.carrier.chance,
    });
    if (!this.space && code === "other_owner") this.#link.other(failure);
    const problem = { code, message, ...(diffId && { diffId }), ...(minSchema && { minSchema }), lasting };
    await this.#telling.status({ problem, retryAt: this.#options.now() + wait }, this.#schedule.retryIn);
  }

  /** Handles a message of another tab. @param {any} message */
  hear(message) {
    if (message.kind === "change") {
      this.#telling.here(message.models);
      void this.#standing.refresh({});
      if (this.status.retryAt === null) this.#schedule.soon(this.#options.debounce + SECOND_TO_ACT);
    } else if (message.kind === "status") {
      void this.#standing.refresh(message.change);
      if (message.change.problem === null) this.#succeeded();
      if (message.retryIn) this.#schedule.follow(message.retryIn + SECOND_TO_ACT);
    } else if (message.kind === "opened") {
      const { live, problem, retryAt } = this.status;
      if (live || problem) {
        this.#telling.tabs({ kind: "status", change: { live, problem, retryAt }, retryIn: this.#schedule.retryIn });
      }
    } else if (message.kind === "traffic") {
      this.#telling.event("traffic", message.detail);
    } else if (message.kind === "syncing") {
      this.#standing.isSyncing = true;
      void this.#standing.refresh({});
      // The sync is over when the lock is free, even if that tab has been closed.
      const over = async () => {
        this.#standing.isSyncing = false;
        await this.#standing.refresh({});
      };
      this.alone(over).catch(() => {});
    }
  }
}

/** @param {any} error @returns {Failure} */
function failureOf(error) {
  const { code, message, isPassing } = /** @type {any} */ (MobyncError.of(error));
  // A missing token despite a network counts like a failure of the server.
  return { code, message, isPassing, heard: code === "no_token" && isOnline() };
}
