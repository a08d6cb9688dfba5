// The store in memory keeps what a store promises. The one in browsers has all of its tables, whatever it had before.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { indexedDBStore } from "../../web/mobync/store-indexeddb.js";
import { promises } from "./store.mjs";

for (const [promise, keeps] of Object.entries(promises)) {
  test(promise, () => keeps(memoryStore()));
}

/** As much of IndexedDB as opening a database needs: its version and its tables. */
function opener(version, tables) {
  const made = new Set(tables);
  const createObjectStore = (name) => {
    assert.ok(!made.has(name), `${name} is there already`);
    made.add(name);
    return { createIndex: () => {} };
  };
  const result = { objectStoreNames: { contains: (name) => made.has(name) }, createObjectStore, close: () => {} };
  const open = (_, wanted) => {
    const opening = { result };
    setTimeout(() => {
      if (wanted > version) opening.onupgradeneeded({ oldVersion: version });
      opening.onsuccess();
    });
    return opening;
  };
  return { made, indexedDB: { open } };
}

test("a database of any earlier layout and schema gets the tables that it lacks, and only these", async () => {
  const layouts = [[], ["objects", "pending", "refused", "meta"], ["overridden"], ["beside"]];
  layouts.push(layouts.flat().map((table) => `spaces-${table}`));
  const all = layouts.flat();
  const before = globalThis.indexedDB;
  try {
    for (let layout = 0; layout < layouts.length; layout += 1) {
      for (let schema = 1; schema < 9; schema += 1) {
        // The version that such a database has: of the layout and of the schema, in one number.
        const version = layout === 0 ? 0 : layout + schema - 1;
        const { made, indexedDB } = opener(version, layouts.slice(0, layout + 1).flat());
        globalThis.indexedDB = indexedDB;
        (await indexedDBStore("test", schema)).close();
        assert.deepEqual([...made].sort(), [...all].sort(), `layout ${layout}, schema ${schema}`);
      }
    }
  } finally {
    globalThis.indexedDB = before;
  }
});

test("deleting a database that another tab does not close fails after some seconds, and not if it does", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const before = globalThis.indexedDB;
  try {
    for (const [end, code] of [
      [(deleting) => deleting.onsuccess(), undefined],
      [() => {}, "storage_failed"],
      [(deleting) => deleting.onerror(), "storage_failed"],
    ]) {
      const { indexedDB } = opener(0, []);
      const deleting = { error: new Error("The disk fails.") };
      globalThis.indexedDB = { ...indexedDB, deleteDatabase: () => deleting };
      const opened = indexedDBStore("test");
      context.mock.timers.tick(1);
      const outcome = (await opened).destroy().then(
        () => undefined,
        (error) => error.code,
      );
      await Promise.resolve();
      deleting.onblocked();
      context.mock.timers.tick(1000);
      end(deleting);
      await Promise.resolve();
      context.mock.timers.tick(9000);
      assert.equal(await outcome, code);
    }
  } finally {
    globalThis.indexedDB = before;
  }
});
