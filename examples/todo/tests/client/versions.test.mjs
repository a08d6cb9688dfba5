// Apps of several versions beside each other, and the real server, on a network that loses requests and answers.
//
// `cargo test -p todo --test client` starts the server and tells its address in TODO_VERSIONS_SERVER.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { Mobync, memoryStore } from "../../web/mobync.js";
import { chance } from "./network.mjs";

const server = process.env.TODO_VERSIONS_SERVER;
if (!server)
  throw new Error("TODO_VERSIONS_SERVER must be the address of a todo server: run `cargo test -p todo --test client`");

const SCHEMA = JSON.parse(readFileSync(new URL("../../web/schema.json", import.meta.url), "utf8"));
const NEWER = [
  ...SCHEMA,
  { since: 3, model: "tasks", rename: "title", to: "text" },
  { since: 3, model: "tasks", add: "color", default: "none" },
];
const models = (field) => ({ tasks: { [field]: "", done: false, position: 0, due: null, created_time: 0 } });
const APPS = {
  silent: { models: models("name") },
  first: { models: models("name"), schema: [] },
  second: { models: models("title"), schema: SCHEMA },
  third: { models: models("text"), schema: NEWER },
};
const FIELD = { silent: "name", first: "name", second: "title", third: "text" };

const connect = (app, options = {}) =>
  Mobync.open({
    url: `${server}/sync`,
    token: () => "ada",
    store: memoryStore(),
    automatic: false,
    ...APPS[app],
    ...options,
  });

async function erase() {
  const device = await connect("second");
  await device.sync();
  for (const { id } of await device.read("tasks")) await device.delete("tasks", id);
  assert.equal((await device.sync()).state, "saved");
}

/** The rows as each version must have them. */
const asSeen = (rows, app) =>
  rows.map(({ title, note, ...row }) => {
    if (FIELD[app] === "name") return { ...row, name: title };
    return app === "third" ? { ...row, text: title, note, color: "none" } : { ...row, title, note };
  });

test("an old app and a new one see the same tasks, each by its own names", async () => {
  await erase();
  const [old, fresh, silent] = [await connect("first"), await connect("second"), await connect("silent")];
  const { id } = await old.create("tasks", { name: "Milk" });
  await old.sync();
  await fresh.sync();
  assert.deepEqual(await fresh.read("tasks", id).then(({ title, note, name }) => [title, note, name]), [
    "Milk",
    "",
    undefined,
  ]);
  await fresh.update("tasks", id, { note: "Two litres" });
  await fresh.create("tasks", { id: "t2", title: "Tea", note: "Green" });
  await fresh.sync();
  await old.update("tasks", id, { name: "Oat milk", done: true });
  await old.sync();
  await fresh.sync();
  await silent.sync();
  const rows = await fresh.read("tasks");
  assert.deepEqual(rows.map(({ title, note, done }) => [title, note, done]).sort(), [
    ["Oat milk", "Two litres", true],
    ["Tea", "Green", false],
  ]);
  assert.deepEqual(await old.read("tasks"), asSeen(rows, "first"));
  assert.deepEqual(await silent.read("tasks"), asSeen(rows, "silent"));
  for (const device of [old, fresh, silent]) assert.deepEqual(await device.check(), []);
});

test("an updated app gets what its old version was never sent, and sends what was pending by the new names", async () => {
  await erase();
  const store = memoryStore();
  const [old, other] = [await connect("first", { store }), await connect("second")];
  await other.create("tasks", { id: "t1", title: "Milk", note: "Two litres" });
  await other.sync();
  await old.sync();
  await old.update("tasks", "t1", { name: "Oat milk" });
  await old.create("tasks", { id: "t2", name: "Tea" });
  await old.close();
  const updated = await connect("second", { store });
  assert.deepEqual(await updated.read("tasks", "t1").then(({ title, note }) => [title, note]), ["Oat milk", ""]);
  assert.equal((await updated.sync()).state, "saved");
  await other.sync();
  assert.equal((await updated.read("tasks", "t1")).note, "Two litres");
  assert.deepEqual(await updated.read("tasks"), await other.read("tasks"));
  assert.deepEqual(await updated.check(), []);
});

test("an app that is newer than the server reads it by its own names, and keeps what the server does not know yet", async () => {
  await erase();
  const [other, newer] = [await connect("second"), await connect("third")];
  await other.create("tasks", { id: "t1", title: "Milk", note: "Two litres" });
  await other.sync();
  await newer.sync();
  assert.deepEqual(await newer.read("tasks"), asSeen(await other.read("tasks"), "third"));
  assert.deepEqual(await newer.check(), []);
  await newer.update("tasks", "t1", { done: true });
  assert.equal((await newer.sync()).state, "saved");
  await newer.update("tasks", "t1", { color: "red" });
  const { state, problem, pending } = await newer.sync();
  assert.deepEqual([state, problem.code, pending], ["offline", "unknown_field", 1]);
  assert.match(problem.message, /newer|version|update/i);
});

/**
 * Laws Lens, Projection and Kept: whatever devices of several versions do, and whenever their apps are updated,
 * they have the server's rows as their version has them.
 */
for (let seed = 1; seed <= 25; seed += 1) {
  test(`devices of all versions converge, whenever their apps are updated (${seed})`, async () => {
    const random = chance(seed);
    const pick = (from) => from[random(from.length)];
    await erase();
    let quiet = false;
    const devices = [];
    const made = new Set();

    const change = async (device) => {
      const rows = await device.mobync.read("tasks");
      const fresh = `o${seed}-${random(6)}`;
      const field = FIELD[device.app];
      const note = () => (device.app === "second" ? { note: pick(["", "Soon", "Later"]) } : {});
      const kind = random(10);
      if (kind < 3 && !rows.some(({ id }) => id === fresh)) {
        await device.mobync.create("tasks", { id: fresh, [field]: pick(["Milk", "Bread", "Tea"]), ...note() });
      } else if (kind < 8 && rows.length > 0) {
        const fields = pick([
          () => ({ [field]: pick(["Salt", "Rice", "", "Corn"]) }),
          () => ({ done: random(2) === 1, ...note() }),
          () => ({ position: random(9) }),
          note,
        ])();
        await device.mobync.update("tasks", pick(rows).id, fields);
      } else if (rows.length > 0) {
        await device.mobync.delete("tasks", pick(rows).id);
      }
    };
    const open = async (device) => {
      device.mobync = await connect(device.app, {
        store: device.store,
        maxDiffs: 3,
        now: () => Date.now() + device.drift,
        fetch: async (url, init) => {
          const asked = JSON.parse(init.body);
          const body = JSON.stringify({ ...asked, ...(asked.limit && { limit: 3 + random(40) }) });
          asked.diffs.forEach(({ id }) => made.add(id));
          if (quiet) return fetch(url, { ...init, body });
          if (random(6) === 0) throw new TypeError("the request got lost");
          const response = await fetch(url, { ...init, body });
          const text = await response.text();
          while (random(3) === 0) await change(device);
          if (random(6) === 0) throw new TypeError("the answer got lost");
          return new Response(text, { status: response.status, headers: response.headers });
        },
      });
    };
    for (const [place, app] of ["silent", "first", "second", "first"].entries()) {
      const device = { app, drift: [0, -60_000, 3000, 0][place], store: memoryStore() };
      await open(device);
      devices.push(device);
    }
    for (let step = 0; step < 80; step += 1) {
      const device = pick(devices);
      const what = random(9);
      if (what < 5) await change(device);
      else if (what < 8) await device.mobync.sync();
      else {
        await device.mobync.close();
        const before = await device.store.read((tx) => tx.all("pending"));
        if (random(2) === 0 && device !== devices[0]) device.app = "second";
        await open(device);
        const after = await device.store.read((tx) => tx.all("pending"));
        const ids = (pending) => pending.map(({ seq, diff }) => `${seq} ${diff.id}`);
        assert.deepEqual(ids(after), ids(before), "Kept");
      }
    }
    quiet = true;
    for (let round = 0; round < 2; round += 1) {
      for (const { mobync } of devices) {
        const { state, problem } = await mobync.sync();
        assert.equal(state, "saved", problem?.message);
      }
    }
    const newest = await connect("second");
    await newest.sync();
    const rows = await newest.read("tasks");
    for (const { app, mobync } of devices) {
      assert.deepEqual(await mobync.read("tasks"), asSeen(rows, app), "Projection");
      assert.deepEqual(await mobync.check(), []);
    }
    const log = await (await fetch(`${server}/records/diffs`, { headers: { Authorization: "Bearer ada" } })).json();
    const counted = log.filter(({ id }) => made.has(id)).map(({ id }) => id);
    assert.equal(new Set(counted).size, counted.length);
    assert.equal(counted.length, made.size, "each change that was sent counts once");
  });
}
