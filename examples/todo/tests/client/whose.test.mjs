// Whose data is it? A server that names owners, another account, and deleting what is on the device.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { Network, back, device, ok, until } from "./network.mjs";
import { Teams, deviceOf } from "./teams.mjs";

/** Ada's device has synced something, and has something that is not sent; then another account answers. */
async function another(options = {}) {
  const server = new Teams();
  const who = { token: "ada" };
  for (const person of ["ada", "grace"]) server.invite("family", person);
  const phone = await deviceOf(server, "ada", { token: () => who.token, ...options });
  await phone.join("family");
  await phone.create("tasks", { id: "t1", name: "Milk" });
  await phone.space("family").create("tasks", { id: "f1", name: "Tea" });
  await phone.sync();
  await phone.sync();
  await phone.create("tasks", { id: "t2", name: "Secret" });
  await phone.space("family").create("tasks", { id: "f2", name: "Salt" });
  server.of("grace").put("tasks", { id: "g1", name: "Hers" });
  server.requests.length = 0;
  who.token = "grace";
  return { server, phone, who };
}

const names = async (space) => (await space.read("tasks")).map(({ name }) => name);

test("the owner is asked for with each request, remembered, and named from then on", async () => {
  const named = (clock) => ok(clock, [], undefined, { owner: "ada" });
  const network = new Network().then(named(1), named(2), named(2));
  const store = memoryStore();
  const phone = await device(network, { store });
  await phone.create("tasks", { id: "t1" });
  await phone.sync();
  await phone.create("tasks", { id: "t2" });
  await phone.sync();
  await phone.close();
  await (await device(network, { store, token: () => "renewed" })).sync();
  assert.deepEqual(
    network.requests.map(({ owner, diffs }) => [owner, diffs.length]),
    [
      ["", 1],
      ["ada", 1],
      ["ada", 0],
    ],
  );
});

test("an answer that names another owner is not applied, with or without diffs", async () => {
  for (const diffs of [[], [back("create", "g1")]]) {
    const named = (owner, clock, of) => ok(clock, of, undefined, { owner });
    const network = new Network().then(named("ada", 1), named("grace", 2, diffs));
    const phone = await device(network);
    await phone.create("tasks", { id: "t1" });
    await phone.sync();
    await phone.create("tasks", { id: "t2" });
    const { problem, pending, clock } = await phone.sync();
    assert.deepEqual([problem.code, problem.lasting, pending, clock], ["other_owner", true, 1, 1]);
  }
});

test("another account gets nothing, and by default everything is kept", async () => {
  for (const otherOwner of [undefined, "keep", () => "keep", async () => "keep"]) {
    const { server, phone, who } = await another({ otherOwner });
    const { state, problem } = await phone.sync();
    assert.deepEqual([state, problem.code, await phone.unsent()], ["stopped", "other_owner", 2]);
    assert.equal(phone.space("family").status.problem.code, "other_owner");
    assert.deepEqual(
      [await names(phone), await names(phone.space("family"))],
      [
        ["Milk", "Secret"],
        ["Tea", "Salt"],
      ],
    );
    assert.deepEqual(server.of("grace").rows().length, 1);
    assert.ok(
      server.requests.every(({ syncs }) => !syncs),
      "nothing of the space was asked",
    );
    who.token = "ada";
    await phone.sync();
    await phone.sync();
    assert.deepEqual([phone.status.problem, await phone.unsent()], [null, 0]);
    assert.deepEqual([server.of("ada").rows().length, server.in("family").rows().length], [2, 2]);
  }
});

test("the application is asked once, until there has been an answer of the right owner", async () => {
  const asked = [];
  const { phone, who } = await another({ otherOwner: (whose) => (asked.push(whose.owner), "keep") });
  for (const _ of "123") await phone.sync();
  await until(() => asked.length > 0, "it is asked");
  assert.deepEqual(asked, ["ada"]);
  who.token = "ada";
  await phone.sync();
  who.token = "grace";
  await phone.sync();
  await until(() => asked.length === 2, "it is asked again");
});

test("forget: the device begins as a new one of the other owner", async () => {
  for (const otherOwner of ["forget", () => "forget", async () => "forget"]) {
    const { server, phone } = await another({ otherOwner });
    const seen = [];
    phone.subscribe("tasks", ({ records }) => seen.push(records.map(({ name }) => name).join()));
    await phone.sync();
    await until(() => phone.status.state === "saved", "it has synced for Grace");
    assert.deepEqual([await names(phone), await phone.spaces(), await phone.unsent()], [["Hers"], [], 0]);
    assert.deepEqual([await names(phone.space("family")), seen.at(-1)], [[], "Hers"]);
    await phone.create("tasks", { id: "g2", name: "Also hers" });
    await phone.sync();
    assert.deepEqual([server.of("grace").rows().length, server.of("ada").rows().length], [2, 1]);
    await phone.join("family");
    await phone.sync();
    await phone.sync();
    assert.deepEqual([await names(phone.space("family")), server.in("family").rows().length], [["Tea"], 1]);
  }
});

test("forget: an answer that comes later, to what was asked before, changes nothing", async () => {
  const { phone, server, who } = await another({ otherOwner: "forget" });
  let release;
  who.token = "ada";
  server.after = ({ syncs }) => syncs && new Promise((resolve) => (release = () => resolve(undefined)));
  const under = phone.space("family").sync();
  await until(() => release, "the request of the space is under way");
  server.after = () => undefined;
  who.token = "grace";
  await phone.sync();
  await until(async () => (await names(phone)).join() === "Hers", "it has begun for Grace");
  release();
  await under;
  assert.deepEqual([await names(phone.space("family")), await phone.spaces()], [[], []]);
});

test("a server that names nobody is asked as ever before a new token sends anything", async () => {
  const store = memoryStore();
  const network = new Network().then(
    ok(3, [back("create", "t0")]),
    ok(3, [{ ...back("create", "g"), owner: "grace" }]),
  );
  const phone = await device(network, { store });
  await phone.sync();
  await phone.close();
  const again = await device(network, { store, token: () => "grace" });
  await again.create("tasks", { id: "t1" });
  assert.equal((await again.sync()).problem.code, "other_owner");
  assert.deepEqual(network.requests.at(-1).diffs, []);
});

test("after a server that named the owner, one that does not is asked again", async () => {
  const store = memoryStore();
  const network = new Network().then(
    ok(3, [back("create", "t0")], undefined, { owner: "ada" }),
    ok(4, [back("update", "t0", { done: true })]), // of before
    ok(4, [{ ...back("create", "g"), owner: "grace" }]),
  );
  const phone = await device(network, { store });
  await phone.sync();
  await phone.sync();
  await phone.close();
  const again = await device(network, { store, token: () => "grace" });
  await again.create("tasks", { id: "t1" });
  assert.equal((await again.sync()).problem.code, "other_owner");
  assert.deepEqual(network.requests.at(-1).diffs, []);
});

// ----------------------------------------------------------------------------------- deleting

test("unsent counts what is not on the server, in all spaces", async () => {
  const { phone, who } = await another();
  assert.equal(await phone.unsent(), 2);
  who.token = "ada";
  await phone.sync();
  assert.equal(await phone.unsent(), 0);
});

test("destroy: nothing is left, other tabs stop, and the next to open it begins as a new device", async () => {
  const { server, phone } = await another();
  const { store } = phone;
  const tab = await deviceOf(server, "ada", { store });
  const space = tab.space("family");
  assert.equal((await names(space)).length, 2);
  await phone.destroy();
  await until(() => tab.status.problem && space.status.problem, "the other tab knows");
  for (const { status } of [tab, space]) {
    assert.deepEqual([status.problem.code, status.state, status.problem.lasting], ["database_gone", "stopped", true]);
  }
  const { length } = server.requests;
  await tab.sync();
  assert.equal(server.requests.length, length);
  assert.deepEqual(await store.read(async (tx) => [await tx.all("meta"), await tx.of("family").all("objects")]), [
    [],
    [],
  ]);
  const anew = await deviceOf(server, "ada", { store });
  assert.deepEqual([await names(anew), await anew.spaces(), anew.status.clock], [[], [], 0]);
  await anew.sync();
  assert.deepEqual(await names(anew), ["Milk"]);
});

test("destroy: what another tab is about to write finds the database gone", async () => {
  const { server, phone } = await another();
  const { store } = phone;
  const tab = await deviceOf(server, "ada", { store });
  const kept = { ...store, destroy: () => new Promise(() => {}) }; // it dies before it has deleted
  const dying = await deviceOf(server, "ada", { store: kept });
  void dying.destroy();
  await until(async () => (await store.read((tx) => tx.get("meta", "schema")))?.isGone, "it has begun");
  await assert.rejects(tab.create("tasks", { name: "late" }), { code: "database_gone" });
  await assert.rejects(tab.space("family").create("tasks", { name: "late" }), { code: "database_gone" });
  const anew = await deviceOf(server, "ada", { store });
  assert.deepEqual([await names(anew), await anew.spaces()], [[], []]);
});

test("destroy: a request under way is given up", async () => {
  const { phone, server, who } = await another();
  who.token = "ada";
  server.before = () => new Promise(() => {});
  const under = phone.sync();
  await until(() => server.requests.length > 0, "it asks");
  await phone.destroy();
  await under;
  assert.deepEqual(await phone.store.read((tx) => tx.all("meta")), []);
});
