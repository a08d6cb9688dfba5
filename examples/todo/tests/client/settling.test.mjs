// Changes in flight: the protocol's table, row by row.

import assert from "node:assert/strict";
import test from "node:test";

import { settle } from "../../web/mobync.js";
import { back, lines } from "./network.mjs";

/** A change that was not in the request. */
function own(type, fields = {}, utc_timestamp = 1000) {
  const json_data = JSON.stringify({ id: "t1", ...fields });
  const diff = { id: `own-${type}`, owner: "", logical_clock: 0, utc_timestamp, type, model: "tasks", json_data };
  return { seq: 1, model: "tasks", id: "t1", diff };
}

function settled(row, left, diff, defaults) {
  const result = settle(row && { id: "t1", ...row }, left, diff, defaults);
  return { row: result.row, left: lines(result.left.map((entry) => entry.diff)) };
}

test("a delete wins over updates and over a delete", () => {
  const updates = [own("update", { name: "Milk" }, 9000), own("update", { done: true }, 9000)];
  assert.deepEqual(settled({ name: "Milk" }, updates, back("delete", "t1")), { row: undefined, left: [] });
  assert.deepEqual(settled(undefined, [own("delete")], back("delete", "t1")), { row: undefined, left: [] });
});

test("a delete takes what was before a new create, and keeps the create and its row", () => {
  const left = [own("update", { name: "Milk" }), own("delete"), own("create", { name: "Bread" })];
  assert.deepEqual(settled({ name: "Bread" }, left, back("delete", "t1")), {
    row: { id: "t1", name: "Bread" },
    left: ['create t1 {"name":"Bread"}'],
  });
});

test("of two values the later one wins, field by field", () => {
  const left = [own("update", { name: "Milk", done: true }, 1000)];
  const diff = back("update", "t1", { name: "Oat milk", position: 3 }, 1001);
  assert.deepEqual(settled({ name: "Milk", done: true }, left, diff), {
    row: { id: "t1", name: "Oat milk", done: true, position: 3 },
    left: ['update t1 {"done":true}'],
  });
});

test("on a tie, and where it is later, the pending value wins", () => {
  for (const time of [1000, 999]) {
    const left = [own("update", { name: "Milk" }, 1000)];
    assert.deepEqual(settled({ name: "Milk" }, left, back("update", "t1", { name: "Oat milk" }, time)), {
      row: { id: "t1", name: "Milk" },
      left: ['update t1 {"name":"Milk"}'],
    });
  }
});

test("an update that has lost all of its fields is dropped", () => {
  const left = [own("update", { name: "Milk" }, 1000), own("update", { done: true }, 1001)];
  assert.deepEqual(settled({ name: "Milk", done: true }, left, back("update", "t1", { name: "Soy" }, 2000)), {
    row: { id: "t1", name: "Soy", done: true },
    left: ['update t1 {"done":true}'],
  });
});

test("a value that was written twice goes by its last time, and loses in both places", () => {
  const left = [own("update", { name: "A" }, 1000), own("update", { name: "B" }, 1500)];
  assert.equal(settled({ name: "B" }, left, back("update", "t1", { name: "C" }, 1200)).row.name, "B");
  assert.deepEqual(settled({ name: "B" }, left, back("update", "t1", { name: "C" }, 1600)), {
    row: { id: "t1", name: "C" },
    left: [],
  });
});

test("a device's clock that was set back does not put its later value before the earlier one", () => {
  const left = [own("update", { name: "A" }, 1000), own("update", { name: "B" }, 10)];
  assert.equal(settled({ name: "B" }, left, back("update", "t1", { name: "C" }, 1001)).row.name, "B");
  assert.equal(settled({ name: "B" }, left, back("update", "t1", { name: "C" }, 1002)).row.name, "C");
});

test("an update does nothing to an object that is deleted here, also where it was made again", () => {
  const update = back("update", "t1", { name: "Oat milk" }, 9000);
  assert.deepEqual(settled(undefined, [own("delete")], update), { row: undefined, left: ["delete t1"] });
  const again = [own("update", { done: true }), own("delete"), own("create", { name: "Bread" })];
  assert.deepEqual(settled({ name: "Bread" }, again, update), {
    row: { id: "t1", name: "Bread" },
    left: ['update t1 {"done":true}', "delete t1", 'create t1 {"name":"Bread"}'],
  });
});

test("where both sides have made the object, the fields meet, and what is left is an update", () => {
  const left = [own("create", { name: "Milk", done: true }, 1000), own("update", { name: "Rice milk" }, 3000)];
  const create = back("create", "t1", { name: "Oat milk", done: false, position: 3 }, 2000);
  assert.deepEqual(settled({ name: "Rice milk", done: true, note: "mine" }, left, create, { due: null }), {
    row: { id: "t1", due: null, name: "Rice milk", done: false, position: 3 },
    left: ['update t1 {"name":"Milk"}', 'update t1 {"name":"Rice milk"}'],
  });
});

test("what was made and deleted here makes room for what others have made", () => {
  const left = [own("create", { name: "Milk" }), own("update", { done: true }), own("delete")];
  const create = back("create", "t1", { name: "Oat milk" });
  assert.deepEqual(settled(undefined, left, create), { row: { id: "t1", name: "Oat milk" }, left: [] });

  const again = [...left, own("create", { name: "Bread" }, 5000)];
  assert.deepEqual(settled({ name: "Bread" }, again, create), {
    row: { id: "t1", name: "Bread" },
    left: ['update t1 {"name":"Bread"}'],
  });
});

test("with nothing left, an answer does what it says", () => {
  const create = back("create", "t1", { name: "Milk" });
  assert.deepEqual(settled({ name: "Old", note: "gone" }, [], create, { done: false }).row, {
    id: "t1",
    done: false,
    name: "Milk",
  });
  assert.deepEqual(settled({ name: "Milk" }, [], back("update", "t1", { done: true })).row, {
    id: "t1",
    name: "Milk",
    done: true,
  });
  assert.equal(settled(undefined, [], back("update", "t1", { done: true })).row, undefined);
  assert.equal(settled({ name: "Milk" }, [], back("delete", "t1")).row, undefined);
});

test("a field may have any name", () => {
  const diff = { ...back("update", "t1"), json_data: '{"id":"t1","__proto__":"x","constructor":"y"}' };
  const { row } = settle({ id: "t1" }, [], diff);
  assert.deepEqual(Object.keys(row).sort(), ["__proto__", "constructor", "id"]);
  assert.equal(Object.getPrototypeOf(row), Object.prototype);
});
