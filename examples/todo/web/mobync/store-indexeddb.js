// The store in browsers: IndexedDB.

import { MobyncError } from "./errors.js";

/** @typedef {import("./types.js").Store} Store */
/** @typedef {import("./types.js").Table} Table */
/** @typedef {import("./types.js").Tx} Tx */

const TABLES = ["objects", "beside", "pending", "refused", "overridden", "meta"];

/** Before the names of the tables of all spaces. Their keys begin with the name of the space. */
const SPACES = "spaces-";
const ALL_TABLES = TABLES.flatMap((table) => [table, SPACES + table]);

/** The tables whose keys are fields of the values; `pending` counts. */
const KEYS = [
  ["objects", "model", "id"],
  ["beside", "model", "id"],
  ["refused", "id"],
  ["overridden", "id"],
  ["meta", "key"],
];
const WITH_MODELS = new Set(["objects", "beside"]);

/** The version of the tables. The browser closes those of an app that wants a lesser version of them or its schema. */
const LAYOUT = 4;

/** Milliseconds in which other tabs can close a database that is to be deleted. */
const GIVE_WAY = 5000;

/**
 * A store in IndexedDB. If the browser closes the database (another tab deletes it, the person clears
 * the page's data, the disk fails), the next transaction opens it again.
 * @param {string} name
 * @param {number} [version]  of the application's schema. Tabs of an app with an earlier one lose the database
 * @returns {Promise<Store>}
 */
export async function indexedDBStore(name, version = 1) {
  /** @type {Promise<IDBDatabase> | null} */
  let opened = null;
  let isOver = false;

  const open = () => {
    opened ??= openDatabase(`mobync:${name}`, version, () => (opened = null)).catch((error) => {
      opened = null;
      throw MobyncError.of(error);
    });
    return opened;
  };

  /** @param {IDBTransactionMode} mode @param {boolean} durable @returns {Promise<IDBTransaction>} */
  const begin = async (mode, durable) => {
    if (isOver) throw new MobyncError("storage_failed", "The local database is closed.");
    const options = { durability: /** @type {IDBTransactionDurability} */ (durable ? "strict" : "relaxed") };
    try {
      return (await open()).transaction(ALL_TABLES, mode, options);
    } catch (error) {
      if (/** @type {any} */ (error)?.name !== "InvalidStateError") throw MobyncError.of(error);
      opened = null; // it was closed without an event
    }
    try {
      return (await open()).transaction(ALL_TABLES, mode, options);
    } catch (error) {
      throw MobyncError.of(error);
    }
  };

  /** @param {IDBTransactionMode} mode @param {(tx: Tx) => Promise<any>} work @param {boolean} durable */
  const transact = async (mode, work, durable) => {
    const tx = await begin(mode, durable);
    const ended = new Promise((resolve, reject) => {
      tx.oncomplete = resolve;
      tx.onabort = () => reject(tx.error ?? new DOMException("The transaction was aborted.", "AbortError"));
    });
    ended.catch(() => {}); // it is awaited below
    try {
      const result = await work(methodsOf(tx, ""));
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

  const close = () => {
    isOver = true;
    opened?.then((db) => db.close()).catch(() => {});
  };

  await open();
  return {
    name,
    read: (work) => transact("readonly", work, false),
    write: (work, durable = false) => transact("readwrite", work, durable),
    close,
    destroy: async () => {
      close();
      await deleted(indexedDB.deleteDatabase(`mobync:${name}`));
    },
  };
}

/**
 * @param {string} name @param {number} version
 * @param {() => void} closed  called if something else than `close` has closed it
 * @returns {Promise<IDBDatabase>}
 */
async function openDatabase(name, version, closed) {
  const opening = indexedDB.open(name, LAYOUT + version - 1);
  opening.onupgradeneeded = () => {
    const made = opening.result;
    // The database's version has the schema's in it, so it does not tell which tables there are.
    const lacks = (/** @type {string} */ table) => !made.objectStoreNames.contains(table);
    for (const [prefix, ...space] of [[""], [SPACES, "space"]]) {
      for (const [table, ...key] of KEYS) {
        const keyPath = [...space, ...key];
        if (lacks(prefix + table))
          made.createObjectStore(prefix + table, { keyPath: keyPath.length > 1 ? keyPath : keyPath[0] });
      }
      if (!lacks(`${prefix}pending`)) continue;
      const pending = made.createObjectStore(`${prefix}pending`, { keyPath: "seq", autoIncrement: true });
      pending.createIndex("object", [...space, "model", "id"]);
      if (prefix) pending.createIndex("space", "space");
    }
  };
  const db = await done(opening);
  db.onclose = closed;
  db.onversionchange = () => {
    db.close();
    closed();
  };
  return db;
}

/** @param {IDBTransaction} tx @param {string} space @returns {Tx} */
function methodsOf(tx, space) {
  const [prefix, of] = space ? [SPACES, [space]] : ["", []];
  const storeOf = (/** @type {Table} */ table) => tx.objectStore(prefix + table);
  const keyOf = (/** @type {Table} */ table, /** @type {any} */ key) =>
    !space || table === "pending" ? key : [space, ...(WITH_MODELS.has(table) ? key : [key])];
  /** Where all of the table is. @param {Table} table @returns {[IDBObjectStore | IDBIndex, IDBKeyRange | undefined]} */
  const whole = (table) => {
    if (!space) return [storeOf(table), undefined];
    if (table === "pending") return [storeOf(table).index("space"), IDBKeyRange.only(space)];
    return [storeOf(table), IDBKeyRange.bound([space], [space, [[]]])]; // an array is greater than any text
  };
  /** @param {Table} table @param {string} [model] @param {string} [id] */
  const find = (table, model, id) => {
    const [source, range] = whole(table);
    if (model === undefined) return source.getAll(range);
    const object = [...of, model, ...(id === undefined ? [] : [id])];
    const those = id === undefined ? IDBKeyRange.bound(object, [...object, []]) : IDBKeyRange.only(object);
    return (table === "pending" ? storeOf(table).index("object") : storeOf(table)).getAll(those);
  };
  return {
    get: (table, key) => done(storeOf(table).get(keyOf(table, key))),
    all: (table, model, id) => done(find(table, model, id)),
    first: (table, count) => {
      const [source, range] = whole(table);
      return done(source.getAll(range, count));
    },
    count: (table) => {
      const [source, range] = whole(table);
      return done(source.count(range));
    },
    put: async (table, value) => void (await done(storeOf(table).put(space ? { ...value, space } : value))),
    delete: (table, key) => done(storeOf(table).delete(keyOf(table, key))),
    clear: async (table) => {
      const [source, range] = whole(table);
      for (const key of await done(source.getAllKeys(range))) await done(storeOf(table).delete(key));
    },
    of: (other) => methodsOf(tx, other),
  };
}

/**
 * Waits for other tabs that have the database open, but not for ever: the browser may have frozen one.
 * @param {IDBOpenDBRequest} deleting
 * @returns {Promise<void>}
 */
function deleted(deleting) {
  return new Promise((resolve, reject) => {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const message = "Another tab does not give up the data on this device: close it, and they are deleted.";
    deleting.onblocked = () => {
      timer = setTimeout(() => reject(new MobyncError("storage_failed", message)), GIVE_WAY);
    };
    const failed = (/** @type {unknown} */ error) => reject(MobyncError.of(error));
    done(deleting)
      .then(resolve, failed)
      .finally(() => clearTimeout(timer));
  });
}

/** @param {IDBRequest} request @returns {Promise<any>} */
const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
