// Is this still the same history? Heads, restored backups, and servers that have forgotten the past.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { Network, back, device, failure, lost, ok } from "./network.mjs";

const ids = async (mobync) => (await mobync.read("tasks")).map(({ id }) => id);
const head = (clock, text, diffs) => ok(clock, diffs, undefined, { head: text });

test("the head of the last answer that had one is sent with the clock, also after a restart", async () => {
  const store = memoryStore();
  const network = new Network().then(head(3, "three"), ok(3), head(5, "five"), ok(5));
  const phone = await device(network, { store, isNew: true });
  for (let round = 0; round < 3; round += 1) await phone.sync();
  await phone.close();
  await (await device(network, { store })).sync();
  assert.deepEqual(
    network.requests.map(({ logical_clock, head }) => [logical_clock, head]),
    [
      [0, ""],
      [3, "three"],
      [3, "three"],
      [5, "five"],
    ],
  );
});

test("a server of before among new ones makes no head stale", async () => {
  const network = new Network().then(head(3, "three"), ok(4), head(6, "six"), ok(6));
  const phone = await device(network);
  for (let round = 0; round < 4; round += 1) await phone.sync();
  assert.deepEqual(
    network.requests.map(({ head }) => head),
    ["", "three", "", "six"],
  );
});

test("a database of an older version of the client has no head, and asks no more than before", async () => {
  const store = memoryStore();
  const old = { key: "state", clock: 7, unanswered: 2, syncedAt: 400, deleted: [], person: null, owner: "ada" };
  await store.write((tx) => tx.put("meta", { ...old, failures: 0, token: null }));
  const network = new Network().then(ok(7, [back("create", "t0")]), ok(8));
  const phone = await device(network, { store });
  await phone.create("tasks", { id: "t1" });
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(
    network.requests.map(({ logical_clock, head, diffs }) => [logical_clock, head, diffs.length]),
    [
      [6, undefined, 0], // whose token it is
      [7, "", 1],
    ],
  );
});

for (const code of ["clock_ahead", "other_history"]) {
  async function restored(options) {
    const network = new Network().then(
      head(3, "three", [back("create", "t1", { name: "Milk" }), back("create", "t2", { name: "Bread" })]),
      failure(409, code),
    );
    const phone = await device(network, options);
    await phone.sync();
    phone.clock.now = 900;
    await phone.update("tasks", "t1", { done: true });
    return { network, phone };
  }

  test(`at ${code} syncing stops until a person says that it is the right server`, async () => {
    const { network, phone } = await restored();
    const { state, problem, pending } = await phone.sync();
    assert.deepEqual([state, problem.code, pending], ["stopped", code, 1]);
    network.then(failure(409, code));
    phone.clock.now += 10 * 24 * 60 * 60 * 1000; // nobody was there for days
    await phone.sync();
    assert.deepEqual(await ids(phone), ["t1", "t2"]);
    network.then(head(2, "two", [back("create", "t9")]));
    assert.equal((await phone.resend()).state, "saved");
    const { logical_clock, head: sent, diffs, limit } = network.requests.at(-1);
    assert.deepEqual([logical_clock, sent, limit], [0, "", undefined]);
    assert.deepEqual(
      diffs.map(({ type, json_data }) => [type, JSON.parse(json_data).id]),
      [
        ["create", "t1"],
        ["create", "t2"],
        ["update", "t1"],
      ],
    );
    assert.deepEqual(await ids(phone), ["t1", "t2", "t9"]);
  });

  test(`with the option recover, ${code} is no question`, async () => {
    const store = memoryStore();
    const { network, phone } = await restored({ recover: true, store });
    network.then(ok(1, [], undefined, { more: 2 }), head(2, "two", [back("create", "t1")]), head(4, "four"));
    assert.equal((await phone.sync()).state, "saved");
    assert.deepEqual(
      network.requests.slice(2).map(({ logical_clock, diffs }) => [logical_clock, diffs.length]),
      [
        [0, 0],
        [1, 0],
        [0, 3],
      ],
    );
    const backup = await store.read((tx) => tx.get("meta", "backup"));
    assert.deepEqual([backup.state.clock, backup.objects.length, backup.pending.length], [3, 2, 1]);
  });

  test(`with the option recover, ${code} on another token sends nothing before it is the owner's`, async () => {
    let token = "ada";
    const { network, phone } = await restored({ recover: true, token: () => token });
    token = "grace";
    const hers = () => ({ ...back("create", "g1"), owner: "grace" });
    network.then(ok(9, [], undefined, { more: 12 }), ok(12, [hers()]));
    const { state, problem } = await phone.sync();
    assert.deepEqual([state, problem.code], ["stopped", "other_owner"]);
    assert.ok(network.requests.every(({ diffs }) => diffs.length === 0));
    assert.deepEqual(
      network.requests.slice(1).map(({ logical_clock, limit }) => [logical_clock, limit > 0]),
      [
        [2, true],
        [0, true],
        [9, true],
      ],
    );
  });
}

for (const [whose, account, found] of [
  ["an empty account", ok(0), "clock_ahead"],
  ["an account whose pages are all empty", ok(2, [], undefined, { head: "two" }), "clock_ahead"],
  ["Grace's", ok(2, [{ ...back("create", "g1"), owner: "grace" }]), "other_owner"],
  ["an account that cannot be read now", failure(503, "busy"), "busy"],
]) {
  for (const pending of [0, 1]) {
    test(`with the option recover, ${whose} gets nothing of Ada's (${pending} pending)`, async () => {
      const store = memoryStore();
      const network = new Network().then(head(3, "three", [back("create", "t1", { name: "Milk" })]));
      const phone = await device(network, { recover: true, store });
      await phone.sync();
      if (pending) await phone.update("tasks", "t1", { done: true });
      network.then(failure(409, "clock_ahead"), account);
      const { problem, clock } = await phone.sync();
      assert.deepEqual([problem.code, clock, phone.status.pending], [found, 3, pending]);
      assert.deepEqual([network.requests.length, network.requests.at(-1).diffs], [3, []]);
      assert.equal(await store.read((tx) => tx.get("meta", "backup")), undefined);
      // A person may still say that it is the right server.
      if (found !== "clock_ahead") return;
      network.then(head(3, "new"));
      assert.equal((await phone.resend()).state, "saved");
    });
  }
}

test("while it recovers, another token's empty account gets nothing of Ada's", async () => {
  let token = "ada";
  const t1 = back("create", "t1", { name: "Milk" });
  const network = new Network().then(head(3, "three", [t1]), failure(409, "clock_ahead"), ok(1, [t1]), lost);
  const phone = await device(network, { recover: true, token: () => token });
  await phone.sync();
  assert.equal((await phone.sync()).problem.code, "no_answer");
  assert.equal(network.requests.at(-1).diffs.length, 1);
  token = "grace";
  network.then(ok(0), ok(0));
  for (const _ of "12") assert.equal((await phone.sync()).problem.code, "clock_ahead");
  assert.deepEqual([network.requests.length, network.requests.at(-1).diffs], [6, []]);
  // A person says that it is the right server.
  network.then(ok(0), head(1, "new"));
  assert.equal((await phone.resend()).state, "saved");
});

test("with the option recover, a device that knows no owner asks a person", async () => {
  const network = new Network().then(ok(3), failure(409, "clock_ahead"));
  const phone = await device(network, { recover: true });
  await phone.sync();
  assert.equal((await phone.sync()).problem.code, "clock_ahead");
  assert.equal(network.requests.length, 2);
});

test("a server that never knows this device is not asked for ever", async () => {
  const network = new Network().then(
    head(3, "three", [back("create", "t1")]),
    failure(409, "other_history"),
    ok(1, [back("create", "t1")]),
    failure(409, "other_history"),
  );
  const phone = await device(network, { recover: true });
  await phone.sync();
  const { state, problem } = await phone.sync();
  assert.deepEqual([state, problem.code, network.requests.length], ["stopped", "other_history", 4]);
});

const tooOld = (more) => failure(410, "too_old", {}, more);

/** Two histories behind one address: what one has answered, the other one does not know. */
for (const [what, fail, changes] of [
  ["too_old", tooOld(), 0],
  ["too_old", tooOld(), 3],
  ["clock_ahead", failure(409, "clock_ahead"), 1],
  ["other_history", failure(409, "other_history"), 3],
]) {
  test(`between two histories it begins anew once in a sync, and then pauses (${what}, ${changes} pending)`, async () => {
    const store = await seen();
    let asked = 0;
    const fetch = async (_, { body }) => {
      const { logical_clock, diffs } = JSON.parse(body);
      asked += 1;
      if (logical_clock > 0 || asked > 50) return fail();
      // The person goes on, so there is something to send with the new clock.
      if (diffs.length > 0) await phone.create("tasks", {});
      return ok(4 + asked, [back("create", "t1")], undefined, diffs.length === 0 && { more: 99, head: "h" })();
    };
    const phone = await device({ fetch }, { recover: true, maxDiffs: 1, store });
    for (let number = 0; number < changes; number += 1) await phone.create("tasks", { id: `mine-${number}` });
    for (let round = 0; round < 2; round += 1) {
      asked = 0;
      const { problem, retryAt } = await phone.sync();
      assert.deepEqual([problem?.code, asked <= 4, retryAt > phone.clock.now], [what, true, true], `${asked}`);
      if (changes === 0) break; // nothing is left to send
    }
  });
}

/** The store of a device of Ada's that has t1. */
async function seen() {
  const store = memoryStore();
  const phone = await device(new Network().then(head(3, "three", [back("create", "t1")])), { store });
  await phone.sync();
  await phone.close();
  return store;
}
