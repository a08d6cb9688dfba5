// The client's interface for applications.

import { refetchAll, resendAll } from "./anew.js";
import { Changes, defaultsOf } from "./changes.js";
import { filled } from "./diffs.js";
import { MobyncError } from "./errors.js";
import { complete } from "./options.js";
import { putBack } from "./overridden.js";
import { stateOf } from "./state.js";
import { indexedDBStore } from "./store-indexeddb.js";
import { Syncing } from "./syncing.js";
import { tabsOf, tellUpdated } from "./tabs.js";
import { guarded, update } from "./updating.js";

/** @typedef {import("./types.js").Difference} Difference */
/** @typedef {import("./types.js").Options} Options */
/** @typedef {import("./types.js").Overridden} Overridden */
/** @typedef {import("./types.js").Refused} Refused */
/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Status} Status */
/** @typedef {import("./types.js").Store} Store */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * A local database that syncs.
 *
 * Events: `change` (detail: `{ models }`) when objects have changed, here, by a sync or in another
 * tab; `status` when {@link Mobync#status} has; `traffic` (detail: `{ direction, at, clock, diffs,
 * refused, problem }`) to watch the protocol.
 */
export class Mobync extends EventTarget {
  #options;
  #store;
  #syncing;

  /**
   * Opens the local database, and begins to sync.
   * @param {Options} options
   * @returns {Promise<Mobync>}
   */
  static async open(options) {
    const all = complete(options);
    const { version } = all.names;
    const store = guarded(all.store ?? (await indexedDBStore(all.name ?? `for-${all.person}`, version)), version);
    try {
      const before = await store.write(async (tx) => {
        if (all.person !== undefined) await claim(tx, all.person);
        return update(tx, all);
      }, true);
      if (before < version) tellUpdated(tabsOf(store, before));
    } catch (error) {
      store.close();
      throw error;
    }
    const mobync = new Mobync(all, store);
    await mobync.#syncing.begin();
    return mobync;
  }

  /** Use {@link Mobync.open}. @param {any} options @param {Store} store */
  constructor(options, store) {
    super();
    this.#options = options;
    this.#store = store;
    this.#syncing = new Syncing(options, store, this);
  }

  /** The current status. @returns {Status} */
  get status() {
    return this.#syncing.status;
  }

  // ------------------------------------------------------------------------ reading and writing

  /**
   * The objects of a model by their ids, or the one with this id.
   * @param {string} model
   * @param {string} [id]
   * @returns {Promise<any>}  rows; or one row, undefined if it does not exist
   */
  async read(model, id) {
    const defaults = defaultsOf(this.#options, model);
    const found = await this.#store.read((tx) => tx.all("objects", model, id));
    const rows = found.map(({ row }) => filled(row, defaults));
    return id === undefined ? rows : rows[0];
  }

  /**
   * Calls the listener now and after each change of the model.
   * @param {string} model
   * @param {(view: { records: Row[], pending: Set<string> }) => void} listener  gets the objects, and
   *   the ids of those with changes that the server has not acknowledged
   * @returns {() => void}  ends the subscription
   */
  subscribe(model, listener) {
    const defaults = defaultsOf(this.#options, model);
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
          const records = objects.map(({ row }) => filled(row, defaults));
          const pending = new Set(waiting.map(({ id }) => id));
          if (!over) listener({ records, pending });
        }
      } catch (error) {
        if (!this.#syncing.isClosed) console.error(error);
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
   * Creates an object, with a new id unless one is given.
   * @param {string} model
   * @param {Record<string, any>} fields  JSON; anything else is an `invalid_value`
   * @returns {Promise<Row>}
   */
  create(model, fields) {
    return this.change((change) => change.create(model, fields));
  }

  /**
   * Changes fields of an object.
   * @param {string} model
   * @param {string} id
   * @param {Record<string, any>} fields  JSON; anything else is an `invalid_value`
   * @returns {Promise<Row>}
   */
  update(model, id, fields) {
    return this.change((change) => change.update(model, id, fields));
  }

  /**
   * Deletes an object.
   * @param {string} model
   * @param {string} id
   * @returns {Promise<Row>}  the deleted object
   */
  delete(model, id) {
    return this.change((change) => change.delete(model, id));
  }

  /**
   * Makes several changes, all of them or (if `work` throws) none. `work` may await only these changes.
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
    await this.#syncing.changed(models);
    return result;
  }

  // ----------------------------------------------------------------------- refused and overridden

  /**
   * The changes that were refused or cannot be sent, until they are mended or dismissed, in the order made.
   * @returns {Promise<Refused[]>}
   */
  async refused() {
    const refused = await this.#store.read((tx) => tx.all("refused"));
    return refused.sort((a, b) => (a.seq ?? 0) - (b.seq ?? 0) || a.at - b.at);
  }

  /**
   * Makes a refused change again, with these fields changed.
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

  /**
   * The changes with values that others have overridden, until they are put back or dismissed, in the order made.
   * @returns {Promise<Overridden[]>}
   */
  async overridden() {
    const overridden = await this.#store.read((tx) => tx.all("overridden"));
    return overridden.sort((a, b) => a.seq - b.seq);
  }

  /**
   * Makes the overridden values of a change again, where they are still overridden by the same values, and
   * removes it from the overridden ones.
   * @param {string} diffId
   */
  async putBack(diffId) {
    await this.#change((tx, changes) => putBack(tx, this.#options, changes, diffId));
  }

  /** Removes a change from the refused and the overridden ones. @param {string} diffId */
  async dismiss(diffId) {
    await this.#store.write(async (tx) => {
      await tx.delete("refused", diffId);
      await tx.delete("overridden", diffId);
    }, true);
    await this.#syncing.told(new Set());
  }

  // ------------------------------------------------------------------------------------ syncing

  /**
   * Syncs now. It does not throw: the status has the problem.
   * @returns {Promise<Status>}
   */
  sync() {
    return this.#syncing.now();
  }

  /**
   * Sends everything that this device has, and receives what the server has. Call it after a person has
   * confirmed, at the problem `clock_ahead` or `other_history`, that it is the right server and was restored
   * from a backup. The database as it was before is stored as `backup` in the table `meta`.
   * @returns {Promise<Status>}
   */
  async resend() {
    await this.#syncing.alone(() => this.#store.write((tx) => resendAll(tx, this.#options), true));
    return this.sync();
  }

  /**
   * Syncs, and compares the local objects with the server's, by checksums. It changes nothing; `refetch`
   * repairs a wrong copy. A model that the server's schema does not have any more is not compared. (Integers beyond 2^53 are not exact in JavaScript, so they count as differences.)
   * @returns {Promise<Difference[]>}  the models that differ; it throws `not_synced` if they cannot be compared
   */
  async check() {
    const { clock, check } = await this.#syncing.checksums();
    const objects = await this.#store.read(async (tx) => {
      const isSame = (await stateOf(tx)).clock === clock && (await tx.count("pending")) === 0;
      return isSame && tx.all("objects");
    });
    if (!objects) throw new MobyncError("not_synced", "Something has changed meanwhile: check again.");
    const { compare } = await import("./check.js"); // most pages never need it
    return compare(objects, check, this.#options.names);
  }

  /**
   * Syncs, and fetches everything again. Unsent changes are kept. The local objects stay until the first
   * answer replaces them. If the server cannot be reached, it does nothing.
   * @returns {Promise<Status>}
   */
  async refetch() {
    const status = await this.sync();
    if (status.problem) return status;
    await this.#syncing.alone(() => this.#store.write(refetchAll, true));
    return this.sync();
  }

  /** Stops syncing and listening. Pending changes are sent when the database is opened again. */
  async close() {
    await this.#syncing.close();
    this.#store.close();
  }
}

/** Stores whose database it is, if it is nobody's yet. @param {Tx} tx @param {string} person */
async function claim(tx, person) {
  const state = await stateOf(tx);
  if (state.person === person) return;
  if (state.person !== null) {
    const message =
      "This database belongs to another person: open it for them, or open another one under another `name`.";
    throw new MobyncError("other_person", message);
  }
  await tx.put("meta", { ...state, person });
}
