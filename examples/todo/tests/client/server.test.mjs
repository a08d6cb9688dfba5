// Devices and the real server, on a network that loses requests and answers.
//
// `cargo test -p todo --test client` starts the server and tells its address in TODO_SERVER.

import assert from "node:assert/strict";
import test from "node:test";

import { Mobync, memoryStore } from "../../web/mobync.js";
import { chance, until } from "./network.mjs";

const server = process.env.TODO_SERVER;
if (!server)
  throw new Error("TODO_SERVER must be the address of a running todo server: run `cargo test -p todo --test client`");

const MODELS = { tasks: { name: "", done: false, position: 0, due: null, created_time: 0 } };

function connect(token, options = {}) {
  return Mobync.open({
    url: `${server}/sync`,
    live: `${server}/sync/live`,
    models: MODELS,
    token: () => token,
    store: memoryStore(),
    automatic: false,
    ...options,
  });
}

const tasks = async (device) => JSON.stringify(await device.read("tasks"));

async function erase(token) {
  const device = await connect(token);
  await device.sync();
  for (const { id } of await device.read("tasks")) await device.delete("tasks", id);
  assert.equal((await device.sync()).state, "saved");
}

test("two devices that changed one task apart converge, field by field", async () => {
  await erase("ada");
  const [phone, laptop] = [await connect("ada"), await connect("ada")];
  const { id } = await phone.create("tasks", { name: "Milk" });
  await phone.sync();
  await laptop.sync();
  await phone.update("tasks", id, { name: "Oat milk", done: true });
  await new Promise((resolve) => setTimeout(resolve, 5));
  await laptop.update("tasks", id, { name: "Soy milk" });
  await laptop.sync();
  await phone.sync();
  await laptop.sync();
  const { name, done } = await phone.read("tasks", id);
  assert.deepEqual([name, done], ["Soy milk", true]);
  assert.equal(await tasks(phone), await tasks(laptop));
});

test("a task without a name is refused with the server's sentence, and mended", async () => {
  await erase("ada");
  const phone = await connect("ada");
  await phone.create("tasks", { id: "t1", name: " " });
  await phone.update("tasks", "t1", { done: true });
  await phone.create("tasks", { id: "t2", name: "Bread" });
  await phone.sync();
  const [refused] = await phone.refused();
  assert.deepEqual([refused.code, refused.message], ["forbidden", "A task needs a title."]);
  assert.deepEqual(
    (await phone.read("tasks")).map((task) => task.id),
    ["t2"],
  );
  await phone.mend(refused.id, { name: "Milk" });
  assert.equal((await phone.sync()).state, "saved");
  const fresh = await connect("ada");
  await fresh.sync();
  assert.equal(await tasks(fresh), await tasks(phone));
  assert.equal((await fresh.read("tasks", "t1")).done, true);
});

test("a wrong token is told, and owners see nothing of each other", async () => {
  const stranger = await connect("mallory");
  assert.equal((await stranger.sync()).problem.code, "unauthenticated");
  const [ada, grace] = [await connect("ada"), await connect("grace")];
  await ada.create("tasks", { id: "secret", name: "Ada's" });
  await ada.sync();
  await grace.sync();
  assert.equal(await grace.read("tasks", "secret"), undefined);
});

test("a database of one owner takes nothing of another's, and tells", async () => {
  await Promise.all([erase("ada"), erase("grace")]);
  const [ada, grace] = [await connect("ada"), await connect("grace")];
  for (let number = 0; number < 3; number += 1) await ada.create("tasks", { name: "Ada's" });
  await ada.sync();
  let token = "ada";
  const shared = await connect("ada", { token: () => token });
  await shared.sync();
  token = "grace";
  await shared.create("tasks", { name: "Ada's" });
  // Whichever owner's clock is ahead.
  do {
    await grace.create("tasks", { name: "Grace's" });
    await grace.sync();
    const { state, problem, pending } = await shared.sync();
    assert.deepEqual([state, problem?.code, pending], ["stopped", "other_owner", 1]);
  } while (grace.status.clock <= shared.status.clock);
  assert.deepEqual(new Set((await shared.read("tasks")).map(({ name }) => name)), new Set(["Ada's"]));
  token = "ada";
  assert.equal((await shared.sync()).state, "saved");
});

/** Values that no column of the application has to take: whatever is recorded never blocks the rest. */
test("what the client records, the server can read", async () => {
  await erase("ada");
  const phone = await connect("ada");
  const nested = (levels) => Array.from({ length: levels }).reduce((inside) => [inside], 0);
  const values = [
    2 ** 53 - 1,
    1 - 2 ** 53,
    1e21,
    Number.MAX_VALUE,
    -Number.MIN_VALUE,
    -0,
    "\0",
    "😀",
    nested(126),
    { "": [{}] },
  ];
  for (const [place, position] of values.entries()) {
    await phone.create("tasks", { name: "Milk", position });
    await phone
      .create("tasks", { id: place % 2 ? "é".repeat(512) : "x".repeat(1024), name: "Tea" })
      .catch(({ code }) => assert.equal(code, "exists"));
  }
  const { state, problem } = await phone.sync();
  assert.deepEqual([state, problem], ["saved", null]);
  for (const { code } of await phone.refused()) assert.match(code, /^(invalid_value|constraint)$/);
  const fresh = await connect("ada");
  await fresh.sync();
  assert.equal(await tasks(fresh), await tasks(phone));
});

/** The same device, but the server gives it only so many log entries at a time. */
const inPages = (limit, heard = []) => ({
  fetch: async (url, init) => {
    const asked = JSON.parse(init.body);
    const body = JSON.stringify({ ...asked, ...(asked.limit && { limit }) });
    const response = await fetch(url, { ...init, body });
    heard.push(await response.clone().json());
    return response;
  },
});

test("in pages of any size a new device becomes the same as at once, and tells how far it is", async () => {
  await erase("ada");
  const phone = await connect("ada");
  for (let number = 0; number < 12; number += 1) {
    const { id } = await phone.create("tasks", { name: `Task ${number}`, position: number });
    if (number % 2) await phone.update("tasks", id, { done: true });
    if (number % 3 === 0) await phone.delete("tasks", id);
    await phone.sync();
  }
  for (const limit of [1, 2, 5, 1000]) {
    const heard = [];
    const fresh = await connect("ada", inPages(limit, heard));
    const progress = [];
    fresh.addEventListener("status", () => progress.push(fresh.status.progress));
    await fresh.create("tasks", { id: "mine", name: "Mine" });
    assert.equal((await fresh.sync()).state, "saved");
    const pages = heard.filter(({ more }) => more !== undefined);
    assert.equal(pages.length > 5, limit < 10, `${limit}: ${pages.length}`);
    assert.ok(pages.every(({ head }) => typeof head === "string"));
    const shown = progress.filter((part) => part !== null);
    assert.deepEqual(
      shown,
      [...shown].sort((a, b) => a - b),
    );
    await phone.sync();
    assert.equal(await tasks(fresh), await tasks(phone));
    await fresh.delete("tasks", "mine");
    await fresh.sync();
    await phone.sync();
  }
});

test("a device whose history the server does not have is told, and sends everything again", async () => {
  await erase("ada");
  const [phone, laptop] = [await connect("ada"), await connect("ada")];
  await laptop.create("tasks", { name: "Milk" });
  await laptop.sync();
  await phone.sync();
  const store = memoryStore();
  const lost = await connect("ada", { store });
  await lost.sync();
  await store.write(async (tx) => {
    await tx.put("meta", { ...(await tx.get("meta", "state")), head: "of a lost history" });
    await tx.put("objects", { model: "tasks", id: "only-here", row: { id: "only-here", name: "Tea" } });
  });
  assert.equal((await lost.sync()).problem.code, "other_history");
  assert.equal((await lost.resend()).state, "saved");
  assert.equal((await lost.sync()).state, "saved");
  await phone.sync();
  assert.equal(await tasks(phone), await tasks(lost));
  assert.deepEqual((await phone.read("tasks")).map(({ name }) => name).sort(), ["Milk", "Tea"]);
});

test("a value that lost is reported, and put back it wins", async () => {
  await erase("ada");
  const [phone, laptop] = [await connect("ada"), await connect("ada")];
  const { id } = await phone.create("tasks", { name: "Milk" });
  await phone.sync();
  await laptop.sync();
  await phone.update("tasks", id, { name: "Mine", done: true });
  await new Promise((resolve) => setTimeout(resolve, 5));
  await laptop.update("tasks", id, { name: "Theirs" });
  await laptop.sync();
  assert.equal((await phone.sync()).overridden, 1);
  const [lost] = await phone.overridden();
  const { sent, stands } = lost.fields.name;
  assert.deepEqual([Object.keys(lost.fields), sent, stands], [["name"], "Mine", "Theirs"]);
  await phone.putBack(lost.id);
  await phone.sync();
  await laptop.sync();
  assert.equal((await laptop.read("tasks", id)).name, "Mine");

  await laptop.delete("tasks", id);
  await laptop.sync();
  await phone.update("tasks", id, { name: "Still mine" });
  await phone.sync();
  assert.equal(await phone.read("tasks", id), undefined);
  await phone.putBack((await phone.overridden())[0].id);
  await phone.sync();
  await laptop.sync();
  const { name, done } = await laptop.read("tasks", id);
  assert.deepEqual([name, done], ["Still mine", true]);
});

test("the server's checksums are those of a right copy; a wrong one is told, and fetched again", async () => {
  await erase("ada");
  const store = memoryStore();
  const [phone, laptop] = [await connect("ada", { store }), await connect("ada")];
  const values = ["Milk 😀", 'a "quoted" \\ text\n', "\u0001", "~ é ～"];
  for (const [position, name] of values.entries()) await laptop.create("tasks", { name, position: position / 3 });
  for (const position of [1e300, -0.1, 2 ** 52, -7]) await laptop.create("tasks", { name: "Number", position });
  await laptop.create("tasks", { id: "é-id", name: "Due", due: "2030-01-01", done: true, created_time: 2 ** 52 });
  await laptop.sync();
  await phone.create("tasks", { name: "Mine" });
  assert.deepEqual(await phone.check(), []);
  await laptop.sync();
  assert.deepEqual(await laptop.check(), []);
  const there = (await phone.read("tasks")).length;
  await store.write(async (tx) => {
    const [first, second] = await tx.all("objects");
    await tx.delete("objects", ["tasks", first.id]);
    await tx.put("objects", { ...second, row: { ...second.row, name: "Wrong" } });
  });
  assert.deepEqual(await phone.check(), [{ model: "tasks", here: there - 1, there, differs: "objects" }]);
  assert.equal((await phone.refetch()).state, "saved");
  assert.deepEqual(await phone.check(), []);
  assert.equal(await tasks(phone), await tasks(laptop));
});

test("a live update arrives without touching anything", async () => {
  await erase("grace");
  const [phone, laptop] = [await connect("grace", { automatic: true }), await connect("grace", { automatic: true })];
  await until(() => laptop.status.live && phone.status.live, "both listen");
  const { id } = await phone.create("tasks", { name: "Milk" });
  await until(() => laptop.read("tasks", id), "it is on the other device");
  await laptop.update("tasks", id, { done: true });
  await until(async () => (await phone.read("tasks", id)).done, "and back");
  await Promise.all([phone.close(), laptop.close()]);
});

/**
 * Several devices of one owner make arbitrary changes, also while a request of theirs is under way;
 * the network loses requests and answers, and restarts happen. In the end they are equal.
 */
for (let seed = 1; seed <= 25; seed += 1) {
  test(`whatever happens on the way, all devices converge (${seed})`, async () => {
    const random = chance(seed);
    const pick = (from) => from[random(from.length)];
    await erase("ada");
    let quiet = false;
    const devices = [];

    const change = async (device) => {
      const rows = await device.mobync.read("tasks");
      const fresh = `o${seed}-${random(6)}`;
      const kind = random(10);
      if (kind < 3 && !rows.some(({ id }) => id === fresh)) {
        await device.mobync.create("tasks", { id: fresh, name: pick(["Milk", "Bread", "Tea"]), position: random(9) });
      } else if (kind < 8 && rows.length > 0) {
        const fields = pick([
          () => ({ name: pick(["Salt", "Rice", "", "Corn"]) }),
          () => ({ done: random(2) === 1 }),
          () => ({ due: pick([null, "2030-01-01"]), position: random(9) }),
        ])();
        await device.mobync.update("tasks", pick(rows).id, fields);
      } else if (rows.length > 0) {
        await device.mobync.delete("tasks", pick(rows).id);
      }
    };
    const open = async (device) => {
      device.mobync = await connect("ada", {
        store: device.store,
        maxDiffs: 3,
        // Each device's clock is off by its own amount.
        now: () => Date.now() + device.drift,
        fetch: async (url, init) => {
          const asked = JSON.parse(init.body);
          const body = JSON.stringify({ ...asked, ...(asked.limit && { limit: 20 + random(40) }) });
          if (quiet) return fetch(url, { ...init, body });
          if (random(5) === 0) throw new TypeError("the request got lost");
          const response = await fetch(url, { ...init, body });
          const text = await response.text();
          while (random(2) === 0) await change(device);
          if (random(4) === 0) throw new TypeError("the answer got lost");
          return new Response(text, { status: response.status, headers: response.headers });
        },
      });
    };
    for (const drift of [0, -60_000, 3000]) {
      const device = { drift, store: memoryStore() };
      await open(device);
      devices.push(device);
    }
    for (let step = 0; step < 60; step += 1) {
      const device = pick(devices);
      const what = random(8);
      if (what < 5) await change(device);
      else if (what < 7) await device.mobync.sync();
      else {
        await device.mobync.close();
        await open(device);
      }
    }
    quiet = true;
    for (let round = 0; round < 2; round += 1) {
      for (const { mobync } of devices) assert.equal((await mobync.sync()).state, "saved");
    }
    const fresh = await connect("ada");
    await fresh.sync();
    for (const { mobync } of devices) {
      assert.equal(await tasks(mobync), await tasks(fresh));
      assert.deepEqual(await mobync.check(), []);
    }
  });
}
