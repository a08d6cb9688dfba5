// The data of a space, or of the person: reading, changing, and what became of the changes.

import { refetchAll, resendAll } from "./anew.js";
import { Changes, defaultsOf } from "./changes.js";
import { filled } from "./diffs.js";
import { MobyncError } from "./errors.js";
import { putBack } from "./overridden.js";
import { forget } from "./spaces.js";
import { stateOf } from "./state.js";
import { Syncing } from "./syncing.js";

/** @typedef {import("./types.js").Difference} Difference */
/** @typedef {import("./types.js").Overridden} Overridden */
/** @typedef {import("./types.js").Refused} Refused */
/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Status} Status */
/** @typedef {import("./types.js").Store} Store */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * Data that several people share, or with {@link Mobync} those of the person. Each space is by itself: ids, changes and the
 * status of one have nothing to do with those of another.
 *
 * Events: `change` (detail: `{ models }`) when objects have changed, here, by a sync or in another
 * tab; `status` when {@link Space#status} has; `traffic` (detail: `{ direction, at, clock, diffs,
 * refused, problem }`) to watch the protocol.
 */
export class Space extends EventTarget {
  #options;
  #store;
  #syncing;
  #name;

  /** Use {@link Mobync#space}. @param {import("./link.js").Link} link @param {string} name  "" for the person's own data */
  constructor(link, name) {
    super();
    this.#options = link.options;
    this.#store = name ? within(link.store, name) : link.store;
    this.#name = name;
    this.#syncing = new Syncing(link, this.#store, this, name);
    this.#syncing.refresh(); // it may have been left
  }

  /** The current status. A space that was left has the problem `no_member`. @returns {Status} */
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
    return this.#change((_, changes) => work(changes));
  }

  /** Throws if it is a space that is not joined. @param {Tx} tx */
  async #check(tx) {
    if (!this.#name || (await stateOf(tx)).joined) return;
    throw new MobyncError("no_member", `Nothing can be changed here: you are not in ${this.#name}.`);
  }

  /** @param {(tx: Tx, changes: Changes) => Promise<any>} work */
  async #change(work) {
    /** @type {Set<string>} */
    const models = new Set();
    const result = await this.#store.write(async (tx) => {
      models.clear();
      await this.#check(tx);
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

  /**
   * Removes a change from the refused and the overridden ones; without an id all of them, and a space that was left from
   * the list of spaces.
   * @param {string} [diffId]
   */
  async dismiss(diffId) {
    await this.#store.write(async (tx) => {
      if (diffId === undefined) return forget(tx.of(""), this.#name);
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
    return this.#anew((tx) => resendAll(tx, this.#options));
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
    return this.#anew(refetchAll);
  }

  /** Begins anew, and syncs. @param {(tx: Tx) => Promise<void>} work */
  async #anew(work) {
    const write = async (/** @type {Tx} */ tx) => (await this.#check(tx), work(tx));
    await this.#syncing.alone(() => this.#store.write(write, true));
    return this.sync();
  }
}

/** The store of one space. @param {Store} store @param {string} space @returns {Store} */
const within = (store, space) => ({
  ...store,
  read: (work) => store.read((tx) => work(tx.of(space))),
  write: (work, durable) => store.write((tx) => work(tx.of(space)), durable),
});
