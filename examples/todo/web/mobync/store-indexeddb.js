// The store in browsers: IndexedDB.

import { MobyncError } from "./errors.js";

/** @typedef {import("./types.js").Store} Store */
/** @typedef {import("./types.js").Table} Table */
/** @typedef {import("./types.js").Tx} Tx */

const TABLES = ["objects", "beside", "pending", "refused", "overridden", "meta"];

/** The version of the tables. The browser closes those of an app that wants a lesser version of them or its schema. */
const LAYOUT = 3;

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
      return (await open()).transaction(TABLES, mode, options);
    } catch (error) {
      if (/** @type {any} */ (error)?.name !== "InvalidStateError") throw MobyncError.of(error);
      opened = null; // it was closed without an event
    }
    try {
      return (await open()).transaction(TABLES, mode, options);
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
      const result = await work(methodsOf(tx));
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

  await open();
  return {
    name,
    read: (work) => transact("readonly", work, false),
    write: (work, durable = false) => transact("readwrite", work, durable),
    close: () => {
      isOver = true;
      opened?.then((db) => db.close()).catch(() => {});
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
    const lacks = (/** @type {Table} */ table) => !made.objectStoreNames.contains(table);
    if (lacks("objects")) made.createObjectStore("objects", { keyPath: ["model", "id"] });
    if (lacks("pending")) {
      made.createObjectStore("pending", { keyPath: "seq", autoIncrement: true }).createIndex("object", ["model", "id"]);
    }
    if (lacks("refused")) made.createObjectStore("refused", { keyPath: "id" });
    if (lacks("meta")) made.createObjectStore("meta", { keyPath: "key" });
    if (lacks("overridden")) made.createObjectStore("overridden", { keyPath: "id" });
    if (lacks("beside")) made.createObjectStore("beside", { keyPath: ["model", "id"] });
  };
  const db = await done(opening);
  db.onclose = closed;
  db.onversionchange = () => {
    db.close();
    closed();
  };
  return db;
}

/** @param {IDBTransaction} tx @returns {Tx} */
function methodsOf(tx) {
  /** @param {Table} table @param {string} [model] @param {string} [id] */
  const find = (table, model, id) => {
    const store = tx.objectStore(table);
    if (model === undefined) return store.getAll();
    const range = id === undefined ? IDBKeyRange.bound([model], [model, []]) : IDBKeyRange.only([model, id]);
    return (table === "pending" ? store.index("object") : store).getAll(range);
  };
  return {
    get: (table, key) => done(tx.objectStore(table).get(key)),
    all: (table, model, id) => done(find(table, model, id)),
    first: (table, count) => done(tx.objectStore(table).getAll(null, count)),
    count: (table) => done(tx.objectStore(table).count()),
    put: async (table, value) => void (await done(tx.objectStore(table).put(value))),
    delete: (table, key) => done(tx.objectStore(table).delete(key)),
  };
}

/** @param {IDBRequest} request @returns {Promise<any>} */
const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
