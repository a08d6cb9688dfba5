// A store in memory.

import { MobyncError } from "./errors.js";
import { uuid } from "./diffs.js";

/** @typedef {import("./types.js").Store} Store */
/** @typedef {import("./types.js").Table} Table */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * A store in memory, for tests. Clients that share one behave like tabs of one browser.
 * @param {string} [name]
 * @returns {Store}
 */
export function memoryStore(name = `memory-${uuid()}`) {
  let seq = 0;
  let turn = Promise.resolve();
  /** @type {Record<Table, Map<string, any>>} */
  let tables = {
    objects: new Map(),
    beside: new Map(),
    pending: new Map(),
    refused: new Map(),
    overridden: new Map(),
    meta: new Map(),
  };
  const keys = {
    objects: (/** @type {any} */ value) => [value.model, value.id],
    beside: (/** @type {any} */ value) => [value.model, value.id],
    pending: (/** @type {any} */ value) => value.seq,
    refused: (/** @type {any} */ value) => value.id,
    overridden: (/** @type {any} */ value) => value.id,
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

/** The order of IndexedDB, for the keys used here. @param {any} a @param {any} b */
function compare(a, b) {
  const [left, right] = [[a].flat(), [b].flat()];
  const place = left.findIndex((part, place) => part !== right[place]);
  return place < 0 ? 0 : left[place] < right[place] ? -1 : 1;
}
