// What cannot be sent: it is told when the change is made, and blocks nothing where it is stored already.

import assert from "node:assert/strict";
import test from "node:test";
import { createContext, runInContext } from "node:vm";

import { MobyncError, memoryStore } from "../../web/mobync.js";
import { Network, back, device, lines, ok } from "./network.mjs";

const cycle = { a: [] };
cycle.a.push({ cycle });
const nested = (levels) => Array.from({ length: levels }).reduce((inside) => [inside], 0);

class Point {
  x = 1;
}

const NO_JSON = {
  "half an emoji": "half an emoji \ud83d",
  "the other half": "\ude00 half",
  "halves in the wrong order": "\ude00\ud83d",
  NaN: NaN,
  Infinity: Infinity,
  "-Infinity": -Infinity,
  "2^53": 2 ** 53,
  "-(2^53)": -(2 ** 53),
  "2^63": 2 ** 63,
  "-(2^64)": -(2 ** 64),
  "1e20": 1e20,
  undefined: undefined,
  "a BigInt": 7n,
  "a function": () => 1,
  "a symbol": Symbol("x"),
  "a Date": new Date(0),
  "a Blob": new Blob(["x"]),
  "a Map": new Map(),
  "a Set": new Set(),
  "an ArrayBuffer": new ArrayBuffer(4),
  "a typed array": new Uint8Array(4),
  "a regular expression": /x/,
  "a promise": Promise.resolve(1),
  "an Error": new Error("x"),
  "a boxed string": Object("x"),
  "an object of a class": new Point(),
  "an object of a class with toJSON": Object.assign(new Point(), { toJSON: () => 1 }),
  "a cycle": cycle,
  "127 levels": nested(127),
  "100,000 levels": nested(100_000),
  "a hole": [1, , 2],
  "half an emoji as a name": { "\ud83d": 1 },
};

const PLACES = {
  alone: (value) => value,
  "in an array": (value) => [1, value],
  "in an object": (value) => ({ a: { b: value } }),
};

for (const [what, value] of Object.entries(NO_JSON)) {
  test(`${what} is told when the change is made, and nothing is changed`, async () => {
    const network = new Network().then(ok(1));
    const phone = await device(network);
    await phone.create("tasks", { id: "t1", name: "Milk" });
    for (const [place, put] of Object.entries(PLACES)) {
      const field = put(value);
      for (const made of [
        phone.create("tasks", { id: "t2", field }),
        phone.update("tasks", "t1", { field }),
        phone.change(async (change) => {
          await change.update("tasks", "t1", { name: "Bread" });
          await change.update("tasks", "t1", { field });
        }),
      ]) {
        await assert.rejects(made, (error) => {
          assert.ok(error instanceof MobyncError, `${place}: ${error}`);
          assert.deepEqual([error.name, error.code], ["MobyncError", "invalid_value"]);
          assert.match(error.message, /"field"/);
          return true;
        });
      }
    }
    await phone.sync();
    assert.deepEqual(lines(network.requests[0].diffs), ['create t1 {"name":"Milk"}']);
    assert.deepEqual(await phone.read("tasks"), [{ id: "t1", name: "Milk", done: false }]);
  });
}

for (const [what, id] of Object.entries({
  empty: "",
  "a number": 7,
  null: null,
  "an object": { id: "x" },
  "too long": "x".repeat(1025),
  "too long in UTF-8": "語".repeat(342),
  "a NUL": "a\0b",
  "half an emoji": "x\ud83d",
})) {
  test(`an id that is ${what} is told`, async () => {
    const phone = await device(new Network());
    await assert.rejects(phone.create("tasks", { id }), { code: "invalid_value" });
    await assert.rejects(phone.update("tasks", id, { name: "x" }), { code: "invalid_value" });
    await assert.rejects(phone.delete("tasks", id), { code: "invalid_value" });
    assert.equal(phone.status.pending, 0);
  });
}

test("fields that are no object are told, and an id that is undefined is none", async () => {
  const phone = await device(new Network());
  for (const fields of [undefined, null, 7, "name", ["name"], new Date(0), () => 1]) {
    await assert.rejects(phone.create("tasks", fields), { code: "invalid_value" });
  }
  assert.equal((await phone.create("tasks", { id: undefined, name: "Milk" })).id.length, 36);
});

test("all of JSON goes out as it was", async () => {
  const network = new Network().then(ok(1));
  const phone = await device(network);
  const field = {
    texts: ["", "é", "語", "😀", "\0", '"\\\n', "\u2028"],
    numbers: [0, -1, 0.1, 1e-300, 1.5, 2 ** 53 - 1, 1 - 2 ** 53, 1e21, Number.MAX_VALUE, Number.MIN_VALUE],
    others: [true, false, null, [], {}, { "": 1 }, JSON.parse('{"__proto__": {"a": 1}}')],
    shared: [NO_JSON["a hole"], NO_JSON["a hole"]].map(() => "twice"),
    deep: nested(124),
    elsewhere: runInContext("({ a: [1] })", createContext()),
    bare: Object.assign(Object.create(null), { a: 1 }),
  };
  const twice = { same: [1] };
  await phone.create("tasks", { id: "t1", field, left: twice, right: twice });
  await phone.sync();
  const sent = JSON.parse(network.requests[0].diffs[0].json_data);
  assert.deepEqual(sent.field, JSON.parse(JSON.stringify(field)));
  assert.deepEqual((await phone.read("tasks", "t1")).field, sent.field);
});

test("a change that is too large is told, in bytes as they are on their way", async () => {
  const phone = await device(new Network(), { maxChange: 2000 });
  await phone.create("tasks", { id: "t1", name: "x".repeat(1000) });
  for (const name of ["x".repeat(2000), "é".repeat(1000), "語".repeat(700), '"'.repeat(500), "\n".repeat(700)]) {
    await assert.rejects(phone.create("tasks", { name }), { code: "too_large" });
    await assert.rejects(phone.update("tasks", "t1", { name }), { code: "too_large" });
  }
  assert.equal(phone.status.pending, 1);
  const standard = await device(new Network());
  await standard.create("tasks", { name: "x".repeat(15 * 1024 * 1024) });
  await assert.rejects(standard.create("tasks", { name: "x".repeat(16 * 1024 * 1024) }), { code: "too_large" });
});

/** Changes as another version, or a damaged disk, may have left them. */
const STORED = {
  "half an emoji": { json_data: '{"id":"t2","name":"\\ud83d"}' },
  "a raw half of one": { json_data: '{"id":"t2","name":"\ud83d"}' },
  "an integer of 65 bits": { json_data: '{"id":"t2","n":9223372036854775808}' },
  "one of many digits": { json_data: `{"id":"t2","n":[{"n":-${"9".repeat(400)}}]}` },
  "a float that overflows": { json_data: '{"id":"t2","n":1e400}' },
  "too many levels": { json_data: `{"id":"t2","n":${"[".repeat(127)}${"]".repeat(127)}}` },
  "broken JSON": { json_data: "{" },
  "no object": { json_data: "[1]" },
  null: { json_data: "null" },
  "no text": { json_data: undefined },
  "no id": { json_data: '{"name":"x"}' },
  "an empty id": { json_data: '{"id":""}' },
  "an id with a NUL": { json_data: '{"id":"\\u0000"}' },
  "an id that is too long": { json_data: JSON.stringify({ id: "x".repeat(1025) }) },
  "an empty model": { model: "" },
  "a model with half an emoji": { model: "\ud83d" },
  "an empty diff id": { id: "" },
  "no diff id": { id: undefined },
  "a time before 1970": { utc_timestamp: -1 },
  "a broken time": { utc_timestamp: 1.5 },
  "too many bytes": { json_data: JSON.stringify({ id: "t2", name: "x".repeat(17 * 1024 * 1024) }) },
};

for (const [what, part] of Object.entries(STORED)) {
  test(`${what} in the store is set aside, and the rest is sent and comes back`, async () => {
    const store = memoryStore();
    const network = new Network().then(ok(1, [back("create", "t9", { name: "Bread" })]));
    const phone = await device(network, { store });
    await phone.create("tasks", { id: "t1", name: "Milk" });
    await phone.create("tasks", { id: "t2", name: "Tea" });
    await phone.create("tasks", { id: "t3", name: "Salt" });
    await store.write(async (tx) => {
      const [, entry] = await tx.all("pending");
      await tx.put("pending", { ...entry, diff: { ...entry.diff, ...part } });
    });
    assert.equal((await phone.sync()).state, "saved");
    const sent = network.requests.flatMap(({ diffs }) => lines(diffs));
    assert.deepEqual(sent, ['create t1 {"name":"Milk"}', 'create t3 {"name":"Salt"}']);
    const refused = await phone.refused();
    assert.deepEqual(
      refused.map(({ code }) => code),
      [what === "too many bytes" ? "too_large" : "invalid_value"],
    );
    assert.match(refused[0].message, /\w+ .*\.$/);
    assert.deepEqual(
      (await phone.read("tasks")).map(({ id }) => id),
      ["t1", "t3", "t9"],
    );
    assert.equal(phone.status.refused, 1);
    await phone.dismiss(refused[0].id);
    assert.equal(phone.status.refused, 0);
  });
}

test("a change that the server calls invalid goes to the person, alone", async () => {
  const blame = ({ diffs }) =>
    Response.json(
      { success: false, message: "It is wrong.", code: "invalid_diff", diff_id: diffs[1].id },
      { status: 400 },
    );
  const network = new Network().then(ok(1), blame, ok(2));
  const phone = await device(network, { fold: false });
  await phone.create("tasks", { id: "t1", name: "Milk" });
  await phone.sync();
  await phone.update("tasks", "t1", { done: true });
  await phone.update("tasks", "t1", { name: "Oat milk" });
  await phone.update("tasks", "t1", { done: false });
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(lines(network.requests.at(-1).diffs), ['update t1 {"done":true}', 'update t1 {"done":false}']);
  assert.deepEqual(await phone.read("tasks", "t1"), { id: "t1", name: "Milk", done: false });
  const [{ code, message, fields }] = await phone.refused();
  assert.deepEqual([code, message, fields], ["invalid_diff", "It is wrong.", { id: "t1", name: "Oat milk" }]);
});

test("a float beyond 64 bits, which a server may have, is given back as one", async () => {
  const row = { ...back("create", "t1"), json_data: '{"id":"t1","n":100000000000000000000,"m":-1e20}' };
  const network = new Network().then(ok(5, [row]), ok(1));
  const phone = await device(network);
  await phone.sync();
  await phone.resend();
  const { json_data } = network.requests[1].diffs[0];
  assert.match(json_data, /"n":1e\+20,"m":-1e\+20/);
  assert.equal((await phone.refused()).length, 0);
});
