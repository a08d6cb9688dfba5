// The client's interface for applications.

import { MobyncError } from "./errors.js";
import { Link } from "./link.js";
import { complete } from "./options.js";
import { Space } from "./space.js";
import { follow, isFollowed, join, leave, listed, spacesOf, unsent } from "./spaces.js";
import { stateOf } from "./state.js";
import { indexedDBStore } from "./store-indexeddb.js";
import { tabsOf, tell } from "./tabs.js";
import { guarded, update } from "./updating.js";
import { checkedId } from "./values.js";

/** @typedef {import("./types.js").Options} Options */
/** @typedef {import("./types.js").SpaceEntry} SpaceEntry */
/** @typedef {import("./types.js").Status} Status */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * A local database that syncs: a person's own data, and the spaces that they share with others.
 */
export class Mobync extends Space {
  #link;
  /** @type {Map<string, Space>} */
  #spaces = new Map();
  /** @type {Promise<void>} */
  #reloading = Promise.resolve();

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
        const spaces = await spacesOf(tx);
        for (const space of spaces) await update(tx.of(space), all);
        const before = await update(tx, all);
        await follow(tx, all, true);
        return before;
      }, true);
      if (before < version) tell(tabsOf(store, before), { kind: "change", models: [] });
    } catch (error) {
      const isGone = /** @type {any} */ (error).code === "database_gone"; // but not all of it yet
      await (isGone ? store.destroy() : store.close());
      if (isGone) return Mobync.open(options);
      throw error;
    }
    /** @type {Mobync} */
    const mobync = new Mobync(
      new Link(all, store, {
        synced: () => mobync.#follow(),
        changed: () => mobync.#reload(),
        left: (space, message, life) => mobync.#leave(space, message, life),
        other: (failure) => mobync.#other(failure),
      }),
    );
    await mobync.#begin();
    return mobync;
  }

  /** Use {@link Mobync.open}. @param {Link} link */
  constructor(link) {
    super(link, "");
    this.#link = link;
  }

  async #begin() {
    await this.#link.own.begin();
    await this.#reload();
    const { spaces } = this.#link.options;
    const heard = (/** @type {any} */ { detail }) =>
      detail.models.includes(spaces.model) && this.#follow().catch(() => {});
    if (spaces) this.addEventListener("change", heard);
    this.#link.begin();
  }

  // ------------------------------------------------------------------------------------- spaces

  /**
   * The space of this name, for reading and changing. It need not be joined: then it is empty.
   * @param {string} name
   * @returns {Space}
   */
  space(name) {
    const space = this.#spaces.get(checkedId(name, "The name of a space")) ?? new Space(this.#link, name);
    this.#spaces.set(name, space);
    return space;
  }

  /**
   * Adds a space, which is fetched then. Whether the person is a member shows when it syncs.
   * @param {string} name
   * @returns {Promise<Space>}
   */
  async join(name) {
    const space = this.space(name);
    await this.#link.store.write((tx) => join(tx, name, this.#link.options.names.version), true);
    await this.#moved();
    return space;
  }

  /**
   * Removes a space from this device. What is not sent is set aside, see {@link Space#refused}.
   * @param {string} name
   */
  leave(name) {
    return this.#leave(name, `You have left ${name}.`);
  }

  /** @param {string} name @param {string} message @param {string} [life]  it is about; without it the person wants it */
  async #leave(name, message, life) {
    const why = { message, at: this.#link.options.now() };
    await this.#link.store.write(async (tx) => {
      // It may be joined anew since.
      const isThat = life === undefined || (await stateOf(tx.of(name))).life === life;
      if (isThat) await leave(tx, name, why, life === undefined);
    }, true);
    await this.#moved();
  }

  /**
   * The spaces that are joined; and those that were left, with the reason, until `space(name).dismiss()`.
   * @returns {Promise<SpaceEntry[]>}
   */
  spaces() {
    return this.#link.store.read(listed);
  }

  /**
   * The number of changes that are only on this device, in all spaces: those that are not sent yet, and those that were
   * set aside when a space was left, until they are made again (`mend`) or dismissed.
   * @returns {Promise<number>}
   */
  unsent() {
    return this.#link.store.read(unsent);
  }

  /** Other spaces may be joined now: tells everybody. */
  async #moved() {
    await this.#reload();
    this.#link.tabs.tell({ kind: "spaces" });
  }

  /** Starts and stops syncing, as the local database says, once at a time. */
  #reload() {
    this.#reloading = this.#reloading.catch(() => {}).then(() => this.#load());
    return this.#reloading;
  }

  async #load() {
    const joined = await this.#link.store.read(async (tx) => {
      /** @type {Map<string, string>} */
      const lives = new Map();
      for (const space of await spacesOf(tx)) {
        const { joined, life } = await stateOf(tx.of(space));
        if (joined) lives.set(space, life);
      }
      return lives;
    });
    for (const name of joined.keys()) this.space(name);
    const begun = [];
    let isOther = false;
    for (const [name, syncing] of this.#link.known) {
      const life = joined.get(name);
      if (name === "" || syncing.life === life) continue;
      isOther = true;
      await (life === undefined ? syncing.stop() : syncing.begin(life));
      if (life !== undefined) begun.push(syncing);
    }
    for (const syncing of begun) syncing.soon(); // together
    if (!isOther) return;
    this.#link.renewLive();
    this.dispatchEvent(new Event("spaces"));
  }

  /** Joins and leaves what the person's list says. */
  async #follow() {
    const { store, options } = this.#link;
    if (!options.spaces) return;
    if (await store.read((tx) => isFollowed(tx, options))) return;
    await store.write((tx) => follow(tx, options, false), true);
    await this.#moved();
  }

  /** The server has answered for another owner. @param {import("./answer.js").Failure} failure */
  async #other(failure) {
    const { forgetOther } = await import("./forgetting.js"); // most pages never need it
    if (!(await forgetOther(this.#link, failure))) return;
    await this.#moved();
    await this.#link.own.told(new Set(Object.keys(this.#link.options.models)), { problem: null, retryAt: null });
    await this.#link.own.now();
  }

  // ------------------------------------------------------------------------------------ syncing

  /**
   * Syncs the person's own data and all spaces now. It does not throw: the status has the problem.
   * @returns {Promise<Status>}  of the person's own data
   */
  async sync() {
    const sync = () => Promise.all(this.#link.joined.map((syncing) => syncing.now()));
    const before = new Set(this.#link.joined.map(({ life }) => life));
    await sync();
    // The list of spaces may have come with it.
    if (this.#link.joined.some(({ life }) => !before.has(life))) await sync();
    return this.status;
  }

  /** Stops syncing and listening. Pending changes are sent when the database is opened again. */
  async close() {
    await this.#link.close();
    this.#link.store.close();
  }

  /**
   * Deletes the local database, also what is not sent (see {@link Mobync#unsent}). Other tabs stop. It throws
   * `storage_failed` if one does not within some seconds: the database is deleted when that tab is closed.
   */
  async destroy() {
    const { destroy } = await import("./forgetting.js"); // most pages never need it
    await destroy(this.#link);
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
