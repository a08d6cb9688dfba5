// Is this still the same history? Heads, restored backups, and servers that have forgotten the past.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { Network, back, device, failure, line, lost, ok, proxy } from "./network.mjs";

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

// --------------------------------------------------------------------------- 410 too_old

const tooOld = (more) => failure(410, "too_old", {}, more);

/** A device that has seen t1, t2 and t3, and was away for long. */
async function returned(options) {
  const network = new Network();
  const rows = ["t1", "t2", "t3"].map((id) => back("create", id, { name: "Milk" }));
  network.then(head(3, "three", rows));
  const phone = await device(network, options);
  await phone.sync();
  return { network, phone };
}

test("a device that is too old and has nothing to send fetches all again, in pages", async () => {
  const { network, phone } = await returned();
  network.then(
    tooOld(),
    ok(40, [back("create", "t1", { name: "Oats" })], undefined, { more: 50, head: "horizon" }),
    head(50, "fifty", [back("create", "t4")]),
  );
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(
    network.requests.slice(2).map(({ logical_clock, head }) => [logical_clock, head]),
    [
      [0, ""],
      [40, "horizon"],
    ],
  );
  assert.deepEqual(await ids(phone), ["t1", "t4"]);
});

test("where the horizon moves while it fetches, it begins again, after a pause", async () => {
  const { network, phone } = await returned();
  const first = ok(40, [back("create", "t8")], undefined, { more: 50, head: "horizon" });
  network.then(tooOld(), first, tooOld(), tooOld(), head(60, "sixty", [back("create", "t9")]));
  const { problem, retryAt } = await phone.sync();
  assert.ok(problem.code === "too_old" && retryAt < phone.clock.now + 2000, `${retryAt}`);
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(await ids(phone), ["t9"]);
});

test("what is unsent goes with the request from 0, with its ids, and is never paged", async () => {
  const { network, phone } = await returned();
  await phone.update("tasks", "t1", { done: true });
  await phone.update("tasks", "t2", { done: true });
  await phone.create("tasks", { id: "t5", name: "Tea" });
  network.then(tooOld(), head(50, "fifty", [back("create", "t1", { name: "Oats", done: true }, 1)]));
  assert.equal((await phone.sync()).state, "saved");
  const [, first, again] = network.requests;
  assert.deepEqual(again.diffs, first.diffs);
  assert.deepEqual([again.logical_clock, again.head, again.limit, again.report], [0, "", undefined, true]);
  assert.deepEqual(await phone.read("tasks"), [
    { id: "t1", name: "Oats", done: true },
    { id: "t5", name: "Tea", done: false },
  ]);
});

test("deletes wait, and are made again if their objects come back", async () => {
  const { network, phone } = await returned();
  await phone.update("tasks", "t1", { name: "x" });
  await phone.delete("tasks", "t1");
  await phone.delete("tasks", "t2");
  await phone.delete("tasks", "t3");
  await phone.create("tasks", { id: "t3", name: "Anew" });
  const comes = [back("create", "t1", { name: "Milk" }), back("create", "t3", { name: "Milk" }, 1)];
  network.then(tooOld(), lost);
  assert.equal((await phone.sync()).state, "offline");
  assert.deepEqual(await ids(phone), ["t3"]);
  network.then(head(50, "fifty", comes), ok(51));
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(network.requests[2].diffs.map(line), ['create t3 {"name":"Anew"}']);
  assert.deepEqual(network.requests[3], network.requests[2]);
  assert.deepEqual(network.requests[4].diffs.map(line), ["delete t1"]);
  assert.deepEqual(await ids(phone), ["t3"]);
});

test("deletes alone wait through all pages", async () => {
  const { network, phone } = await returned();
  await phone.delete("tasks", "t1");
  await phone.delete("tasks", "t2");
  network.then(
    tooOld(),
    ok(40, [back("create", "t3")], undefined, { more: 50, head: "horizon" }),
    head(50, "fifty", [back("create", "t1")]),
    ok(51),
  );
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(network.requests.at(-1).diffs.map(line), ["delete t1"]);
  assert.deepEqual(await ids(phone), ["t3"]);
});

test("what is deleted while it waits for the network waits too; what is made again stays", async () => {
  const { network, phone } = await returned();
  network.then(tooOld(), lost);
  await phone.update("tasks", "t3", { done: true });
  await phone.sync();
  await phone.delete("tasks", "t1");
  await phone.delete("tasks", "t2");
  network.then(lost);
  await phone.sync();
  await phone.create("tasks", { id: "t2", name: "Undone" });
  network.then(head(50, "fifty", [back("create", "t1"), back("create", "t3")]), ok(51));
  assert.equal((await phone.sync()).state, "saved");
  const [whole, last] = network.requests.slice(-2).map(({ diffs }) => diffs.map(line));
  assert.deepEqual(whole, ['update t3 {"done":true}', 'create t2 {"name":"Undone"}']);
  assert.deepEqual(last, ["delete t1"]);
  assert.deepEqual(await ids(phone), ["t2", "t3"]);
});

test("a delete that was in a request without an answer is sent as it is", async () => {
  const { network, phone } = await returned();
  await phone.delete("tasks", "t1");
  network.then(lost, tooOld(), head(50, "fifty", [back("create", "t2")]));
  await phone.sync();
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(network.requests[3].diffs, network.requests[1].diffs);
  assert.deepEqual(await ids(phone), ["t2"]);
});

test("where the server has forgotten ids, what may have counted is the person's to decide, and the rest is sent", async () => {
  const { network, phone } = await returned();
  await phone.update("tasks", "t1", { name: "Maybe" });
  await phone.create("tasks", { id: "t5", name: "Maybe, too" });
  network.then(lost);
  await phone.sync();
  await phone.update("tasks", "t5", { done: true });
  await phone.update("tasks", "t2", { name: "Surely" });
  network.then(tooOld({ forgotten: true }), head(50, "fifty", [back("create", "t1", { name: "Milk" })]));
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(network.requests.at(-1).diffs.map(line), ['update t2 {"name":"Surely"}']);
  const refused = await phone.refused();
  assert.deepEqual(
    refused.map(({ code, fields }) => [code, fields]),
    [
      ["too_old", { id: "t1", name: "Maybe" }],
      ["too_old", { id: "t5", name: "Maybe, too", done: true }],
    ],
  );
  assert.match(refused[0].message, /\w/);
  network.then(ok(51));
  await phone.mend(refused[0].id);
  await phone.sync();
  assert.deepEqual(network.requests.at(-1).diffs.map(line), ['update t1 {"name":"Maybe"}']);
  assert.notEqual(network.requests.at(-1).diffs[0].id, refused[0].id);
});

test("what was never in a request is sent though the server has forgotten ids", async () => {
  const { network, phone } = await returned();
  await phone.update("tasks", "t1", { name: "New" });
  network.then(tooOld({ forgotten: true }), head(50, "fifty"));
  await phone.sync();
  assert.deepEqual([network.requests.at(-1).diffs.length, await phone.refused()], [1, []]);
});

test("another token of a device that is too old is asked whose it is in pages, before anything is sent", async () => {
  let token = "ada";
  const { network, phone } = await returned({ token: () => token });
  await phone.update("tasks", "t1", { name: "Mine" });
  token = "ada's new one";
  network.then(
    tooOld(),
    ok(40, [], undefined, { more: 50, head: "h" }),
    ok(50, [back("create", "t1")]),
    tooOld(),
    ok(50),
  );
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(
    network.requests.slice(1).map(({ logical_clock, diffs }) => [logical_clock, diffs.length]),
    [
      [2, 0],
      [0, 0],
      [40, 0],
      [3, 1],
      [0, 1],
    ],
  );
});

for (const [what, answer, code] of [
  ["a 410 that is a proxy's", proxy(410), "no_answer"],
  ["a 410 to a device at clock 0", tooOld(), "too_old"],
]) {
  test(`${what} empties nothing`, async () => {
    const network = new Network().then(answer);
    const phone = await device(network);
    await phone.create("tasks", { id: "t1" });
    assert.equal((await phone.sync()).problem.code, code);
    assert.deepEqual([await ids(phone), phone.status.pending], [["t1"], 1]);
  });
}

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
