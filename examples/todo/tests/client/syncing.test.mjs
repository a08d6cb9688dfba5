// Recording, sending and applying, on a network that fails in every way.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { Network, back, device, failure, lines, lost, ok, proxy } from "./network.mjs";

const names = async (mobync) => (await mobync.read("tasks")).map(({ name }) => name);

test("a change is there at once, and goes out as the fields that have changed", async () => {
  const network = new Network().then(ok(1));
  const phone = await device(network);
  const task = await phone.create("tasks", { id: "t1", name: "Milk" });
  assert.deepEqual(task, { id: "t1", name: "Milk", done: false });
  await phone.update("tasks", "t1", { name: "Milk", done: true });
  await phone.update("tasks", "t1", { done: true });
  await phone.delete("tasks", "t1");
  await phone.sync();
  const [{ logical_clock, diffs }] = network.requests;
  assert.equal(logical_clock, 0);
  assert.deepEqual(lines(diffs), ['create t1 {"name":"Milk"}', 'update t1 {"done":true}', "delete t1"]);
  assert.deepEqual(Object.keys(diffs[0]).sort(), [
    "id",
    "json_data",
    "logical_clock",
    "model",
    "owner",
    "type",
    "utc_timestamp",
  ]);
  assert.equal(new Set(diffs.map(({ id }) => id)).size, 3);
});

test("the changes of one object have growing times, whatever the device's clock does", async () => {
  const network = new Network().then(ok(1));
  const phone = await device(network, { fold: false });
  await phone.create("tasks", { id: "t1", name: "A" });
  phone.clock.now = 3;
  await phone.update("tasks", "t1", { name: "B" });
  await phone.update("tasks", "t1", { name: "C" });
  await phone.sync();
  assert.deepEqual(
    network.requests[0].diffs.map(({ utc_timestamp }) => utc_timestamp),
    [500, 501, 502],
  );
});

test("only what is there can be changed, and only what is not there can be made", async () => {
  const phone = await device(new Network());
  await phone.create("tasks", { id: "t1", name: "Milk" });
  await assert.rejects(phone.create("tasks", { id: "t1" }), { code: "exists" });
  await assert.rejects(phone.update("tasks", "t2", { name: "x" }), { code: "not_there" });
  await assert.rejects(phone.delete("tasks", "t2"), { code: "not_there" });
  await assert.rejects(phone.create("teapots", {}), { code: "unknown_model" });
  await assert.rejects(phone.read("teapots"), { code: "unknown_model" });
  assert.equal(phone.status.pending, 1);
});

test("several changes are made together or not at all", async () => {
  const phone = await device(new Network());
  const broken = phone.change(async (change) => {
    await change.create("tasks", { name: "Milk" });
    await change.delete("tasks", "nowhere");
  });
  await assert.rejects(broken, { code: "not_there" });
  assert.deepEqual(await phone.read("tasks"), []);
  assert.equal(phone.status.pending, 0);
});

test("a change and its diff are one transaction: a full device has neither", async () => {
  const store = memoryStore();
  const full = {
    ...store,
    write: (work) =>
      store.write((tx) =>
        work({
          ...tx,
          put: (table, value) => {
            if (table === "pending") throw new DOMException("full", "QuotaExceededError");
            return tx.put(table, value);
          },
        }),
      ),
  };
  const phone = await device(new Network(), { store: full });
  await assert.rejects(phone.create("tasks", { name: "Milk" }), { code: "storage_full" });
  assert.deepEqual(await phone.read("tasks"), []);
});

test("an answer that was lost is asked for again with the same request, and newer changes follow after it", async () => {
  const network = new Network().then(lost, ok(1), ok(2));
  const phone = await device(network);
  await phone.create("tasks", { id: "t1", name: "Milk" });
  assert.equal((await phone.sync()).state, "offline");
  assert.equal(phone.status.problem.code, "no_answer");
  await phone.update("tasks", "t1", { done: true });
  assert.equal((await phone.sync()).state, "saved");
  const [first, second, third] = network.requests;
  assert.deepEqual(second, first);
  assert.deepEqual([third.logical_clock, lines(third.diffs)], [1, ['update t1 {"done":true}']]);
});

test("what is not this protocol's JSON is no answer", async () => {
  const nonsense = [
    proxy(502),
    proxy(200),
    proxy(429),
    proxy(404),
    () => Response.json({ success: true }),
    () => Response.json({ success: true, logical_clock: "7", diffs: [] }),
    () => Response.json({ success: false, message: "x" }, { status: 500 }),
    () => Response.json({ success: true, logical_clock: 9, diffs: [] }, { status: 201 }),
  ];
  const network = new Network().then(...nonsense, ok(1));
  const phone = await device(network);
  await phone.create("tasks", { id: "t1", name: "Milk" });
  for (const _ of nonsense) assert.equal((await phone.sync()).problem.code, "no_answer");
  assert.equal((await phone.sync()).state, "saved");
  assert.ok(network.requests.every(({ logical_clock, diffs }) => logical_clock === 0 && diffs.length === 1));
});

test("after a failure the next try waits as long as asked, or twice as long each time, more or less", async () => {
  const network = new Network().then(
    proxy(503, { "Retry-After": "7" }),
    failure(503, "busy", { "Retry-After": "3" }),
    lost,
    lost,
    lost,
  );
  const phone = await device(network);
  const waits = [];
  for (let round = 0; round < 5; round += 1) {
    const { retryAt } = await phone.sync();
    waits.push(retryAt - phone.clock.now);
  }
  assert.deepEqual(waits.slice(0, 2), [7000, 3000]);
  const [third, fourth, fifth] = waits.slice(2).map((wait) => wait / 1000);
  assert.ok(third >= 2 && third <= 6 && fourth >= 4 && fourth <= 12 && fifth >= 8 && fifth <= 24, `${waits}`);
});

test("an answer with something that cannot be applied is no answer, and nothing of it is done", async () => {
  const broken = [{ type: "upsert" }, { json_data: "{" }, { json_data: "[]" }, { utc_timestamp: null }, { model: 7 }];
  const network = new Network().then(
    ...broken.map((part) => ok(9, [back("create", "t1", { name: "Milk" }), { ...back("create", "t2"), ...part }])),
    ok(1),
  );
  const phone = await device(network);
  for (const _ of broken) assert.equal((await phone.sync()).problem.code, "no_answer");
  assert.deepEqual([await phone.read("tasks"), phone.status.clock], [[], 0]);
  assert.equal((await phone.sync()).state, "saved");
});

test("a token that is not taken is asked for anew, once", async () => {
  const network = new Network().then(failure(401, "unauthenticated"), ok(1));
  const asked = [];
  const token = ({ rejected }) => (asked.push(rejected), rejected ? "new" : "old");
  const phone = await device(network, { token });
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(
    network.requests.map(({ headers }) => headers.Authorization),
    ["Bearer old", "Bearer new"],
  );

  network.then(failure(401, "unauthenticated"), failure(401, "unauthenticated"));
  const { state, problem } = await phone.sync();
  assert.deepEqual([state, problem.code], ["stopped", "unauthenticated"]);
});

test("a token that cannot be had is told, and nothing is sent", async () => {
  const network = new Network();
  const phone = await device(network, { token: () => Promise.reject(new Error("closed")) });
  assert.equal((await phone.sync()).problem.code, "unauthenticated");
  assert.equal(network.requests.length, 0);
});

test("a server that failed may have done it all: the request is not made smaller either", async () => {
  const store = memoryStore();
  const network = new Network().then(failure(500, "internal"), ok(1));
  const before = await device(network, { store });
  for (let number = 0; number < 3; number += 1) await before.create("tasks", { id: `t${number}` });
  assert.equal((await before.sync()).state, "offline");
  await before.close();
  await (await device(network, { store, maxDiffs: 1 })).sync();
  assert.deepEqual(
    network.requests.map(({ diffs }) => diffs.length),
    [3, 3],
  );
});

test("many changes go out in requests of a bearable size", async () => {
  const network = new Network().then(...[1, 2, 3, 4].map((clock) => ok(clock)));
  const phone = await device(network, { maxBytes: 3000 });
  for (let number = 0; number < 4; number += 1)
    await phone.create("tasks", { id: `t${number}`, name: "x".repeat(2000) });
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(
    network.requests.map(({ diffs }) => diffs.length),
    [1, 1, 1, 1],
  );
  assert.deepEqual(
    network.requests.map(({ logical_clock }) => logical_clock),
    [0, 1, 2, 3],
  );
});

for (const [status, code] of [
  [400, "invalid_diff"],
  [403, "forbidden"],
  [409, "clock_ahead"],
  [422, "unknown_field"],
]) {
  test(`at ${code} everything is kept, and it is tried again after a long time`, async () => {
    const network = new Network().then(failure(status, code, {}, { diff_id: "d1" }));
    const phone = await device(network);
    await phone.create("tasks", { id: "t1", name: "Milk" });
    const { state, problem, pending, retryAt } = await phone.sync();
    assert.deepEqual([state, problem.code, problem.diffId, pending], ["stopped", code, "d1", 1]);
    const minutes = (retryAt - phone.clock.now) / 60_000;
    assert.ok(minutes > 7 && minutes < 23, `${minutes}`);
    assert.deepEqual(await names(phone), ["Milk"]);
  });
}

test("what others did is applied with the clock, and known defaults are filled in", async () => {
  const network = new Network().then(
    ok(5, [back("create", "t1", { name: "Milk" }), back("create", "t2", { name: "Bread" })]),
    ok(7, [back("update", "t1", { done: true }), back("delete", "t2")]),
    ok(7),
  );
  const phone = await device(network);
  await phone.sync();
  await phone.sync();
  assert.deepEqual(await phone.read("tasks"), [{ id: "t1", name: "Milk", done: true }]);
  await phone.sync();
  assert.deepEqual(
    network.requests.map(({ logical_clock }) => logical_clock),
    [0, 5, 7],
  );
});

test("a create of what is there replaces it", async () => {
  const network = new Network().then(
    ok(1, [back("create", "t1", { name: "Milk", note: "x" })]),
    ok(2, [back("delete", "t1"), back("create", "t1", { name: "Bread" })]),
  );
  const phone = await device(network);
  await phone.sync();
  await phone.sync();
  assert.deepEqual(await phone.read("tasks", "t1"), { id: "t1", name: "Bread", done: false });
});

test("a change made during a request stays, is settled, and goes out next", async () => {
  const phone = await device({ fetch: (...request) => network.fetch(...request) });
  const network = new Network().then(async () => {
    phone.clock.now = 2000;
    await phone.update("tasks", "t1", { name: "Rice milk" });
    phone.clock.now = 2001;
    await phone.update("tasks", "t1", { done: true });
    return ok(3, [back("update", "t1", { name: "Oat milk", done: false, position: 4 }, 2001)])();
  }, ok(4));
  await phone.create("tasks", { id: "t1", name: "Milk" });
  await phone.sync();
  assert.deepEqual(await phone.read("tasks", "t1"), { id: "t1", name: "Oat milk", done: true, position: 4 });
  assert.equal(network.requests[1].logical_clock, 3);
  assert.deepEqual(lines(network.requests[1].diffs), ['update t1 {"done":true}']);
});

test("a refused change is undone by the answer, and kept with its reason", async () => {
  const network = new Network().then(
    ok(1),
    (request) =>
      ok(
        2,
        [back("update", "t1", { name: "Milk" })],
        [{ diff_id: request.diffs[0].id, code: "forbidden", message: "A task needs a name." }],
      )(),
    ok(3),
  );
  const phone = await device(network);
  await phone.create("tasks", { id: "t1", name: "Milk" });
  await phone.sync();
  await phone.update("tasks", "t1", { name: "" });
  await phone.sync();
  assert.deepEqual(await names(phone), ["Milk"]);
  const [refused] = await phone.refused();
  assert.deepEqual(
    [refused.code, refused.message, refused.fields],
    ["forbidden", "A task needs a name.", { id: "t1", name: "" }],
  );
  assert.equal(phone.status.refused, 1);

  await phone.mend(refused.id, { name: "Oat milk" });
  assert.deepEqual(await names(phone), ["Oat milk"]);
  assert.equal(phone.status.refused, 0);
  await phone.sync();
  assert.deepEqual(lines(network.requests[2].diffs), ['update t1 {"name":"Oat milk"}']);
  assert.notEqual(network.requests[2].diffs[0].id, refused.id);
});

test("with a refused create goes what was done to the object since, so that nothing typed is lost", async () => {
  const phone = await device({ fetch: (...request) => network.fetch(...request) });
  const network = new Network().then(async (request) => {
    await phone.update("tasks", "t1", { due: "2030-01-01" });
    return ok(1, [back("delete", "t1")], [{ diff_id: request.diffs[0].id, code: "forbidden", message: "No." }])();
  }, ok(2));
  await phone.create("tasks", { id: "t1", name: "" });
  await phone.update("tasks", "t1", { done: true });
  await phone.sync();
  assert.deepEqual(await phone.read("tasks"), []);
  const [refused] = await phone.refused();
  assert.deepEqual(refused.fields, { id: "t1", name: "", done: true, due: "2030-01-01" });

  await phone.mend(refused.id, { name: "Milk" });
  assert.deepEqual(await phone.read("tasks", "t1"), { id: "t1", name: "Milk", done: true, due: "2030-01-01" });
  await phone.sync();
  assert.deepEqual(lines(network.requests[1].diffs), ['create t1 {"name":"Milk","done":true,"due":"2030-01-01"}']);
});

test("a refused change can be let go", async () => {
  const network = new Network().then((request) =>
    ok(1, [back("delete", "t1")], [{ diff_id: request.diffs[0].id, code: "constraint", message: "No." }])(),
  );
  const phone = await device(network);
  await phone.create("tasks", { id: "t1" });
  await phone.sync();
  const [{ id }] = await phone.refused();
  await phone.dismiss(id);
  assert.deepEqual([await phone.refused(), phone.status.refused, phone.status.pending], [[], 0, 0]);
  await assert.rejects(phone.mend(id), { code: "not_there" });
});

test("all is there after a restart: objects, clock, what is pending and what was refused", async () => {
  const store = memoryStore();
  const network = new Network().then(
    (request) =>
      ok(
        4,
        [back("create", "t9", { name: "Bread" }), back("delete", "t1")],
        [{ diff_id: request.diffs[0].id, code: "forbidden", message: "No." }],
      )(),
    ok(5),
  );
  const before = await device(network, { store });
  await before.create("tasks", { id: "t1" });
  await before.sync();
  await before.update("tasks", "t9", { done: true });
  await before.close();
  const after = await device(network, { store });
  assert.deepEqual(await after.read("tasks"), [{ id: "t9", name: "Bread", done: true }]);
  assert.deepEqual([after.status.clock, after.status.pending, after.status.refused], [4, 1, 1]);
  await after.sync();
  assert.equal(network.requests[1].logical_clock, 4);
});

test("an answer that cannot be stored is no loss: the same is asked again", async () => {
  const store = memoryStore();
  let broken = true;
  const failing = {
    ...store,
    write: (work, durable) =>
      store.write(
        (tx) =>
          work({
            ...tx,
            delete: (...place) => {
              if (broken) throw new DOMException("full", "QuotaExceededError");
              return tx.delete(...place);
            },
          }),
        durable,
      ),
  };
  const network = new Network().then(ok(1), ok(1));
  const phone = await device(network, { store: failing });
  await phone.create("tasks", { id: "t1" });
  const { state, problem, pending, clock } = await phone.sync();
  assert.deepEqual([state, problem.code, pending, clock], ["stopped", "storage_full", 1, 0]);
  broken = false;
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(network.requests[1].diffs, network.requests[0].diffs);
});

test("a server that was restored gets everything again, and what was deleted does not come back", async () => {
  const network = new Network().then(
    ok(3, [back("create", "t1", { name: "Milk" }), back("create", "t2", { name: "Bread" })]),
    failure(409, "clock_ahead"),
    ok(2, [back("create", "t2", { name: "Bread" }), back("create", "t7", { name: "Salt" })]),
    ok(3),
  );
  const phone = await device(network);
  phone.clock.now = 700;
  await phone.sync();
  phone.clock.now = 900;
  await phone.update("tasks", "t1", { done: true });
  await phone.update("tasks", "t2", { name: "Rolls" });
  await phone.delete("tasks", "t2");
  await phone.create("tasks", { id: "t3", name: "Tea" });
  assert.equal((await phone.sync()).problem.code, "clock_ahead");
  assert.equal((await phone.resend()).state, "saved");
  const [, , again, last] = network.requests;
  assert.equal(again.logical_clock, 0);
  assert.deepEqual(lines(again.diffs), [
    'create t1 {"done":false,"name":"Milk"}',
    'update t1 {"done":true}',
    'create t3 {"name":"Tea"}',
  ]);
  assert.deepEqual(
    again.diffs.map(({ utc_timestamp }) => utc_timestamp),
    [700, 900, 900],
  );
  assert.deepEqual(lines(last.diffs), ["delete t2"]);
  assert.deepEqual((await names(phone)).sort(), ["Milk", "Salt", "Tea"]);
});
