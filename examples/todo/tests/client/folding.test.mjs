// Folding: what is saved again before it was sent is sent once.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { Network, Replica, back, chance, device, line, lost, ok, until } from "./network.mjs";

const pendingOf = (store) => store.read((tx) => tx.all("pending"));

async function withTwo(options) {
  const store = memoryStore();
  const network = new Network().then(ok(3, [back("create", "t1"), back("create", "t2")]));
  const phone = await device(network, { store, ...options });
  await phone.sync();
  return { store, network, phone };
}

test("four hundred saves of a long text are one change", async () => {
  const { store, network, phone } = await withTwo();
  for (let save = 0; save < 400; save += 1) await phone.update("tasks", "t1", { name: `${save} `.repeat(5000) });
  const pending = await pendingOf(store);
  assert.deepEqual([pending.length, phone.status.pending], [1, 1]);
  assert.equal(pending[0].diff.utc_timestamp, 500 + 399);
  network.then(ok(4));
  await phone.sync();
  assert.equal(network.requests[1].diffs.length, 1);
  assert.ok(network.requests[1].diffs[0].json_data.includes("399 399"));
});

test("a field that is not overwritten keeps its change and its time", async () => {
  const { store, phone } = await withTwo();
  await phone.update("tasks", "t1", { name: "A", due: "B" });
  phone.clock.now = 900;
  await phone.update("tasks", "t1", { due: "C" });
  await phone.update("tasks", "t1", { due: "D", done: true });
  assert.deepEqual(
    (await pendingOf(store)).map(({ diff }) => [line(diff), diff.utc_timestamp]),
    [
      ['update t1 {"name":"A"}', 500],
      ['update t1 {"due":"D","done":true}', 901],
    ],
  );
});

test("a change of another object in between, a create, a delete and what was sent are left alone", async () => {
  const { store, network, phone } = await withTwo();
  await phone.update("tasks", "t1", { name: "A" });
  await phone.update("tasks", "t2", { name: "A" });
  await phone.update("tasks", "t1", { name: "Z" });
  await phone.update("tasks", "t1", { name: "B" });
  await phone.create("tasks", { id: "t3", name: "A" });
  await phone.update("tasks", "t3", { name: "B" });
  await phone.update("tasks", "t3", { name: "C" });
  await phone.delete("tasks", "t3");
  const lines = [
    'update t1 {"name":"A"}',
    'update t2 {"name":"A"}',
    'update t1 {"name":"B"}',
    'create t3 {"name":"A"}',
  ];
  const rest = ['update t3 {"name":"C"}', "delete t3"];
  assert.deepEqual(
    (await pendingOf(store)).map(({ diff }) => line(diff)),
    [...lines, ...rest],
  );
  await phone.update("tasks", "t2", { name: "B" });
  network.then(lost);
  await phone.sync();
  await phone.update("tasks", "t2", { name: "C" });
  await phone.update("tasks", "t2", { name: "D" });
  assert.deepEqual(
    (await pendingOf(store)).slice(-2).map(({ diff }) => line(diff)),
    ['update t2 {"name":"B"}', 'update t2 {"name":"D"}'],
  );
});

test("while a request is under way, what is in it is not changed", async () => {
  const { store, network, phone } = await withTwo();
  let answer;
  network.then(() => new Promise((resolve) => (answer = () => resolve(ok(4)()))), ok(5));
  await phone.update("tasks", "t1", { name: "A" });
  const synced = phone.sync();
  await until(() => answer, "it is under way");
  await phone.update("tasks", "t1", { name: "B" });
  assert.equal((await pendingOf(store)).length, 2);
  answer();
  assert.equal((await synced).state, "saved");
  assert.deepEqual(
    network.requests.slice(1).map(({ diffs }) => diffs.map(line)),
    [['update t1 {"name":"A"}'], ['update t1 {"name":"B"}']],
  );
});

test("where an update was set aside, the next one does not reach for changes before others", async () => {
  const { store, network, phone } = await withTwo({ maxDiffs: 1 });
  await phone.update("tasks", "t1", { name: "A" });
  await phone.update("tasks", "t2", { name: "A" });
  await phone.update("tasks", "t1", { name: "too large" });
  network.then(lost);
  await phone.sync();
  const [, , last] = await pendingOf(store);
  await store.write((tx) => tx.delete("pending", last.seq));
  await store.write(async (tx) => tx.put("meta", { ...(await tx.get("meta", "state")), unanswered: 0 }));
  await phone.update("tasks", "t1", { name: "B" });
  assert.deepEqual(
    (await pendingOf(store)).map(({ diff }) => line(diff)),
    ['update t1 {"name":"A"}', 'update t2 {"name":"A"}', 'update t1 {"name":"B"}'],
  );
});

test("an application whose rules count the steps can switch it off", async () => {
  const { store, phone } = await withTwo({ fold: false });
  for (const name of ["draft", "review", "done"]) await phone.update("tasks", "t1", { name });
  assert.equal((await pendingOf(store)).length, 3);
});

/** Any history on two devices of which one folds, with the same losses: the servers become the same. */
for (let seed = 1; seed <= 20; seed += 1) {
  test(`with and without folding the server becomes the same, by fewer changes (${seed})`, async () => {
    const run = async (fold) => {
      const random = chance(seed);
      const server = new Replica();
      let sent = 0;
      const fetch = async (url, init) => {
        const count = JSON.parse(init.body).diffs.length;
        const answer = await server.fetch(url, init);
        sent += count;
        return random(3) === 0 ? lost() : answer;
      };
      const phone = await device({ fetch }, { fold });
      for (let step = 0; step < 60; step += 1) {
        const rows = await phone.read("tasks");
        const row = rows[random(rows.length || 1)];
        const kind = random(12);
        phone.clock.now += random(3);
        if (kind < 2 || !row) await phone.create("tasks", { id: `t${step}`, name: "" });
        else if (kind < 9)
          await phone.update("tasks", row.id, random(2) ? { name: `n${step}` } : { done: random(2) === 1 });
        else if (kind === 9) await phone.delete("tasks", row.id);
        else await phone.sync();
      }
      for (let round = 0; phone.status.state !== "saved" || round === 0; round += 1) await phone.sync();
      return { rows: [...server.rows.values()], here: await phone.read("tasks"), sent };
    };
    const [folded, whole] = [await run(true), await run(false)];
    assert.deepEqual(folded.rows, whole.rows);
    assert.deepEqual(folded.here, whole.here);
    assert.ok(folded.sent <= whole.sent);
  });
}
