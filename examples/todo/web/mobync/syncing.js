// When to sync: occasions, changes, other tabs, failures.

import { MobyncError, isPassing, isUnreached } from "./errors.js";
import { Live } from "./live.js";
import { Schedule } from "./schedule.js";
import { Standing } from "./standing.js";
import { stateOf } from "./state.js";
import { Sync } from "./sync.js";
import { Tabs, tabsOf } from "./tabs.js";
import { Tokens } from "./tokens.js";
import { LONGEST_TIMER, hearOfOccasions, isOnline, isSeen } from "./waiting.js";

/** @typedef {import("./answer.js").Failure} Failure */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Status} Status */

/** @typedef {(state: State, pending: number) => boolean} Need  Whether a sync is still needed. */

/** How much longer this tab waits than the one that will sync, so that it only does what that one did not. */
const SECOND_TO_ACT = 1500;

export class Syncing {
  #options;
  #store;
  #events;
  #standing;
  #closing = new AbortController();
  #tabs;
  #tokens;
  #schedule;
  #sync;
  /** @type {{ needs: Need[], result: Promise<Status> } | null} */
  #queued = null;
  /** @type {Set<Promise<any>>} */
  #running = new Set();
  /** When a sync last succeeded, here or in another tab. */
  #heardAt = -Infinity;

  /** @param {any} options @param {import("./types.js").Store} store @param {EventTarget} events */
  constructor(options, store, events) {
    const { signal } = this.#closing;
    this.#options = options;
    this.#store = store;
    this.#events = events;
    this.#standing = new Standing(store, events, signal, () => this.#closing.abort());
    this.#tabs = new Tabs(tabsOf(store, options.names.version), (message) => this.#hear(message), signal);
    this.#tokens = new Tokens(options, signal, () => this.#schedule.soon(0));
    this.#schedule = new Schedule(options, signal, (isOccasion) => this.#due(isOccasion));
    this.#sync = new Sync(options, store, signal, {
      traffic: (detail) => this.#traffic(detail),
      changed: (models, isSaved) => this.told(models, isSaved ? { problem: null, retryAt: null } : {}),
    });
  }

  get status() {
    return this.#standing.status;
  }

  get isClosed() {
    return this.#closing.signal.aborted;
  }

  /** Starts syncing at every occasion, unless the application does that. */
  async begin() {
    await this.#standing.refresh({});
    if (!this.#options.automatic) return;
    const { signal } = this.#closing;
    this.#tabs.tell({ kind: "opened" });
    const occasion = () => {
      void this.#standing.refresh({});
      this.#schedule.forgive();
      this.#schedule.soon(0);
    };
    const online = () => {
      this.#schedule.forget();
      this.#sync.giveUp();
      occasion();
    };
    const offline = () => void this.#standing.refresh({});
    const focus = () => this.status.problem && occasion();
    hearOfOccasions({ online, offline, focus, seen: occasion }, signal);
    this.#schedule.soon(0);
    if (this.#options.live) this.#listen();
  }

  #listen() {
    const needsNews = (/** @type {number} */ clock) => (/** @type {State} */ state, /** @type {number} */ pending) =>
      this.#schedule.isAllowed && (clock > state.clock || pending > 0 || this.status.problem !== null);
    const live = new Live(this.#options, this.#tokens, this.#tabs, this.#closing.signal, {
      live: (isLive) => {
        this.#tabs.tell({ kind: "status", change: { live: isLive } });
        void this.#standing.refresh({ live: isLive });
      },
      clock: (clock) => void this.#enqueue(needsNews(clock)),
      // A sync shows what is wrong.
      cut: () => this.status.problem === null && this.#schedule.soon(0),
    });
    live.listen().catch(() => {}); // it was closed before its turn
    const polling = setInterval(() => this.#poll(), Math.min(this.#options.poll / 4, LONGEST_TIMER));
    /** @type {any} */ (polling).unref?.();
    this.#closing.signal.addEventListener("abort", () => clearInterval(polling));
  }

  /** Polls if there is no live stream, the tab is visible, and no sync has succeeded recently. */
  #poll() {
    if (!isSeen() || !isOnline() || this.status.live || this.status.retryAt !== null) return;
    if (this.#options.monotonic() - this.#heardAt < this.#options.poll) return;
    // All tabs get here at the same time, and one sync is enough.
    const { syncedAt } = this.status;
    void this.#enqueue((state) => state.syncedAt === syncedAt);
  }

  /** Syncs now. @returns {Promise<Status>} */
  now() {
    this.#schedule.forget();
    return this.#enqueue(() => true);
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
    return this.#tabs.alone("sync", work);
  }

  async close() {
    this.#closing.abort();
    await Promise.allSettled(this.#running);
    this.#tabs.close();
  }

  /** This person has changed something. @param {Set<string>} models */
  async changed(models) {
    await this.told(models);
    // This change may solve a problem that waits for a person. Other failures wait for their next attempt.
    if (this.status.problem?.lasting) this.#schedule.soon(this.#options.debounce, true);
    else if (this.status.retryAt === null) this.#schedule.soon(this.#options.debounce, false);
  }

  /** Tells the listeners here and the other tabs. @param {Set<string>} models @param {Partial<Status>} [change] */
  async told(models, change = {}) {
    const detail = { models: [...models] };
    this.#tabs.tell({ kind: "change", ...detail });
    this.#events.dispatchEvent(new CustomEvent("change", { detail }));
    await this.#standing.refresh(change);
  }

  // ------------------------------------------------------------------------------- running

  /** The timer has fired. @param {boolean} isOccasion */
  #due(isOccasion) {
    if (!isOnline()) return;
    const isNeeded = (/** @type {State} */ _, /** @type {number} */ pending) =>
      isOccasion || (this.#schedule.isDue && (pending > 0 || this.status.problem !== null));
    void this.#enqueue(isNeeded);
  }

  /** Runs one sync at a time, and queues at most one more. @param {Need} need */
  #enqueue(need) {
    if (this.#queued) {
      this.#queued.needs.push(need);
      return this.#queued.result;
    }
    const needs = [need];
    const result = this.#session(needs)
      .catch(() => {}) // it was closed before its turn
      .then(() => this.status);
    this.#queued = { needs, result };
    this.#running.add(result);
    void result.then(() => this.#running.delete(result));
    return result;
  }

  /** A sync, and a second one with a new token if the first was rejected. @param {Need[]} needs */
  async #session(needs) {
    /** @type {string | null} */
    let token = null;
    /** @type {Failure | undefined} */
    let outcome;
    do {
      try {
        if (outcome === undefined && !(await this.#isNeeded(needs))) return;
        // Before it is this tab's turn, so that a slow application does not block other tabs.
        token = await this.#tokens.ask(outcome?.code === "unauthenticated" ? token : null);
      } catch (error) {
        this.#begun(needs);
        return this.#settle(failureOf(error));
      }
      const isAgain = outcome !== undefined;
      outcome = await this.#tabs.alone("sync", () => this.#run(needs, token, isAgain));
      if (isAgain) return;
    } while (outcome?.code === "unauthenticated");
  }

  /** @param {Need[]} needs */
  async #isNeeded(needs) {
    const [state, pending] = await this.#store.read(async (tx) => [await stateOf(tx), await tx.count("pending")]);
    const isNeeded = needs.some((need) => need(state, pending));
    if (!isNeeded) this.#begun(needs);
    return isNeeded;
  }

  /** From now on, requests for a sync queue another one. @param {Need[]} needs */
  #begun(needs) {
    if (this.#queued?.needs === needs) this.#queued = null;
  }

  /**
   * @param {Need[]} needs @param {string | null} token @param {boolean} isAgain
   * @returns {Promise<Failure | undefined>}
   */
  async #run(needs, token, isAgain) {
    this.#begun(needs);
    if (this.isClosed) return;
    let failure;
    try {
      if (!isAgain && !(await this.#isNeeded(needs))) return;
      this.#schedule.stop();
      this.#standing.isSyncing = true;
      this.#tabs.tell({ kind: "syncing" });
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
    if (this.isClosed) return;
    if (!failure) {
      this.#succeeded();
      return this.#tellStatus({ problem: null, retryAt: null });
    }
    const failures = await this.#failures(failure);
    const isTooMuch = failures >= this.#options.maxFailures;
    const isLasting = isTooMuch || !isPassing(failure);
    const { code, diffId, minSchema } = failure;
    const message = isTooMuch ? `It has failed ${failures} times in a row. ${failure.message}` : failure.message;
    const lasting = isLasting || !isUnreached(failure);
    const wait = this.#schedule.failed({
      isLasting: isLasting && !failure.isPassing,
      retryAfter: isPassing(failure) ? failure.retryAfter : undefined,
    });
    await this.#tellStatus({
      problem: { code, message, ...(diffId && { diffId }), ...(minSchema && { minSchema }), lasting },
      retryAt: this.#options.now() + wait,
    });
  }

  /**
   * Counts failures in a row in which something answered. A missing network does not count.
   * @param {Failure} failure
   */
  async #failures(failure) {
    if (!failure.heard || !isUnreached(failure)) return 0;
    const count = this.#store.write(async (tx) => {
      const state = await stateOf(tx);
      await tx.put("meta", { ...state, failures: state.failures + 1 });
      return state.failures + 1;
    });
    return count.catch(() => 0);
  }

  // ---------------------------------------------------------------------------------- telling

  /** @param {Partial<Status>} change */
  async #tellStatus(change) {
    this.#tabs.tell({ kind: "status", change, retryIn: this.#schedule.retryIn });
    await this.#standing.refresh(change);
  }

  /** Handles a message of another tab. @param {any} message */
  #hear(message) {
    if (message.kind === "change") {
      this.#events.dispatchEvent(new CustomEvent("change", { detail: { models: message.models } }));
      void this.#standing.refresh({});
      if (this.status.retryAt === null) this.#schedule.soon(this.#options.debounce + SECOND_TO_ACT);
    } else if (message.kind === "status") {
      void this.#standing.refresh(message.change);
      if (message.change.problem === null) this.#succeeded();
      if (message.retryIn) this.#schedule.follow(message.retryIn + SECOND_TO_ACT);
    } else if (message.kind === "opened") {
      const { live, problem, retryAt } = this.status;
      if (live || problem) {
        this.#tabs.tell({ kind: "status", change: { live, problem, retryAt }, retryIn: this.#schedule.retryIn });
      }
    } else if (message.kind === "traffic") {
      this.#events.dispatchEvent(new CustomEvent("traffic", { detail: message.detail }));
    } else if (message.kind === "syncing") {
      this.#standing.isSyncing = true;
      void this.#standing.refresh({});
      // The sync is over when the lock is free, even if that tab has been closed.
      const over = async () => {
        this.#standing.isSyncing = false;
        await this.#standing.refresh({});
      };
      this.#tabs.alone("sync", over).catch(() => {});
    }
  }

  /** @param {any} detail */
  #traffic(detail) {
    const told = { at: this.#options.now(), ...detail };
    this.#tabs.tell({ kind: "traffic", detail: told });
    this.#events.dispatchEvent(new CustomEvent("traffic", { detail: told }));
  }
}

/** @param {any} error @returns {Failure} */
function failureOf(error) {
  const { code, message, isPassing } = /** @type {any} */ (MobyncError.of(error));
  // A missing token despite a network counts like a failure of the server.
  return { code, message, isPassing, heard: code === "no_token" && isOnline() };
}
