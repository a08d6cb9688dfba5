/**
 * Offline-first sync for the browser: a client of the Mobync protocol (see PROTOCOL.md).
 *
 * Changes are made in a local database at once, with or without a network, and exchanged with the
 * server when there is one. No dependencies and no build step; it runs in Node too, with
 * `memoryStore()`.
 *
 * ```js
 * import { Mobync } from "./mobync.js";
 *
 * const mobync = await Mobync.open({
 *   name: "todo-ada",                              // one local database for each user
 *   url: "/sync",
 *   live: "/sync/live",                            // if the server has it
 *   models: { tasks: { done: false } },            // the defaults of the server's columns
 *   token: async () => localStorage.token,
 * });
 * mobync.subscribe("tasks", ({ records, pending }) => draw(records, pending));
 * mobync.addEventListener("status", () => show(mobync.status));
 *
 * const task = await mobync.create("tasks", { name: "Milk" });
 * await mobync.update("tasks", task.id, { done: true });
 * ```
 *
 * Values are JSON. Integers beyond 2^53 are beyond JavaScript: keep such values in strings.
 *
 * The sections below: types, errors, settling, stores, the client, small tools.
 *
 * @module mobync
 */

// ---------------------------------------------------------------------------------------- types

/**
 * A change on its way, as the protocol has it.
 * @typedef {object} Diff
 * @property {string} id
 * @property {string} owner
 * @property {number} logical_clock
 * @property {number} utc_timestamp  milliseconds since 1970
 * @property {"create" | "update" | "delete"} type
 * @property {string} model
 * @property {string} json_data
 */

/** @typedef {{ id: string } & Record<string, any>} Row  One object of a model. */

/**
 * A change that the server has not acknowledged; seq is its place in the order made.
 * @typedef {{ seq: number, model: string, id: string, diff: Diff }} Pending
 */

/**
 * A change that the server has refused, and that is undone here. `fields` is what it wanted: of a
 * create also what was changed of the object afterwards.
 * @typedef {object} Refused
 * @property {string} id  of the diff
 * @property {Diff} diff
 * @property {string} code  forbidden, invalid_value or constraint
 * @property {string} message  a sentence for the person
 * @property {Record<string, any>} fields
 * @property {number} at  when it was heard of
 */

/**
 * What keeps the client from syncing until somebody acts: a code of the protocol, `no_answer`,
 * `storage_full` or `storage_failed`, and a sentence.
 * @typedef {{ code: string, message: string, diffId?: string }} Problem
 */

/**
 * How it stands.
 * @typedef {object} Status
 * @property {"offline" | "syncing" | "stopped" | "waiting" | "saved"} state  in one word; `offline` is
 *   tried again by itself, `stopped` needs somebody
 * @property {number} pending  changes that the server has not acknowledged
 * @property {number} refused  changes that it has refused and nobody has looked after
 * @property {Problem | null} problem
 * @property {number} clock
 * @property {number | null} syncedAt  when the last sync went well
 * @property {number | null} retryAt  when the next one is tried, if one failed
 * @property {boolean} live  whether this database hears of news at once
 */

/**
 * What {@link Mobync.open} takes.
 * @typedef {object} Options
 * @property {string} [name]  the local database; one for each user and server
 * @property {string} url  where to sync
 * @property {string} [live]  where the stream of live updates is
 * @property {Record<string, Record<string, any>>} models  each model with its columns' defaults
 * @property {(ask: { rejected: boolean }) => string | Promise<string>} token  the token; asked anew,
 *   with `rejected`, when the server did not take it
 * @property {Store} [store]  instead of IndexedDB
 * @property {typeof globalThis.fetch} [fetch]
 * @property {() => number} [now]
 * @property {boolean} [automatic]  sync by itself; true unless set
 * @property {number} [maxDiffs]  the most diffs in one request; 500 unless set
 * @property {number} [maxBytes]  about the most bytes in one request; 512 KiB unless set
 * @property {number} [debounce]  milliseconds from a change to its sync; 250 unless set
 * @property {number} [firstWait]  milliseconds to wait after the first failure; 1,000 unless set
 * @property {number} [timeout]  milliseconds after which there is no answer; 30,000 unless set
 * @property {number} [silence]  milliseconds after which a silent live stream is dead; 45,000 unless set
 */

// --------------------------------------------------------------------------------------- errors

/** Why a change could not be made: `exists`, `not_there`, `unknown_model`, `storage_full`, … */
export class MobyncError extends Error {
  /** @param {string} code @param {string} message @param {unknown} [cause] */
  constructor(code, message, cause) {
    super(message, { cause });
    this.name = "MobyncError";
    this.code = code;
  }

  /** @param {any} error */
  static of(error) {
    if (error instanceof MobyncError) return error;
    if (error?.name === "QuotaExceededError") {
      return new MobyncError("storage_full", "This device has no room left; nothing was changed.", error);
    }
    return new MobyncError("storage_failed", `The local database failed: ${error?.message ?? error}`, error);
  }
}

// ------------------------------------------------------------------------------------- settling

/**
 * Settles one diff of an answer with the changes of its object that were not in the request: the
 * protocol's table "Changes in flight". A delete wins; of two values that of the greater time, on a
 * tie the pending one.
 *
 * @param {Row | undefined} row  the object as it is here, with the pending changes in it
 * @param {Pending[]} left  the object's pending changes, in the order made
 * @param {Diff} diff  what the answer brings
 * @param {Record<string, any>} defaults  of the model's columns
 * @returns {{ row: Row | undefined, left: Pending[] }}  what both become
 */
export function settle(row, left, diff, defaults = {}) {
  const data = JSON.parse(diff.json_data);
  const is = (/** @type {string} */ type) => (/** @type {Pending} */ entry) => entry.diff.type === type;

  if (diff.type === "delete") {
    const made = left.findIndex(is("create"));
    return made < 0 ? { row: undefined, left: [] } : { row, left: left.slice(made) };
  }
  if (diff.type === "update") {
    if (left.some(is("delete")) || !row) return { row, left };
    const [won, rest] = meet(data, left, diff.utc_timestamp);
    return { row: { ...row, ...won }, left: rest };
  }
  while (left.length > 0 && is("create")(left[0]) && left.some(is("delete"))) {
    // Made and deleted before anybody heard of it.
    left = left.slice(left.findIndex(is("delete")) + 1);
  }
  if (left.some(is("delete"))) return { row, left };
  const [, rest] = meet(data, left, diff.utc_timestamp);
  // The object is there now: what is left of our own create is a change of it.
  rest.forEach((entry, place) => {
    if (is("create")(entry)) rest[place] = { ...entry, diff: { ...entry.diff, type: "update" } };
  });
  const ours = rest.map((entry) => JSON.parse(entry.diff.json_data));
  return { row: ours.reduce((made, own) => ({ ...made, ...own }), { ...defaults, ...data }), left: rest };
}

/**
 * Which values of the answer win, and the pending changes without the values that lose.
 * @param {Row} data
 * @param {Pending[]} left
 * @param {number} time
 * @returns {[Record<string, any>, Pending[]]}
 */
function meet(data, left, time) {
  /** @type {Map<string, number>} */
  const written = new Map();
  let last = -Infinity;
  for (const { diff } of left) {
    // The server gives the changes of one object growing times.
    last = Math.max(diff.utc_timestamp, last + 1);
    for (const field of Object.keys(JSON.parse(diff.json_data))) written.set(field, last);
  }
  const wins = (/** @type {string} */ field) => field !== "id" && time > (written.get(field) ?? -Infinity);
  const won = Object.fromEntries(Object.entries(data).filter(([field]) => wins(field)));
  const rest = left.flatMap((entry) => {
    const fields = Object.entries(JSON.parse(entry.diff.json_data));
    const kept = fields.filter(([field]) => !Object.hasOwn(won, field));
    if (kept.length === fields.length) return [entry];
    if (kept.length === 1) return []; // the id alone
    return [{ ...entry, diff: { ...entry.diff, json_data: JSON.stringify(Object.fromEntries(kept)) } }];
  });
  return [won, rest];
}

// --------------------------------------------------------------------------------------- stores

/**
 * A local database with transactions. `objects` has {model, id, row}; `pending` and `refused` have
 * those types; `meta` has whatever else, by `key`.
 * @typedef {object} Store
 * @property {string} name
 * @property {<T>(work: (tx: Tx) => Promise<T>) => Promise<T>} read
 * @property {<T>(work: (tx: Tx) => Promise<T>, durable?: boolean) => Promise<T>} write  all or
 *   nothing, one after another; `durable` survives a loss of power
 * @property {() => void} close
 */

/** @typedef {"objects" | "pending" | "refused" | "meta"} Table */

/**
 * A transaction. `work` may await nothing but its methods.
 * @typedef {object} Tx
 * @property {(table: Table, key: any) => Promise<any>} get
 * @property {(table: Table, model?: string, id?: string) => Promise<any[]>} all  in order of their keys
 * @property {(table: Table, count: number) => Promise<any[]>} first
 * @property {(table: Table) => Promise<number>} count
 * @property {(table: Table, value: any) => Promise<void>} put  a pending change without seq gets the next
 * @property {(table: Table, key: any) => Promise<void>} delete
 */

/**
 * The store of browsers.
 * @param {string} name
 * @returns {Promise<Store>}
 */
export async function indexedDBStore(name) {
  const opening = indexedDB.open(`mobync:${name}`, 1);
  opening.onupgradeneeded = () => {
    const made = opening.result;
    made.createObjectStore("objects", { keyPath: ["model", "id"] });
    made.createObjectStore("pending", { keyPath: "seq", autoIncrement: true }).createIndex("object", ["model", "id"]);
    made.createObjectStore("refused", { keyPath: "id" });
    made.createObjectStore("meta", { keyPath: "key" });
  };
  const db = await done(opening);
  db.onversionchange = () => db.close();

  /** @param {"readonly" | "readwrite"} mode @param {boolean} durable */
  const begin = (mode, durable) => {
    try {
      const durability = durable ? "strict" : "relaxed";
      return db.transaction(["objects", "pending", "refused", "meta"], mode, { durability });
    } catch (error) {
      throw MobyncError.of(error); // it is closed
    }
  };

  /** @param {"readonly" | "readwrite"} mode @param {(tx: Tx) => Promise<any>} work @param {boolean} durable */
  const transact = async (mode, work, durable) => {
    const tx = begin(mode, durable);
    const ended = new Promise((resolve, reject) => {
      tx.oncomplete = resolve;
      tx.onabort = () => reject(tx.error ?? new DOMException("The transaction was aborted.", "AbortError"));
    });
    ended.catch(() => {}); // whoever awaits it below hears of it
    /** @param {Table} table @param {string} [model] @param {string} [id] */
    const find = (table, model, id) => {
      const store = tx.objectStore(table);
      if (model === undefined) return store.getAll();
      const range = id === undefined ? IDBKeyRange.bound([model], [model, []]) : IDBKeyRange.only([model, id]);
      return (table === "pending" ? store.index("object") : store).getAll(range);
    };
    try {
      const result = await work({
        get: (table, key) => done(tx.objectStore(table).get(key)),
        all: (table, model, id) => done(find(table, model, id)),
        first: (table, count) => done(tx.objectStore(table).getAll(null, count)),
        count: (table) => done(tx.objectStore(table).count()),
        put: async (table, value) => void (await done(tx.objectStore(table).put(value))),
        delete: (table, key) => done(tx.objectStore(table).delete(key)),
      });
      await ended;
      return result;
    } catch (error) {
      try {
        tx.abort();
      } catch {
        // It has ended already.
      }
      throw MobyncError.of(error);
    }
  };
  return {
    name,
    read: (work) => transact("readonly", work, false),
    write: (work, durable = false) => transact("readwrite", work, durable),
    close: () => db.close(),
  };
}

/**
 * A store that is gone with the page: for tests. Clients that share one are like tabs of one browser.
 * @param {string} [name]
 * @returns {Store}
 */
export function memoryStore(name = `memory-${uuid()}`) {
  let seq = 0;
  let turn = Promise.resolve();
  /** @type {Record<Table, Map<string, any>>} */
  let tables = { objects: new Map(), pending: new Map(), refused: new Map(), meta: new Map() };
  const keys = {
    objects: (/** @type {any} */ value) => [value.model, value.id],
    pending: (/** @type {any} */ value) => value.seq,
    refused: (/** @type {any} */ value) => value.id,
    meta: (/** @type {any} */ value) => value.key,
  };
  const copy = (/** @type {any} */ value) => structuredClone(value);
  const sorted = (/** @type {Table} */ table) =>
    [...tables[table].values()].sort((a, b) => compare(keys[table](a), keys[table](b)));
  /** @type {Tx} */
  const tx = {
    get: async (table, key) => copy(tables[table].get(JSON.stringify(key))),
    all: async (table, model, id) =>
      copy(sorted(table).filter((value) => (model ?? value.model) === value.model && (id ?? value.id) === value.id)),
    first: async (table, count) => copy(sorted(table).slice(0, count)),
    count: async (table) => tables[table].size,
    put: async (table, value) => {
      const kept = copy(value);
      if (table === "pending") kept.seq ??= ++seq;
      tables[table].set(JSON.stringify(keys[table](kept)), kept);
    },
    delete: async (table, key) => void tables[table].delete(JSON.stringify(key)),
  };
  /** @param {(tx: Tx) => Promise<any>} work */
  const transact = (work) => {
    const result = turn.then(async () => {
      const before = Object.fromEntries(Object.entries(tables).map(([table, values]) => [table, new Map(values)]));
      try {
        return await work(tx);
      } catch (error) {
        tables = /** @type {typeof tables} */ (before);
        throw MobyncError.of(error);
      }
    });
    turn = result.then(
      () => {},
      () => {},
    );
    return result;
  };
  return { name, read: transact, write: transact, close: () => {} };
}

// --------------------------------------------------------------------------------------- client

/**
 * What a device knows of its server: its clock, the seq of the last change that was in a request
 * without an answer, when a sync last went well, and objects (model, id) to be deleted if they come back.
 * @typedef {{ key: "state", clock: number, unanswered: number, syncedAt: number | null, deleted: [string, string][] }} State
 */

/** @type {State} */
const NEW_DEVICE = { key: "state", clock: 0, unanswered: 0, syncedAt: null, deleted: [] };

/** Failures after which the same request may go better by itself. */
const UNREACHED = new Set(["no_answer", "internal", "busy", "invalid_request"]);
const PASSING = new Set([...UNREACHED, "storage_full", "storage_failed"]);

const isLasting = (/** @type {Problem | null} */ problem) => problem !== null && !PASSING.has(problem.code);

const LONGEST_WAIT = 5 * 60 * 1000;

/** A second live connection that is late is no loss, and its success is an occasion to sync. */
const LONGEST_LIVE_WAIT = 30 * 1000;

/** The longest that a timer can be. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** By how many milliseconds, as the clock of the day sees it. */
const TIMERS_ARE_EARLY = 20;

/** How much longer than another tab this one waits, so that it only does what is left undone. */
const SECOND_TO_ACT = 1500;

/**
 * A local database that syncs.
 *
 * Events: `change` (detail: `{ models }`) when objects have changed, here, by a sync or in another
 * tab; `status` when {@link Mobync#status} has; `traffic` (detail: `{ direction, at, clock, diffs,
 * refused, problem }`) for whoever wants to watch the protocol.
 */
export class Mobync extends EventTarget {
  #options;
  #store;
  #channel;
  #closing = new AbortController();
  /** @type {{ needs: Need[], result: Promise<Status> } | null} */
  #queued = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #timerAt = Infinity;
  #wait;
  #notBefore = 0;
  #limit;
  /** @type {Status} */
  #status = {
    state: "saved",
    pending: 0,
    refused: 0,
    problem: null,
    clock: 0,
    syncedAt: null,
    retryAt: null,
    live: false,
  };
  #syncing = false;

  /** @typedef {(state: State, pending: number) => boolean} Need  Whether a sync is still needed. */

  /**
   * Opens the local database, and begins to sync.
   * @param {Options} options
   * @returns {Promise<Mobync>}
   */
  static async open(options) {
    const store = options.store ?? (await indexedDBStore(options.name ?? "default"));
    const mobync = new Mobync(options, store);
    await store.read(stateOf); // whether it can be read at all
    await mobync.#refresh({});
    if (options.automatic ?? true) mobync.#begin();
    return mobync;
  }

  /** Use {@link Mobync.open}. @param {Options} options @param {Store} store */
  constructor(options, store) {
    super();
    this.#options = {
      fetch: globalThis.fetch.bind(globalThis),
      now: Date.now,
      maxDiffs: 500,
      maxBytes: 512 * 1024,
      debounce: 250,
      firstWait: 1000,
      timeout: 30_000,
      silence: 45_000,
      ...options,
    };
    this.#store = store;
    this.#wait = this.#options.firstWait;
    this.#limit = this.#options.maxDiffs;
    this.#channel = new BroadcastChannel(`mobync:${store.name}`);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    /** @type {any} */ (this.#channel).unref?.();
  }

  /** How it stands. @returns {Status} */
  get status() {
    return this.#status;
  }

  // ------------------------------------------------------------------------ reading and writing

  /**
   * The objects of a model by their ids, or the one of that id.
   * @param {string} model
   * @param {string} [id]
   * @returns {Promise<any>}  rows; or a row, undefined if it is not there
   */
  async read(model, id) {
    this.#defaults(model);
    const found = await this.#store.read((tx) => tx.all("objects", model, id));
    return id === undefined ? found.map(({ row }) => row) : found[0]?.row;
  }

  /**
   * Calls the listener now and after each change of the model.
   * @param {string} model
   * @param {(view: { records: Row[], pending: Set<string> }) => void} listener  gets the objects, and
   *   the ids of those with changes that the server has not acknowledged
   * @returns {() => void}  ends it
   */
  subscribe(model, listener) {
    this.#defaults(model);
    let [wanted, busy, over] = [true, false, false];
    const view = async () => {
      wanted = true;
      if (busy) return;
      busy = true;
      try {
        while (wanted && !over) {
          wanted = false;
          const [objects, waiting] = await this.#store.read(async (tx) => [
            await tx.all("objects", model),
            await tx.all("pending", model),
          ]);
          const pending = new Set(waiting.map(({ id }) => id));
          if (!over) listener({ records: objects.map(({ row }) => row), pending });
        }
      } catch (error) {
        if (!this.#closing.signal.aborted) console.error(error);
      } finally {
        busy = false;
      }
    };
    const heard = (/** @type {any} */ event) => event.detail.models.includes(model) && void view();
    this.addEventListener("change", heard);
    void view();
    return () => {
      over = true;
      this.removeEventListener("change", heard);
    };
  }

  /**
   * Makes an object, under a new id unless one is given.
   * @param {string} model
   * @param {Record<string, any>} fields
   * @returns {Promise<Row>}
   */
  create(model, fields) {
    return this.change((change) => change.create(model, fields));
  }

  /**
   * Changes fields of an object.
   * @param {string} model
   * @param {string} id
   * @param {Record<string, any>} fields
   * @returns {Promise<Row>}
   */
  update(model, id, fields) {
    return this.change((change) => change.update(model, id, fields));
  }

  /**
   * Deletes an object.
   * @param {string} model
   * @param {string} id
   * @returns {Promise<Row>}  what it was
   */
  delete(model, id) {
    return this.change((change) => change.delete(model, id));
  }

  /**
   * Makes several changes, all of them or (if `work` throws) none. It may await nothing else.
   * @template T
   * @param {(change: Changes) => Promise<T>} work
   * @returns {Promise<T>}
   */
  change(work) {
    return this.#change((tx, changes) => work(changes));
  }

  /** @param {(tx: Tx, changes: Changes) => Promise<any>} work */
  async #change(work) {
    /** @type {Set<string>} */
    const models = new Set();
    const result = await this.#store.write(async (tx) => {
      models.clear();
      return work(tx, new Changes(tx, this.#options, models));
    }, true);
    this.#tell({ kind: "change", models: [...models] });
    await this.#refresh({});
    this.#changed(this.#options.debounce);
    return result;
  }

  /** @param {string} model */
  #defaults(model) {
    return defaultsOf(this.#options, model);
  }

  // ------------------------------------------------------------------------------------ refused

  /** The refused changes that nobody has looked after, oldest first. @returns {Promise<Refused[]>} */
  async refused() {
    const refused = await this.#store.read((tx) => tx.all("refused"));
    return refused.sort((a, b) => a.at - b.at);
  }

  /**
   * Makes a refused change again, with these fields different.
   * @param {string} diffId
   * @param {Record<string, any>} [fields]
   */
  async mend(diffId, fields = {}) {
    await this.#change(async (tx, changes) => {
      /** @type {Refused | undefined} */
      const refused = await tx.get("refused", diffId);
      if (!refused) throw new MobyncError("not_there", "This change has been looked after already.");
      const { type, model } = refused.diff;
      const { id, ...wanted } = { ...refused.fields, ...fields };
      const isThere = (await tx.get("objects", [model, id])) !== undefined;
      await tx.delete("refused", diffId);
      if (type === "delete") await changes.delete(model, id);
      else if (type === "create" && !isThere) await changes.create(model, { id, ...wanted });
      else await changes.update(model, id, wanted);
    });
  }

  /** Lets a refused change go. @param {string} diffId */
  async dismiss(diffId) {
    await this.#store.write((tx) => tx.delete("refused", diffId), true);
    this.#tell({ kind: "change", models: [] });
    await this.#refresh({});
  }

  // ------------------------------------------------------------------------------------ syncing

  /**
   * Syncs now. It does not throw: what went wrong is the status's problem.
   * @returns {Promise<Status>}
   */
  sync() {
    this.#notBefore = 0;
    return this.#enqueue(() => true);
  }

  /**
   * For a person who has said, at the problem `clock_ahead`, that it is the right server and was
   * restored from a backup: gives it all that this device has, and takes what it has. The database
   * as it was before is kept as `backup` in the table `meta`.
   * @returns {Promise<Status>}
   */
  async resend() {
    await this.#locked("sync", () =>
      this.#store.write(async (tx) => {
        const state = await stateOf(tx);
        /** @type {Pending[]} */
        const pending = await tx.all("pending");
        const objects = await tx.all("objects");
        await tx.put("meta", { key: "backup", at: this.#options.now(), state, pending, objects });

        const object = (/** @type {{ model: string, id: string }} */ { model, id }) => JSON.stringify([model, id]);
        const deleted = new Map(
          pending.filter(({ diff }) => diff.type === "delete").map((entry) => [object(entry), entry]),
        );
        const left = pending.filter((entry) => entry.seq > (deleted.get(object(entry))?.seq ?? -1));
        const begun = new Set(left.filter(({ diff }) => diff.type === "create").map(object));
        const there = new Set(objects.map(object));
        for (const { seq } of pending) await tx.delete("pending", seq);
        for (const { model, id, row } of objects.filter((value) => !begun.has(object(value)))) {
          const diff = { ...newDiff("create", model, row), utc_timestamp: state.syncedAt ?? 0 };
          await tx.put("pending", { model, id, diff });
        }
        for (const { seq, ...entry } of left) await tx.put("pending", entry);
        const gone = [...deleted].filter(([key]) => !there.has(key)).map(([, { model, id }]) => [model, id]);
        await tx.put("meta", { ...NEW_DEVICE, syncedAt: state.syncedAt, deleted: gone });
      }, true),
    );
    return this.sync();
  }

  /** Ends syncing and listening; what is pending is sent when it is opened again. */
  async close() {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await this.#queued?.result;
    await this.#locked("sync", async () => {});
    this.#channel.close();
    this.#store.close();
  }

  /** Syncs whenever there is an occasion. */
  #begin() {
    const { signal } = this.#closing;
    this.#tell({ kind: "opened" });
    const occasion = () => {
      void this.#refresh({});
      this.#wait = this.#options.firstWait;
      this.#soon(0);
    };
    globalThis.addEventListener?.("online", occasion, { signal });
    globalThis.addEventListener?.("offline", () => void this.#refresh({}), { signal });
    globalThis.document?.addEventListener(
      "visibilitychange",
      () => {
        if (document.visibilityState === "visible") occasion();
      },
      { signal },
    );
    this.#soon(0);
    if (this.#options.live) void this.#listen(this.#options.live);
  }

  /**
   * Syncs what has changed, unless the next try has its time already or waits for somebody to act.
   * @param {number} delay
   */
  #changed(delay) {
    if (this.#status.retryAt === null && !isLasting(this.#status.problem)) this.#soon(delay);
  }

  /**
   * Syncs after that many milliseconds; later if the server has asked for it, sooner if it is due.
   * @param {number} delay
   */
  #soon(delay) {
    if (!(this.#options.automatic ?? true) || this.#closing.signal.aborted) return;
    const at = Math.max(this.#options.now() + delay, this.#notBefore);
    if (at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timerAt = Infinity;
      const isDue = () => delay === 0 || this.#options.now() + TIMERS_ARE_EARLY >= (this.#status.retryAt ?? 0);
      if (isOnline())
        void this.#enqueue((_, pending) => isDue() && (delay === 0 || pending > 0 || this.#status.problem !== null));
    }, at - this.#options.now());
    /** @type {any} */ (this.#timer).unref?.();
  }

  /** One sync at a time, and one at most behind it. @param {Need} need */
  #enqueue(need) {
    if (this.#queued) {
      this.#queued.needs.push(need);
      return this.#queued.result;
    }
    const needs = [need];
    const result = this.#locked("sync", async () => {
      this.#queued = null;
      if (!this.#closing.signal.aborted) await this.#run(needs);
      return this.#status;
    });
    this.#queued = { needs, result };
    return result;
  }

  /** @param {Need[]} needs */
  async #run(needs) {
    try {
      const [state, pending] = await this.#store.read(async (tx) => [await stateOf(tx), await tx.count("pending")]);
      if (!needs.some((need) => need(state, pending))) return;
      clearTimeout(this.#timer);
      this.#timerAt = Infinity;
      this.#syncing = true;
      this.#tell({ kind: "syncing" });
      await this.#refresh({});
      let problem;
      do {
        problem = await this.#exchange(false);
      } while (problem === "again");
      this.#syncing = false;
      await this.#settleRun(problem);
    } catch (error) {
      this.#syncing = false;
      await this.#settleRun(MobyncError.of(error));
    }
  }

  /** @param {Problem & { retryAfter?: number } | null} problem */
  async #settleRun(problem) {
    if (this.#closing.signal.aborted) return;
    let retryAt = null;
    if (!problem) {
      this.#wait = this.#options.firstWait;
      this.#notBefore = 0;
    } else if (!isLasting(problem)) {
      const wait = problem.retryAfter ?? this.#wait * (0.5 + Math.random());
      retryAt = this.#options.now() + wait;
      this.#notBefore = problem.retryAfter ? retryAt : 0;
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
      this.#soon(wait);
    }
    const { code, message, diffId } = problem ?? {};
    const told = problem && { code: String(code), message: String(message), ...(diffId && { diffId }) };
    const change = { problem: told, retryAt };
    this.#tell({ kind: "status", change });
    await this.#refresh(change);
  }

  /**
   * One request and its answer.
   * @param {boolean} rejected  whether the server did not take the token just now
   * @returns {Promise<(Problem & { retryAfter?: number }) | "again" | null>}
   */
  async #exchange(rejected) {
    const { state, sent } = await this.#store.write(async (tx) => {
      const state = await stateOf(tx);
      const sent = await this.#cut(tx, state);
      const last = sent.at(-1)?.seq ?? 0;
      // Written before it is sent: whoever goes on after a crash must send no fewer.
      if (last > state.unanswered) await tx.put("meta", { ...state, unanswered: last });
      return { state, sent };
    });
    const diffs = sent.map(({ diff }) => diff);
    this.#traffic({ direction: "up", clock: state.clock, diffs });
    const answer = await this.#post(JSON.stringify({ logical_clock: state.clock, diffs }), rejected);

    if (answer.success) {
      this.#traffic({ direction: "down", clock: answer.logical_clock, diffs: answer.diffs, refused: answer.refused });
      return (await this.#apply(state, sent, answer)) ? "again" : null;
    }
    this.#traffic({ direction: "down", clock: state.clock, diffs: [], problem: answer });
    // Of a server that failed nobody knows how far it had come.
    if (answer.code === "no_answer" || answer.status >= 500) return answer;
    // Any other failure is an answer, too: nothing of this request was done.
    await this.#store.write(async (tx) => {
      const now = await stateOf(tx);
      if (now.clock === state.clock) await tx.put("meta", { ...now, unanswered: state.unanswered });
    });
    if (answer.code === "unauthenticated" && !rejected) return this.#exchange(true);
    if (
      answer.code === "payload_too_large" &&
      sent.filter(({ seq }) => seq > state.unanswered).length > 0 &&
      sent.length > 1
    ) {
      this.#limit = Math.floor(sent.length / 2);
      return "again";
    }
    if (answer.code === "payload_too_large" && sent.length === 1) return { ...answer, diffId: diffs[0].id };
    return answer;
  }

  /**
   * The first of the pending changes, as many as fit; all that a request without an answer had.
   * @param {Tx} tx @param {State} state
   * @returns {Promise<Pending[]>}
   */
  async #cut(tx, { unanswered }) {
    let sent = await tx.first("pending", this.#limit);
    if (sent.length > 0 && sent[sent.length - 1].seq < unanswered) {
      sent = (await tx.all("pending")).filter(({ seq }) => seq <= unanswered);
    }
    let bytes = 0;
    const over = sent.findIndex(({ seq, diff }, place) => {
      bytes += JSON.stringify(diff).length;
      return bytes > this.#options.maxBytes && place > 0 && seq > unanswered;
    });
    return over < 0 ? sent : sent.slice(0, over);
  }

  /**
   * Applies an answer in one transaction.
   * @param {State} asked @param {Pending[]} sent @param {any} answer
   * @returns {Promise<boolean>}  whether there is more to send
   */
  async #apply(asked, sent, answer) {
    /** @type {Set<string>} */
    const models = new Set();
    const more = await this.#store.write(async (tx) => {
      models.clear();
      const state = await stateOf(tx);
      // Another tab was quicker: this answer is to a question that is not asked any more.
      if (state.clock !== asked.clock) return true;

      for (const refused of answer.refused ?? []) await this.#keepRefused(tx, sent, refused);
      for (const entry of sent) {
        models.add(entry.model);
        await tx.delete("pending", entry.seq);
      }
      for (const diff of answer.diffs) {
        models.add(diff.model);
        await this.#applyDiff(tx, diff);
      }
      await tx.put("meta", {
        ...NEW_DEVICE,
        clock: answer.logical_clock,
        syncedAt: this.#options.now(),
      });
      const changes = new Changes(tx, this.#options, models);
      for (const [model, id] of state.deleted) {
        if (await tx.get("objects", [model, id])) await changes.delete(model, id);
      }
      return (await tx.count("pending")) > 0;
    });
    this.#tell({ kind: "change", models: [...models] });
    await this.#refresh({ problem: null, retryAt: null });
    return more;
  }

  /** @param {Tx} tx @param {Diff} diff */
  async #applyDiff(tx, diff) {
    const { model } = diff;
    const { id } = JSON.parse(diff.json_data);
    /** @type {Pending[]} */
    const left = await tx.all("pending", model, id);
    const before = (await tx.get("objects", [model, id]))?.row;
    const after = settle(before, left, diff, this.#options.models[model]);
    if (after.row) await tx.put("objects", { model, id, row: after.row });
    else await tx.delete("objects", [model, id]);
    const kept = new Map(after.left.map((entry) => [entry.seq, entry]));
    for (const entry of left) {
      const now = kept.get(entry.seq);
      if (!now) await tx.delete("pending", entry.seq);
      else if (now !== entry) await tx.put("pending", now);
    }
  }

  /** @param {Tx} tx @param {Pending[]} sent @param {{ diff_id: string, code: string, message: string }} refused */
  async #keepRefused(tx, sent, { diff_id, code, message }) {
    const place = sent.findIndex(({ diff }) => diff.id === diff_id);
    if (place < 0) return;
    const { diff, model, id, seq } = sent[place];
    let fields = JSON.parse(diff.json_data);
    if (diff.type === "create") {
      // What was done to the object goes with it; whoever mends the create wants that, too.
      for (const later of await tx.all("pending", model, id)) {
        if (later.seq <= seq) continue;
        if (later.diff.type !== "update") break;
        fields = { ...fields, ...JSON.parse(later.diff.json_data) };
      }
    }
    await tx.put("refused", { id: diff_id, diff, code, message, fields, at: this.#options.now() });
  }

  /**
   * @param {string} body @param {boolean} rejected
   * @returns {Promise<any>}  an answer; or a problem, with `retryAfter` in milliseconds where one is told
   */
  async #post(body, rejected) {
    const patience = this.#patience(this.#options.timeout);
    try {
      const headers = { "Content-Type": "application/json", ...(await this.#authorization(rejected)) };
      patience.renew(); // a person may have been asked
      const { fetch, url } = this.#options;
      const response = await fetch(url, { method: "POST", headers, body, cache: "no-store", signal: patience.signal });
      const answer = parse(await response.text());
      const isAnswer =
        answer?.success === true &&
        Number.isSafeInteger(answer.logical_clock) &&
        Array.isArray(answer.diffs) &&
        answer.diffs.every(isDiff);
      if (response.status === 200 && isAnswer) return answer;
      const retryAfter = readRetryAfter(response.headers.get("Retry-After"), this.#options.now());
      if (!response.ok && answer?.success === false && typeof answer.code === "string") {
        const { code, message, diff_id: diffId } = answer;
        return { code, message: String(message), diffId, status: response.status, retryAfter };
      }
      return { code: "no_answer", message: `The server could not be reached (${response.status}).`, retryAfter };
    } catch (error) {
      if (error instanceof TokenError) return { code: "unauthenticated", message: error.message };
      return { code: "no_answer", message: "The server could not be reached." };
    } finally {
      patience.end();
    }
  }

  /** A signal that aborts that long after its last renewal, and when this is closed. @param {number} millis */
  #patience(millis) {
    const giveUp = new AbortController();
    const abort = () => giveUp.abort();
    const { signal } = this.#closing;
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    let timer = setTimeout(abort, millis);
    const renew = () => {
      clearTimeout(timer);
      timer = setTimeout(abort, millis);
    };
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    };
    return { signal: giveUp.signal, renew, end };
  }

  /** @param {boolean} rejected */
  async #authorization(rejected) {
    try {
      return { Authorization: `Bearer ${await this.#options.token({ rejected })}` };
    } catch (error) {
      throw new TokenError("There is no token: sign in again.", { cause: error });
    }
  }

  // --------------------------------------------------------------------------------------- live

  /** Listens for news; of all tabs, the one that has the lock does. @param {string} url */
  async #listen(url) {
    const { signal } = this.#closing;
    await this.#locked("live", async () => {
      let wait = this.#options.firstWait;
      let rejected = false;
      while (!signal.aborted) {
        if (!isOnline()) await sleep(LONGEST_TIMER, signal, "online");
        /** @type {number} */
        const ended = await this.#stream(url, rejected).catch(() => 0);
        if (signal.aborted) return;
        this.#tell({ kind: "status", change: { live: false } });
        await this.#refresh({ live: false });
        if (ended === 404 || ended === 405) return;
        // No connection: a sync finds out how it stands.
        if (ended === 0 && this.#status.problem === null) this.#soon(0);
        const isRefused = ended === 403 || (ended === 401 && rejected);
        rejected = ended === 401;
        wait = isRefused
          ? LONGEST_WAIT
          : ended === 200
            ? this.#options.firstWait
            : Math.min(wait * 2, LONGEST_LIVE_WAIT);
        await sleep(wait * Math.random(), signal, "online");
      }
    });
  }

  /**
   * Reads one stream to its end.
   * @param {string} url @param {boolean} rejected
   * @returns {Promise<number>}  the status that it had
   */
  async #stream(url, rejected) {
    const patience = this.#patience(this.#options.silence);
    try {
      const headers = { Accept: "text/event-stream", ...(await this.#authorization(rejected)) };
      patience.renew();
      const response = await this.#options.fetch(url, { headers, cache: "no-store", signal: patience.signal });
      if (response.status !== 200 || !response.body) return response.status;
      this.#tell({ kind: "status", change: { live: true } });
      await this.#refresh({ live: true });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
        if (done) return 200;
        patience.renew();
        const events = (text + value).split(/\r?\n\r?\n/);
        text = events.pop() ?? "";
        for (const event of events) {
          const clock = Number(/^event: ?clock\r?\ndata: ?(\d+)$/m.exec(event)?.[1] ?? -1);
          const hasNews = (/** @type {State} */ state, /** @type {number} */ pending) =>
            this.#options.now() >= this.#notBefore &&
            (clock > state.clock || pending > 0 || this.#status.problem !== null);
          if (clock >= 0) void this.#enqueue(hasNews);
        }
      }
    } finally {
      patience.end();
    }
  }

  // --------------------------------------------------------------------------------------- tabs

  /**
   * Does the work while no other tab does the like.
   * @template T
   * @param {string} what @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  #locked(what, work) {
    return locked(`mobync:${this.#store.name}:${what}`, work);
  }

  /** Tells the listeners here and the other tabs. @param {any} message */
  #tell(message) {
    if (!this.#closing.signal.aborted) this.#channel.postMessage(message);
    if (message.kind === "change")
      this.dispatchEvent(new CustomEvent("change", { detail: { models: message.models } }));
  }

  /** What another tab tells. @param {any} message */
  #hear(message) {
    if (message.kind === "change") {
      this.dispatchEvent(new CustomEvent("change", { detail: { models: message.models } }));
      void this.#refresh({});
      this.#changed(this.#options.debounce + SECOND_TO_ACT);
    } else if (message.kind === "status") {
      void this.#refresh(message.change);
      const { retryAt } = message.change;
      if (retryAt) this.#soon(retryAt - this.#options.now() + SECOND_TO_ACT);
    } else if (message.kind === "opened") {
      const { live, problem, retryAt } = this.#status;
      if (live || problem) this.#tell({ kind: "status", change: { live, problem, retryAt } });
    } else if (message.kind === "traffic") {
      this.dispatchEvent(new CustomEvent("traffic", { detail: message.detail }));
    } else if (message.kind === "syncing") {
      this.#syncing = true;
      void this.#refresh({});
      // Over when the lock is free again, even if that tab is gone by then.
      void this.#locked("sync", async () => {
        this.#syncing = false;
        await this.#refresh({});
      });
    }
  }

  /** @param {any} detail */
  #traffic(detail) {
    const told = { at: this.#options.now(), ...detail };
    this.#tell({ kind: "traffic", detail: told });
    this.dispatchEvent(new CustomEvent("traffic", { detail: told }));
  }

  /** Brings the status up to date. @param {Partial<Status>} change */
  async #refresh(change) {
    if (this.#closing.signal.aborted) return;
    const count = this.#store.read(async (tx) => {
      const { clock, syncedAt } = await stateOf(tx);
      return { clock, syncedAt, pending: await tx.count("pending"), refused: await tx.count("refused") };
    });
    // The local database may be what fails, and that is to be shown.
    this.#show({ ...(await count.catch(() => ({}))), ...change });
  }

  /** @param {Partial<Status>} change */
  #show(change) {
    const status = { ...this.#status, ...change };
    const { problem, pending } = status;
    if (this.#syncing) status.state = "syncing";
    else if (!isOnline() || UNREACHED.has(problem?.code ?? "")) status.state = "offline";
    else if (problem) status.state = "stopped";
    else status.state = pending > 0 ? "waiting" : "saved";
    if (JSON.stringify(status) === JSON.stringify(this.#status)) return;
    this.#status = Object.freeze(status);
    this.dispatchEvent(new Event("status"));
  }
}

/** The changes of one transaction; see {@link Mobync#change}. */
class Changes {
  #tx;
  #options;
  #models;

  /** @param {Tx} tx @param {any} options @param {Set<string>} models */
  constructor(tx, options, models) {
    this.#tx = tx;
    this.#options = options;
    this.#models = models;
  }

  /** @param {string} model @param {Record<string, any>} fields @returns {Promise<Row>} */
  async create(model, fields) {
    const defaults = defaultsOf(this.#options, model);
    const data = sendable({ ...fields, id: fields.id ?? uuid() });
    const length = typeof data.id === "string" ? new TextEncoder().encode(data.id).length : 0;
    if (length < 1 || length > 1024 || data.id.includes("\0")) {
      throw new MobyncError("invalid_value", "An id is a text of 1 to 1,024 bytes.");
    }
    if (await this.#tx.get("objects", [model, data.id])) {
      throw new MobyncError("exists", `There is an object ${data.id} in ${model} already.`);
    }
    const row = { ...defaults, ...data };
    await this.#tx.put("objects", { model, id: data.id, row });
    await this.#record("create", model, data);
    return /** @type {Row} */ (row);
  }

  /** @param {string} model @param {string} id @param {Record<string, any>} fields @returns {Promise<Row>} */
  async update(model, id, fields) {
    const before = await this.#row(model, id);
    const differs = (/** @type {[string, any]} */ [field, value]) =>
      field !== "id" && JSON.stringify(before[field]) !== JSON.stringify(value);
    const changed = Object.fromEntries(Object.entries(sendable(fields)).filter(differs));
    if (Object.keys(changed).length === 0) return before;
    const row = { ...before, ...changed };
    await this.#tx.put("objects", { model, id, row });
    await this.#record("update", model, { id, ...changed });
    return row;
  }

  /** @param {string} model @param {string} id @returns {Promise<Row>} */
  async delete(model, id) {
    const row = await this.#row(model, id);
    await this.#tx.delete("objects", [model, id]);
    await this.#record("delete", model, { id });
    return row;
  }

  /** @param {string} model @param {string} id @returns {Promise<Row>} */
  async #row(model, id) {
    defaultsOf(this.#options, model);
    const found = await this.#tx.get("objects", [model, id]);
    if (!found) throw new MobyncError("not_there", `There is no object ${id} in ${model} any more.`);
    return found.row;
  }

  /** @param {Diff["type"]} type @param {string} model @param {any} data */
  async #record(type, model, data) {
    const earlier = (await this.#tx.all("pending", model, data.id)).at(-1)?.diff.utc_timestamp ?? -1;
    const { clock } = await stateOf(this.#tx);
    const utc_timestamp = Math.max(Math.floor(this.#options.now()), earlier + 1);
    const diff = { ...newDiff(type, model, data), logical_clock: clock, utc_timestamp };
    await this.#tx.put("pending", { model, id: data.id, diff });
    this.#models.add(model);
  }
}

// ---------------------------------------------------------------------------------- small tools

class TokenError extends Error {}

/** @param {Tx} tx @returns {Promise<State>} */
const stateOf = async (tx) => ({ ...NEW_DEVICE, ...(await tx.get("meta", "state")) });

/** @param {Diff["type"]} type @param {string} model @param {any} data @returns {Diff} */
const newDiff = (type, model, data) => ({
  id: uuid(),
  owner: "",
  logical_clock: 0,
  utc_timestamp: 0,
  type,
  model,
  json_data: JSON.stringify(data),
});

/** @param {any} options @param {string} model @returns {Record<string, any>} */
function defaultsOf({ models }, model) {
  if (Object.hasOwn(models, model)) return models[model];
  throw new MobyncError("unknown_model", `There is no model ${model} here.`);
}

/** A random UUID, also where the page is not served over HTTPS. */
function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The order of IndexedDB's keys, for those that are used here. @param {any} a @param {any} b */
function compare(a, b) {
  const [left, right] = [[a].flat(), [b].flat()];
  const place = left.findIndex((part, place) => part !== right[place]);
  return place < 0 ? 0 : left[place] < right[place] ? -1 : 1;
}

/** @param {IDBRequest} request @returns {Promise<any>} */
const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** @type {Map<string, Promise<any>>} */
const turns = new Map();

/**
 * Web Locks where there are any; else turns within this page, and what is applied is checked anyway.
 * @template T
 * @param {string} name @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
function locked(name, work) {
  const locks = globalThis.navigator?.locks;
  if (locks) return /** @type {Promise<T>} */ (locks.request(name, work));
  const result = (turns.get(name) ?? Promise.resolve()).then(work);
  const turn = result
    .then(
      () => {},
      () => {},
    )
    .then(() => {
      if (turns.get(name) === turn) turns.delete(name);
    });
  turns.set(name, turn);
  return result;
}

/** Whether it is something that can be applied. @param {any} diff */
function isDiff(diff) {
  const { type, model, utc_timestamp, json_data } = diff ?? {};
  return (
    ["create", "update", "delete"].includes(type) &&
    typeof model === "string" &&
    Number.isSafeInteger(utc_timestamp) &&
    typeof parse(json_data)?.id === "string"
  );
}

/**
 * The fields as they arrive at the server, which would refuse a whole request for what no JSON can say.
 * @param {Record<string, any>} fields
 * @returns {Record<string, any>}
 */
function sendable(fields) {
  const json = JSON.stringify(fields, (_, value) => {
    if (typeof value === "string") return value.toWellFormed();
    if (Number.isInteger(value) && Math.abs(value) >= 2 ** 63 && Math.abs(value) < 1e21) {
      throw new MobyncError("invalid_value", `The number ${value} is too large.`);
    }
    return value;
  });
  return JSON.parse(json);
}

/** What a browser knows to be offline; anything else is found out by trying. */
const isOnline = () => globalThis.navigator?.onLine !== false;

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Milliseconds to wait, from seconds or a date. @param {string | null} value @param {number} now */
function readRetryAfter(value, now) {
  if (!value) return undefined;
  const wait = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - now;
  return wait > 0 ? Math.min(wait, 24 * 60 * 60 * 1000) : undefined;
}

/**
 * Waits that long, or until the event of the page or the signal.
 * @param {number} millis @param {AbortSignal} signal @param {string} event
 */
const sleep = (millis, signal, event) =>
  new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.(event, wake);
      signal.removeEventListener("abort", wake);
      resolve(undefined);
    };
    const timer = setTimeout(wake, Math.min(millis, LONGEST_TIMER));
    /** @type {any} */ (timer).unref?.();
    globalThis.addEventListener?.(event, wake);
    signal.addEventListener("abort", wake);
  });
