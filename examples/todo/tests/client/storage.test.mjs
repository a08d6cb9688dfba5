// The local database: a full disk, a damaged one, another version's, and what is undone in it.

import assert from "node:assert/strict";
import test from "node:test";

import { Mobync, memoryStore } from "../../web/mobync.js";
import { MODELS, Network, Replica, back, chance, device, failure, lines, lost, ok, proxy } from "./network.mjs";

/** A store on a disk that may be full: then a write fails at its n-th step, or at its end. */
function onDisk() {
  const disk = { store: memoryStore(), failsAt: null, name: "QuotaExceededError" };
  const fail = () => {
    throw new DOMException("The disk says no.", disk.name);
  };
  const write = (work, durable) =>
    disk.store.write(async (tx) => {
      let step = 0;
      const counted =
        (method) =>
        (...where) => {
          if (step === disk.failsAt) fail();
          step += 1;
          return tx[method](...where);
        };
      const result = await work({ ...tx, put: counted("put"), delete: counted("delete") });
      if (disk.failsAt !== null && step > 0) fail();
      return result;
    }, durable);
  return Object.assign(disk, { asStore: { ...disk.store, write } });
}

const ERRORS = { QuotaExceededError: "storage_full", UnknownError: "storage_failed", AbortError: "storage_failed" };

for (const [name, code] of Object.entries(ERRORS)) {
  for (let failsAt = 0; failsAt < 6; failsAt += 1) {
    test(`a write that fails with ${name} at its step ${failsAt + 1} changes nothing, and the next one goes well`, async () => {
      const disk = Object.assign(onDisk(), { name });
      const server = new Replica();
      const phone = await device(server, { store: disk.asStore });
      await phone.create("tasks", { id: "t1", name: "Milk" });
      await phone.create("tasks", { id: "t2", name: "Tea" });
      const changes = [
        () => phone.create("tasks", { id: "t3", name: "Bread" }),
        () => phone.update("tasks", "t1", { name: "Oat milk" }),
        () => phone.delete("tasks", "t2"),
        () =>
          phone.change(async (change) => {
            await change.update("tasks", "t1", { done: true });
            await change.create("tasks", { id: "t4", name: "Salt" });
          }),
      ];
      for (const change of changes) {
        const before = [await phone.read("tasks"), await disk.store.read((tx) => tx.all("pending"))];
        disk.failsAt = failsAt;
        await assert.rejects(change(), { code });
        const { state, problem } = await phone.sync();
        assert.deepEqual([state, problem.code], ["stopped", code]);
        assert.deepEqual([await phone.read("tasks"), await disk.store.read((tx) => tx.all("pending"))], before);
        disk.failsAt = null;
        await change();
        assert.equal((await phone.sync()).state, "saved");
        assert.equal(phone.status.problem, null);
      }
      assert.deepEqual(server.names(), { t1: "Oat milk", t3: "Bread", t4: "Salt" });
    });
  }
}

test("a disk that is full while it syncs is found to have room again, by itself", async () => {
  const disk = onDisk();
  const server = new Replica();
  const phone = await device(server, { store: disk.asStore, automatic: true, debounce: 1, firstWait: 10 });
  await phone.create("tasks", { name: "Milk" });
  disk.failsAt = 0;
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(phone.status.problem?.code, "storage_full");
  disk.failsAt = null;
  for (let round = 0; phone.status.state !== "saved"; round += 1) {
    assert.ok(round < 500);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.deepEqual(Object.values(server.names()), ["Milk"]);
  await phone.close();
});

/** Histories on a disk that is full now and then, with changes that are refused or cannot be sent. */
for (let seed = 1; seed <= 40; seed += 1) {
  test(`whatever is refused, too large, lost or not stored, the device equals the server (${seed})`, async () => {
    const random = chance(seed);
    const disk = onDisk();
    const server = new Replica();
    const fetch = async (url, init) => {
      const { diffs, logical_clock } = JSON.parse(init.body);
      if (random(6) === 0) return lost();
      if (diffs.some(({ json_data }) => json_data.includes("huge")))
        return random(2) ? proxy(413)() : failure(413, "payload_too_large")();
      const wrong = diffs.find(({ json_data }) => json_data.includes("wrong"));
      if (wrong) return failure(400, "invalid_diff", {}, { diff_id: wrong.id })();
      const answer = await server.fetch(url, init);
      assert.ok(logical_clock <= server.clock);
      return random(5) === 0 ? lost() : answer;
    };
    const phone = await device({ fetch }, { store: disk.asStore, maxDiffs: 1 + random(9) });
    const made = { id: 0 };
    for (let step = 0; step < 80; step += 1) {
      disk.failsAt = random(6) === 0 ? random(5) : null;
      const rows = await phone.read("tasks");
      const row = rows[random(rows.length || 1)];
      const name = ["huge", "wrong", "Milk", "Tea", "Salt", "Rice"][random(6)] + step;
      const kind = random(10);
      const done =
        kind < 3 || !row
          ? phone.create("tasks", { id: `t${random(4) ? (made.id += 1) : random(made.id + 1)}`, name })
          : kind < 6
            ? phone.update("tasks", row.id, random(2) ? { name } : { done: random(2) === 1 })
            : kind === 6
              ? phone.delete("tasks", row.id)
              : kind === 7
                ? phone
                    .refused()
                    .then(
                      async ([one]) =>
                        one && (random(2) ? phone.mend(one.id, { name: "Corn" }) : phone.dismiss(one.id)),
                    )
                : phone.sync();
      await done.catch(({ code }) => assert.match(code, /^(storage_full|exists|not_there)$/));
    }
    disk.failsAt = null;
    for (let round = 0; phone.status.state !== "saved" || round === 0; round += 1) {
      assert.ok(round < 200, JSON.stringify(phone.status));
      await phone.sync();
    }
    const rows = await phone.read("tasks");
    const here = rows.map(({ id, name, done }) => [id, name, done]);
    const there = [...server.rows.values()].map(({ id, name, done = false }) => [id, name, done]);
    assert.deepEqual(here.sort(), there.sort());
    const bases = await disk.store.read((tx) => tx.all("meta"));
    assert.deepEqual(
      bases.map(({ key }) => key),
      ["state"],
    );
  });
}

test("a change that is set aside leaves the object as the server has it, with the changes that stand", async () => {
  const network = new Network().then(
    ok(3, [back("create", "t1", { name: "Milk", position: 1 })]),
    ok(5, [back("update", "t1", { position: 2 }, 900)]),
    proxy(413),
    proxy(413),
    ok(6),
    ok(7),
  );
  const phone = await device(network);
  await phone.sync();
  await phone.update("tasks", "t1", { name: "x".repeat(100) });
  await phone.sync();
  await phone.update("tasks", "t1", { name: "y".repeat(100), position: 3 });
  await phone.update("tasks", "t1", { done: true });
  await phone.sync();
  assert.deepEqual(await phone.read("tasks", "t1"), { id: "t1", name: "x".repeat(100), position: 2, done: true });
  assert.deepEqual(lines(network.requests.at(-1).diffs), ['update t1 {"done":true}']);
});

test("a delete that is set aside brings the object back, and a create takes what was done to it along", async () => {
  const network = new Network().then(
    ok(3, [back("create", "t1", { name: "Milk" })]),
    proxy(413),
    ok(3), // without the delete
    proxy(413),
    ok(3), // without the create
    ok(4),
  );
  const phone = await device(network, { maxDiffs: 1 });
  await phone.sync();
  await phone.delete("tasks", "t1");
  await phone.create("tasks", { id: "t2", name: "Tea" });
  await phone.update("tasks", "t2", { done: true });
  await phone.create("tasks", { id: "t3", name: "Salt" });
  await phone.sync();
  assert.deepEqual(
    (await phone.read("tasks")).map(({ id }) => id),
    ["t1", "t3"],
  );
  assert.deepEqual(
    (await phone.refused()).map(({ diff, fields }) => [diff.type, fields]),
    [
      ["delete", { id: "t1" }],
      ["create", { id: "t2", name: "Tea", done: true }],
    ],
  );
  assert.deepEqual(lines(network.requests.at(-1).diffs), ['create t3 {"name":"Salt"}']);
});

test("an object that a restored server cannot be given is the person's to look after, and not here any more", async () => {
  const network = new Network().then(
    ok(3, [back("create", "t1", { name: "Milk" })]),
    failure(409, "clock_ahead"),
    proxy(413),
    proxy(413), // the create alone
    ok(0), // without the create
    ok(0),
  );
  const phone = await device(network, { maxDiffs: 1 });
  await phone.sync();
  await phone.update("tasks", "t1", { name: "Oat milk" });
  await phone.sync();
  assert.equal((await phone.resend()).state, "saved");
  assert.deepEqual(await phone.read("tasks"), []);
  const [refused] = await phone.refused();
  assert.deepEqual(refused.fields, { id: "t1", name: "Oat milk", done: false });
});

test("refused changes are in the order made, also those of one answer, and over restarts", async () => {
  const store = memoryStore();
  const refuse = ({ diffs }) =>
    ok(
      1,
      diffs.map(({ json_data }) => back("delete", JSON.parse(json_data).id)),
      diffs.map(({ id }) => ({ diff_id: id, code: "forbidden", message: "No." })),
    )();
  const phone = await device(new Network().then(refuse), { store });
  const ids = Array.from({ length: 30 }, (_, number) => `t${number}`);
  for (const id of ids) await phone.create("tasks", { id });
  await phone.sync();
  for (const tab of [phone, await device(new Network(), { store })]) {
    assert.deepEqual(
      (await tab.refused()).map(({ fields }) => fields.id),
      ids,
    );
  }
});

test("a column that is new has its default on objects from before, and hands out no shared value", async () => {
  const store = memoryStore();
  const before = await device(new Network().then(ok(3, [back("create", "t2", { name: "Tea" })]), ok(4)), { store });
  await before.create("tasks", { id: "t1", name: "Milk" });
  await before.sync();
  await before.close();
  const models = { tasks: { done: false, urgent: null, tags: [], position: 7 } };
  const network = new Network().then(ok(5));
  const after = await device(network, { store, models });
  const [milk, tea] = await after.read("tasks");
  assert.deepEqual(milk, { id: "t1", name: "Milk", done: false, urgent: null, tags: [], position: 7 });
  assert.deepEqual(await after.read("tasks", "t2"), tea);
  milk.tags.push("mine");
  assert.deepEqual([tea.tags, models.tasks.tags], [[], []]);
  const seen = await new Promise((resolve) => after.subscribe("tasks", ({ records }) => resolve(records)));
  assert.equal(seen[0].position, 7);
  assert.equal((await after.update("tasks", "t1", { done: true })).position, 7);
  await after.sync();
  assert.deepEqual(lines(network.requests[0].diffs), ['update t1 {"done":true}']);
  (await after.create("tasks", { id: "t3" })).tags.push("mine");
  assert.deepEqual(models.tasks.tags, []);
});

test("options that are undefined are as if they were not there, and wrong ones are told", async () => {
  const names =
    "maxDiffs maxBytes maxChange maxAnswer maxFailures debounce firstWait longWait timeout silence poll now monotonic live name person automatic";
  const undefineds = Object.fromEntries(names.split(" ").map((name) => [name, undefined]));
  const { requests, fetch } = new Network().then(ok(0), ok(1));
  const options = { url: "/sync", models: MODELS, token: () => "ada", store: memoryStore(), fetch };
  const phone = await Mobync.open({ ...undefineds, ...options, automatic: false });
  await phone.create("tasks", { name: "Milk" });
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(
    requests.map(({ diffs }) => diffs.length),
    [0, 1],
  );
  await phone.close();
  for (const wrong of [NaN, -1, "500", null, {}]) {
    for (const name of names.split(" ").slice(0, 12)) {
      await assert.rejects(Mobync.open({ ...options, [name]: wrong }), (error) => {
        assert.deepEqual([error.code, error.message.includes(name)], ["invalid_option", true]);
        return true;
      });
    }
  }
  for (const wrong of [
    { url: undefined },
    { models: undefined },
    { fetch: 7 },
    { live: "" },
    { maxDiffs: 0 },
    { maxDiffs: 1.5 },
    { recover: "yes" },
  ]) {
    await assert.rejects(Mobync.open({ ...options, ...wrong }), { code: "invalid_option" });
  }
});
