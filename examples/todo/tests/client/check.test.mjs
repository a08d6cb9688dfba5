// Is the copy right? Checksums are the server's to the bit, and a difference is told, never mended.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { canonical, checksum } from "../../web/mobync/check.js";
import { sha256 } from "../../web/mobync/sha256.js";
import { Network, back, chance, device, failure, lost, ok } from "./network.mjs";

const VECTORS = JSON.parse(readFileSync(new URL("../../../../mobync/tests/checksums.json", import.meta.url), "utf8"));
const isExact = ({ beyond_doubles: isBeyond }) => !isBeyond;
const read = (fields = {}) =>
  Object.fromEntries(Object.entries(fields).map(([name, text]) => [name, JSON.parse(text)]));

test("the canonical text of a value is the one that the server has", () => {
  const vectors = VECTORS.canonical.filter(isExact);
  assert.ok(vectors.length > 40);
  for (const { json, canonical: text } of vectors) assert.equal(canonical(JSON.parse(json)), text, json);
});

test("the checksums of a model are those that the server has", async () => {
  const vectors = VECTORS.checksums.filter(isExact);
  assert.ok(vectors.length > 8);
  for (const { name, objects, defaults, checksum: expected } of vectors) {
    const rows = objects.map(({ id, fields }) => ({ id, ...read(fields) }));
    assert.deepEqual(await checksum(rows, read(defaults)), expected, name);
    assert.deepEqual(await checksum(rows.reverse(), read(defaults)), expected, name);
  }
});

test("SHA-256 is SHA-256, at every length around its blocks and of large texts", () => {
  const random = chance(1);
  const lengths = [...Array.from({ length: 200 }, (_, length) => length), 1000, 65_536, 1_000_003];
  for (const length of lengths) {
    const bytes = Uint8Array.from({ length }, () => random(256));
    const words = Array.from(sha256(bytes), (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
    assert.equal(words, createHash("sha256").update(bytes).digest("hex"), `${length}`);
  }
});

const DEFAULTS = { done: false };
const MILK = { id: "t1", name: "Milk", done: false };
const TEA = { id: "t2", name: "Tea", done: true };

/** An answer with the checksums of these rows. */
const checks = (clock, rows) => async () =>
  Response.json({
    success: true,
    logical_clock: clock,
    diffs: [],
    check: { tasks: { ...(await checksum(rows, DEFAULTS)), defaults: DEFAULTS } },
  });

async function withTwo(network, options) {
  network.then(ok(3, [back("create", "t1", { name: "Milk" }), back("create", "t2", { name: "Tea", done: true })]));
  const phone = await device(network, options);
  await phone.sync();
  return phone;
}

for (const [what, rows, expected] of [
  ["is right", [MILK, TEA], []],
  ["is right in whatever order", [TEA, MILK], []],
  ["has an object too many", [MILK], [{ model: "tasks", here: 2, there: 1, differs: "objects" }]],
  ["lacks one", [MILK, TEA, { id: "t3" }], [{ model: "tasks", here: 2, there: 3, differs: "objects" }]],
  ["has another one", [MILK, { ...TEA, id: "t3" }], [{ model: "tasks", here: 2, there: 2, differs: "objects" }]],
  ["has another value", [MILK, { ...TEA, name: "tea" }], [{ model: "tasks", here: 2, there: 2, differs: "values" }]],
]) {
  test(`a copy that ${what} is told so`, async () => {
    const network = new Network();
    const phone = await withTwo(network);
    network.then(checks(3, rows));
    assert.deepEqual(await phone.check(), expected);
    const [, { limit, check, diffs, logical_clock }] = network.requests;
    assert.deepEqual([limit, check, diffs, logical_clock], [undefined, true, [], 3]);
    assert.deepEqual(await phone.read("tasks"), [MILK, TEA]);
  });
}

test("a model that only one side has is a difference", async () => {
  const network = new Network();
  const phone = await withTwo(network);
  const shops = { count: 1, ids: "0000000000000001", values: "0000000000000000" };
  network.then(() => Response.json({ success: true, logical_clock: 3, diffs: [], check: { shops } }));
  assert.deepEqual(await phone.check(), [
    { model: "shops", here: 0, there: 1, differs: "objects" },
    { model: "tasks", here: 2, there: 0, differs: "objects" },
  ]);
});

test("what is pending is sent first, and what the checking answer brings is applied", async () => {
  const network = new Network();
  const phone = await withTwo(network);
  await phone.update("tasks", "t1", { name: "Oats" });
  network.then(ok(4), async (request) => {
    const answer = await (await checks(5, [{ ...MILK, name: "Oats" }])()).json();
    return Response.json({ ...answer, diffs: [back("delete", "t2")] });
  });
  assert.deepEqual(await phone.check(), []);
  assert.deepEqual(
    network.requests.slice(1).map(({ diffs, check = false }) => [diffs.length, check]),
    [
      [1, false],
      [0, true],
    ],
  );
});

for (const [what, answers, code] of [
  ["no network", [lost], "not_synced"],
  ["a server of before, which has no checksums", [ok(3)], "not_synced"],
  ["a server that failed", [failure(500, "internal")], "not_synced"],
]) {
  test(`with ${what}, nothing can be said, and the next sync is an ordinary one`, async () => {
    const network = new Network();
    const phone = await withTwo(network);
    network.then(...answers, ok(4));
    await assert.rejects(phone.check(), { code, message: /\w/ });
    assert.equal((await phone.sync()).state, "saved");
    assert.equal(network.requests.at(-1).check, undefined);
  });
}

test("what changes while it is compared is told, not taken for a difference", async () => {
  const network = new Network();
  const phone = await withTwo(network);
  const meanwhile = async () => (await phone.create("tasks", { name: "Salt" }), checks(3, [MILK, TEA])());
  network.then(meanwhile, ok(4));
  await assert.rejects(phone.check(), { code: "not_synced" });
  network.then(async () => (await phone.create("tasks", { name: "Corn" }), checks(4, [MILK, TEA])()), lost);
  await assert.rejects(phone.check(), { code: "not_synced" });
});

test("a server that pages every empty request is asked again after its pages", async () => {
  const network = new Network();
  const phone = await withTwo(network);
  network.then(ok(4, [], undefined, { more: 5 }), ok(5), checks(5, [MILK, TEA]));
  assert.deepEqual(await phone.check(), []);
  assert.deepEqual(
    network.requests.slice(1).map(({ check = false }) => check),
    [true, false, true],
  );
});

test("a device that has not fetched everything yet does so before it compares", async () => {
  const more = ok(2, [back("create", "t1", { name: "Milk" })], undefined, { more: 3 });
  const rest = ok(3, [back("create", "t2", { name: "Tea", done: true })]);
  const network = new Network().then(more, rest, checks(3, [MILK, TEA]));
  const phone = await device(network, { isNew: true });
  assert.deepEqual(await phone.check(), []);
  assert.deepEqual(
    network.requests.map(({ limit, check = false }) => [limit > 0, check]),
    [
      [true, false],
      [true, false],
      [false, true],
    ],
  );
});

// ------------------------------------------------------------------------- fetching all again

test("a copy that is wrong is fetched again, and changes that are not sent yet are kept", async () => {
  const store = memoryStore();
  const network = new Network();
  const phone = await withTwo(network, { store });
  await store.write(async (tx) => {
    await tx.put("objects", { model: "tasks", id: "t1", row: { ...MILK, name: "Mlik" } });
    await tx.put("objects", { model: "tasks", id: "ghost", row: { id: "ghost" } });
  });
  network.then(
    ok(3),
    async () => {
      assert.equal((await phone.read("tasks")).length, 3); // nobody sees an empty list meanwhile
      await phone.update("tasks", "t2", { name: "Green tea" });
      await phone.delete("tasks", "t1");
      await phone.create("tasks", { id: "t4", name: "Salt" });
      return ok(5, [back("create", "t1", { name: "Milk" }), back("create", "t2", { name: "Tea", done: true }, 100)])();
    },
    ok(6),
  );
  assert.equal((await phone.refetch()).state, "saved");
  const [, , again, last] = network.requests;
  assert.deepEqual([again.logical_clock, again.head, again.diffs], [0, "", []]);
  assert.deepEqual(last.diffs.map(({ type, json_data }) => [type, JSON.parse(json_data).id]).sort(), [
    ["create", "t4"],
    ["delete", "t1"],
    ["update", "t2"],
  ]);
  assert.deepEqual(await phone.read("tasks"), [
    { id: "t2", name: "Green tea", done: true },
    { id: "t4", name: "Salt", done: false },
  ]);
});

test("without a network nothing is fetched again, and nothing is lost", async () => {
  const network = new Network();
  const phone = await withTwo(network);
  network.then(lost);
  assert.equal((await phone.refetch()).state, "offline");
  assert.deepEqual([(await phone.read("tasks")).length, phone.status.clock], [2, 3]);
  network.then(ok(3), lost, ok(3, [back("create", "t2", { name: "Tea" })]));
  assert.equal((await phone.refetch()).state, "offline");
  assert.equal((await phone.read("tasks")).length, 2);
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(await phone.read("tasks"), [{ id: "t2", name: "Tea", done: false }]);
});

const SCHEMA = [
  { since: 2, model: "tasks", rename: "name", to: "title" },
  { since: 3, model: "tasks", add: "note", default: "" },
  { since: 3, rename: "lists", to: "groups" },
];

/** An answer with these checksums. */
const sums = (clock, check) => () => Response.json({ success: true, logical_clock: clock, diffs: [], check });

test("a model whose checksums are null cannot be compared, and is not", async () => {
  const network = new Network();
  const phone = await withTwo(network);
  network.then(sums(3, { tasks: null, lists: await checksum([{ id: "l1" }]) }));
  network.then(sums(3, { tasks: null }));
  assert.deepEqual(await phone.check(), [{ model: "lists", here: 0, there: 1, differs: "objects" }]);
  assert.deepEqual(await phone.check(), []);
});

test("a server that is older than the app has the checksums of its own names, which are compared as such", async () => {
  const earlier = {
    1: [{ tasks: [MILK, TEA] }, "lists"],
    2: [{ tasks: [MILK, TEA].map(({ name, ...task }) => ({ ...task, title: name })) }, "lists"],
    3: [{ tasks: [MILK, TEA].map(({ name, ...task }) => ({ ...task, title: name, note: "" })) }, "groups"],
  };
  for (const [version, [{ tasks }, lists]] of Object.entries(earlier)) {
    const network = new Network();
    const phone = await withTwo(network, { schema: SCHEMA });
    network.then(ok(4, [{ ...back("create", "l1"), model: "lists" }]));
    await phone.sync();
    const right = { tasks: await checksum(tasks), [lists]: await checksum([{ id: "l1" }]) };
    network.then(sums(4, right));
    assert.deepEqual(await phone.check(), [], version);
    const wrong = { ...right, tasks: await checksum([tasks[0], { ...tasks[1], done: false }]) };
    network.then(sums(4, wrong));
    assert.deepEqual(await phone.check(), [{ model: "tasks", here: 2, there: 2, differs: "values" }], version);
  }
});

test("what is fetched once more after an update of the app is fetched before it is compared", async () => {
  const store = memoryStore();
  const network = new Network();
  await (await withTwo(network, { store, schema: [] })).close();
  const phone = await device(network, { store, schema: SCHEMA });
  const rows = [
    { ...MILK, note: "Note" },
    { ...TEA, note: "" },
  ].map(({ name, ...task }) => ({ ...task, title: name }));
  const page = ok(
    3,
    rows.map(({ id, ...fields }) => back("create", id, fields)),
  );
  network.then(ok(3), page, ok(3), sums(3, { tasks: await checksum(rows) }));
  assert.deepEqual(await phone.check(), []);
  assert.deepEqual(
    network.requests.map(({ check }) => check),
    [undefined, undefined, undefined, undefined, true],
  );
});
