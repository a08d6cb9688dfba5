// A store in memory.

import { MobyncError } from "./errors.js";
import { uuid } from "./diffs.js";

/** @typedef {import("./types.js").Store} Store */
/** @typedef {import("./types.js").Table} Table */
/** @typedef {import("./types.js").Tx} Tx */
/** @typedef {Record<Table, Map<string, any>>} Tables */

/** @type {Record<Table, (value: any) => any>} */
const KEYS = {
  objects: ({ model, id }) => [model, id],
  beside: ({ model, id }) => [model, id],
  pending: ({ seq }) => seq,
  refused: ({ id }) => id,
  overridden: ({ id }) => id,
  meta: ({ key }) => key,
};

/**
 * A store in memory, for tests. Clients that share one behave like tabs of one browser.
 * @param {string} [name]
 * @returns {Store}
 */
export function memoryStore(name = `memory-${uuid()}`) {
  let seq = 0;
  let turn = Promise.resolve();
  /** @type {Map<string, Tables>} */
  let spaces = new Map();
  const copy = (/** @type {any} */ value) => structuredClone(value);

  /** @param {string} space @returns {Tx} */
  const of = (space) => {
    const at = (/** @type {Table} */ table) => {
      const tables = spaces.get(space) ?? tablesFrom(() => new Map());
      spaces.set(space, tables);
      return tables[table];
    };
    const sorted = (/** @type {Table} */ table) =>
      [...at(table).values()].sort((a, b) => compare(KEYS[table](a), KEYS[table](b)));
    return {
      get: async (table, key) => copy(at(table).get(JSON.stringify(key))),
      all: async (table, model, id) =>
        copy(sorted(table).filter((value) => (model ?? value.model) === value.model && (id ?? value.id) === value.id)),
      first: async (table, count) => copy(sorted(table).slice(0, count)),
      count: async (table) => at(table).size,
      put: async (table, value) => {
        const kept = copy(value);
        if (table === "pending") kept.seq ??= ++seq;
        at(table).set(JSON.stringify(KEYS[table](kept)), kept);
      },
      delete: async (table, key) => void at(table).delete(JSON.stringify(key)),
      clear: async (table) => at(table).clear(),
      of,
    };
  };

  /** @param {(tx: Tx) => Promise<any>} work */
  const transact = (work) => {
    const result = turn.then(async () => {
      const before = [...spaces].map(([space, tables]) => [space, tablesFrom((table) => new Map(tables[table]))]);
      try {
        return await work(of(""));
      } catch (error) {
        spaces = new Map(/** @type {any} */ (before));
        throw MobyncError.of(error);
      }
    });
    turn = result.then(
      () => {},
      () => {},
    );
    return result;
  };
  return { name, read: transact, write: transact, close: () => {}, destroy: async () => spaces.clear() };
}

/** @param {(table: Table) => Map<string, any>} make @returns {Tables} */
const tablesFrom = (make) =>
  /** @type {any} */ (
    Object.fromEntries(Object.keys(KEYS).map((table) => [table, make(/** @type {Table} */ (table))]))
  );

/** The order of IndexedDB, for the keys used here. @param {any} a @param {any} b */
function compare(a, b) {
  const [left, right] = [[a].flat(), [b].flat()];
  const place = left.findIndex((part, place) => part !== right[place]);
  return place < 0 ? 0 : left[place] < right[place] ? -1 : 1;
}
