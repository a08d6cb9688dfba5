// Spaces and the real server: two people share a list, on a network that loses requests and answers.

import assert from "node:assert/strict";
import test from "node:test";

import { Mobync, memoryStore } from "../../web/mobync.js";
import { chance, until } from "./network.mjs";

const server = process.env.TODO_SERVER;
if (!server)
  throw new Error("TODO_SERVER must be the address of a running todo server: run `cargo test -p todo --test client`");

const MODELS = { tasks: { name: "", done: false, position: 0, due: null, created_time: 0 } };
const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

function connect(person, options = {}) {
  return Mobync.open({
    person,
    url: `${server}/sync`,
    models: MODELS,
    token: () => person,
    store: memoryStore(),
    automatic: false,
    ...options,
  });
}

/** A device of a person that has joined the list of the family. */
async function member(person, options) {
  const device = await connect(person, options);
  await device.join("family");
  return Object.assign(device, { family: device.space("family") });
}

const tasks = async (space) => JSON.stringify(await space.read("tasks"));

test("two people share a list and nothing else, and the copies are the server's", async () => {
  const [ada, grace] = [await member("ada"), await member("grace")];
  const own = await ada.create("tasks", { name: "Ada's own" });
  const { id } = await ada.family.create("tasks", { name: "Milk" });
  await ada.sync();
  await grace.sync();
  await grace.family.update("tasks", id, { done: true });
  await ada.family.update("tasks", id, { name: "Oat milk" });
  await grace.sync();
  await ada.sync();
  await grace.sync();
  const [hers, his] = [await ada.family.read("tasks", id), await grace.family.read("tasks", id)];
  assert.deepEqual([hers.name, hers.done, his], ["Oat milk", true, hers]);
  assert.equal(await ada.family.read("tasks", own.id), undefined);
  assert.equal(await grace.read("tasks", own.id), undefined);
  assert.equal(await tasks(ada.family), await tasks(grace.family));
  for (const device of [ada, grace]) {
    assert.deepEqual([await device.family.check(), await device.check(), await device.unsent()], [[], [], 0]);
    assert.equal(device.family.status.state, "saved");
  }
});

test("Gone: a space that a person is not in is left, and stops nothing else", async () => {
  const ada = await member("ada");
  await ada.join("club");
  await ada.space("club").create("tasks", { name: "Chess" });
  await ada.family.create("tasks", { name: "Bread" });
  assert.equal((await ada.sync()).state, "saved");
  const [family, club] = await ada.spaces();
  assert.deepEqual([family, club.joined, club.refused], [{ space: "family", joined: true }, false, 1]);
  assert.match(club.message, /not a member/);
  assert.equal(await ada.unsent(), 1, "what was set aside");
  await ada.space("club").dismiss();
  assert.equal(await ada.unsent(), 0);
});

test("Rejoin: who leaves the list and joins it again becomes what a new device becomes", async () => {
  const ada = await member("ada");
  await ada.sync();
  await ada.family.create("tasks", { name: "before" });
  await ada.sync();
  await ada.leave("family");
  assert.deepEqual([await ada.spaces(), await ada.family.read("tasks")], [[], []]);
  await ada.join("family");
  await ada.sync();
  const fresh = await member("ada");
  await fresh.sync();
  assert.equal(await tasks(ada.family), await tasks(fresh.family));
});

test("a database of one person is refused to the token of another, before anything of it is sent", async () => {
  const who = { token: "ada" };
  const ada = await member("ada", { token: () => who.token });
  await ada.sync();
  const { id } = await ada.create("tasks", { name: "Secret" });
  await ada.family.create("tasks", { name: "From the right account" });
  who.token = "grace";
  assert.equal((await ada.sync()).problem.code, "other_owner");
  assert.equal(await ada.unsent(), 2);
  const grace = await connect("grace");
  await grace.sync();
  assert.equal(await grace.read("tasks", id), undefined);
  who.token = "ada";
  await ada.sync();
  assert.equal(await ada.unsent(), 0);
});

test("one stream tells of the person's own data and of the list", async () => {
  const options = { automatic: true, live: `${server}/sync/live`, debounce: 5, poll: 600_000 };
  const [phone, grace] = [await member("ada", options), await member("grace")];
  await until(() => phone.status.live && phone.family.status.live, "it is live");
  await grace.family.create("tasks", { id: `live-${Date.now()}`, name: "Live" });
  await grace.sync();
  const size = async (space) => (await space.read("tasks")).length;
  await grace.sync();
  const all = await size(grace.family);
  await until(async () => (await size(phone.family)) >= all, "the list has the news");
  const other = await connect("ada");
  await other.sync();
  const { id } = await other.create("tasks", { name: "Own" });
  await other.sync();
  await until(() => phone.read("tasks", id), "the person's own data have the news");
  await phone.close();
});

test("a token that is not valid any more stops all of it, and nothing is lost", async () => {
  const who = { token: "ada" };
  const ada = await member("ada", { token: () => who.token });
  await ada.sync();
  who.token = "mallory";
  await ada.family.create("tasks", { name: "Later" });
  await ada.sync();
  assert.deepEqual(
    [ada, ada.family].map(({ status }) => status.problem?.code),
    ["unauthenticated", "unauthenticated"],
  );
  assert.ok((await ada.spaces())[0].joined);
  who.token = "ada";
  await ada.sync();
  assert.equal(await ada.unsent(), 0);
});

/** Loses requests and answers. */
const lossy = (random) => async (url, init) => {
  if (random(8) === 0) throw new TypeError("fetch failed");
  const response = await fetch(url, init);
  if (random(8) > 0) return response;
  await response.text();
  throw new TypeError("fetch failed");
};

for (let seed = 1; seed <= 6; seed += 1) {
  test(`devices of two people that change their list and their own data converge (${seed})`, async () => {
    const random = chance(seed);
    const people = ["ada", "grace", "ada"];
    const devices = [];
    for (const person of people) devices.push(await member(person, { fetch: lossy(random), maxDiffs: 1 + random(5) }));
    for (let step = 0; step < 60; step += 1) {
      const device = devices[random(devices.length)];
      const space = random(2) ? device.family : device;
      const rows = await space.read("tasks");
      const row = rows[random(rows.length || 1)];
      const kind = random(12);
      if (kind < 3 || !row) await space.create("tasks", { name: `n${step}` });
      else if (kind < 6)
        await space.update("tasks", row.id, random(2) ? { name: `n${step}` } : { done: random(2) === 1 });
      else if (kind === 6) await space.delete("tasks", row.id);
      else if (kind === 7) await device.leave("family").then(() => device.join("family"));
      else await device.sync();
      await pause(1);
    }
    for (let round = 0; ; round += 1) {
      for (const device of devices) await device.sync();
      const isSaved = devices.every(
        ({ status, family }) => status.state === "saved" && family.status.state === "saved",
      );
      if (round > 2 && isSaved) break;
      assert.ok(round < 100, JSON.stringify(devices.map(({ status, family }) => [status, family.status])));
    }
    for (let round = 0; round < 20; round += 1) for (const device of devices) await device.sync();
    const lists = await Promise.all(devices.map(({ family }) => tasks(family)));
    assert.deepEqual([lists[1], lists[2]], [lists[0], lists[0]]);
    assert.equal(await tasks(devices[0]), await tasks(devices[2]));
  });
}
