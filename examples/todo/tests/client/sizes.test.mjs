// Requests that are too large for somebody on the way.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { Network, Replica, back, chance, device, failure, lines, lost, ok, proxy } from "./network.mjs";

const TOO_LARGE = { "the server's": failure(413, "payload_too_large"), "a proxy's": proxy(413) };

for (const [whose, tooLarge] of Object.entries(TOO_LARGE)) {
  test(`a request that is too large is halved until it fits (${whose} 413)`, async () => {
    let clock = 0;
    const answer = (request) => (request.diffs.length > 2 ? tooLarge() : ok((clock += 1))());
    const network = new Network().then(...Array(7).fill(answer));
    const phone = await device(network);
    for (let number = 0; number < 8; number += 1) await phone.create("tasks", { id: `t${number}` });
    assert.equal((await phone.sync()).state, "saved");
    assert.deepEqual(
      network.requests.map(({ diffs }) => diffs.length),
      [8, 4, 2, 2, 2, 2],
    );
    const sent = network.requests.slice(2).flatMap(({ diffs }) => lines(diffs));
    assert.deepEqual(
      sent,
      [..."01234567"].map((number) => `create t${number}`),
    );
  });

  test(`a lost answer that was ${whose} 413 does not keep the request large, not even after a restart`, async () => {
    const store = memoryStore();
    const network = new Network().then(lost, tooLarge, ok(1), ok(2), ok(3), ok(4));
    const before = await device(network, { store });
    for (let number = 0; number < 3; number += 1) await before.create("tasks", { id: `t${number}` });
    await before.sync();
    await before.close();
    const phone = await device(network, { store, maxDiffs: 1, maxBytes: 1 });
    await phone.create("tasks", { id: "t3" });
    assert.equal((await phone.sync()).state, "saved");
    assert.deepEqual(
      network.requests.map(({ diffs }) => diffs.length),
      [3, 3, 1, 1, 1, 1],
    );
  });

  test(`what was lost stays together while newer changes make it too large (${whose} 413)`, async () => {
    const network = new Network().then(lost, failure(410, "too_old"), tooLarge, ok(9), ok(10));
    const store = memoryStore();
    await store.write((tx) => tx.put("meta", { key: "state", clock: 5, goal: 5 }));
    const phone = await device(network, { store });
    for (let number = 0; number < 3; number += 1) await phone.create("tasks", { id: `t${number}` });
    await phone.sync();
    await phone.create("tasks", { id: "t3" });
    assert.equal((await phone.sync()).state, "saved");
    assert.deepEqual(
      network.requests.map(({ diffs, logical_clock }) => [logical_clock, diffs.length]),
      [
        [5, 3],
        [5, 3],
        [0, 4],
        [0, 3],
        [0, 1],
      ],
    );
  });

  test(`one change that is too large alone goes to the person, and the rest goes on (${whose} 413)`, async () => {
    const network = new Network().then(ok(1), tooLarge, ok(1), ok(2));
    const phone = await device(network);
    await phone.create("tasks", { id: "t1", name: "Milk" });
    await phone.sync();
    await phone.update("tasks", "t1", { name: "Oat milk" });
    assert.equal((await phone.sync()).state, "saved");
    assert.deepEqual(await phone.read("tasks"), [{ id: "t1", name: "Milk", done: false }]);
    const [refused] = await phone.refused();
    assert.deepEqual([refused.code, refused.fields.name], ["payload_too_large", "Oat milk"]);
    assert.match(refused.message, /\w/);
    network.then(ok(3));
    await phone.mend(refused.id, { name: "Oats" });
    await phone.sync();
    assert.deepEqual(lines(network.requests.at(-1).diffs), ['update t1 {"name":"Oats"}']);
  });
}

for (const [whose, tooLarge] of Object.entries(TOO_LARGE)) {
  for (const [what, other, code] of [
    ["everything is too large", tooLarge, "payload_too_large"],
    ["the request without it gets lost", lost, "no_answer"],
    ["the server is busy", failure(503, "busy"), "busy"],
    ["the history is another one", failure(409, "other_history"), "other_history"],
    ["the answer is for another owner", ok(9, [{ ...back("create", "g1"), owner: "grace" }]), "other_owner"],
  ]) {
    test(`a change that is too large alone stays while ${what} (${whose} 413)`, async () => {
      const network = new Network().then(ok(1, [back("create", "t0")]), tooLarge, other);
      const phone = await device(network);
      await phone.sync();
      await phone.update("tasks", "t0", { name: "Milk" });
      const { problem, pending } = await phone.sync();
      assert.deepEqual([problem.code, pending, await phone.refused()], [code, 1, []]);
      const { diffs, limit, logical_clock } = network.requests.at(-1);
      assert.deepEqual([diffs, limit, logical_clock], [[], 1, 1]);
      // It is as if it had never been sent: another change of the same field takes its place.
      await phone.update("tasks", "t0", { name: "Oats" });
      network.then(ok(2));
      assert.equal((await phone.sync()).state, "saved");
      assert.deepEqual(lines(network.requests.at(-1).diffs), ['update t0 {"name":"Oats"}']);
    });
  }

  test(`a device that is too old learns so although its change is too large alone (${whose} 413)`, async () => {
    const network = new Network().then(ok(1, [back("create", "t0")]), tooLarge, failure(410, "too_old"), ok(9));
    const phone = await device(network);
    await phone.sync();
    await phone.create("tasks", { id: "t1" });
    assert.equal((await phone.sync()).state, "saved");
    assert.deepEqual(await phone.refused(), []);
    assert.equal(network.requests.at(-1).diffs.length, 1);
  });
}

/** Any histories of small and large changes, any limit, lost answers, restarts: all arrives, or is shown. */
for (let seed = 1; seed <= 30; seed += 1) {
  test(`whatever is too large for whomever, the rest arrives and the device equals the server (${seed})`, async () => {
    const random = chance(seed);
    const limit = 1500 + random(4000);
    const server = new Replica();
    const network = {
      requests: [],
      fetch: async (url, init) => {
        if (random(5) === 0) return lost();
        if (new TextEncoder().encode(init.body).length > limit)
          return TOO_LARGE[random(2) ? "a proxy's" : "the server's"]();
        const answer = await server.fetch(url, init);
        return random(4) === 0 ? lost() : answer;
      },
    };
    const store = memoryStore();
    let phone = await device(network, { store, maxDiffs: 1 + random(20) });
    let unsent = 0;
    for (let step = 0; step < 60; step += 1) {
      const rows = await phone.read("tasks");
      const name = "é€😀x"[random(3)].repeat(random(8) === 0 ? 2000 + random(4000) : random(300)).toWellFormed();
      const kind = random(8);
      if (kind < 3) await phone.create("tasks", { name });
      else if (kind < 5 && rows.length > 0) await phone.update("tasks", rows[random(rows.length)].id, { name });
      else if (kind === 5 && rows.length > 0) await phone.delete("tasks", rows[random(rows.length)].id);
      else if (kind === 6) await phone.sync();
      else if (kind === 7 && random(3) === 0) {
        await phone.close();
        phone = await device(network, { store, maxDiffs: 1 + random(20) });
      }
      phone.clock.now += 1;
    }
    for (unsent = 1; unsent > 0 && phone.clock.now < 5000; phone.clock.now += 100) {
      const { state, pending, problem } = await phone.sync();
      unsent = state === "saved" ? 0 : pending + 1;
      assert.ok(!problem || problem.code === "no_answer", problem?.code);
    }
    assert.equal(unsent, 0);
    assert.deepEqual(Object.fromEntries((await phone.read("tasks")).map((row) => [row.id, row.name])), server.names());
    for (const { code, diff } of await phone.refused()) {
      assert.equal(code, "payload_too_large");
      assert.ok(new TextEncoder().encode(JSON.stringify(diff)).length > limit - 200);
    }
  });
}

for (const anew of [false, true]) {
  test(`after a 413 a request has half the diffs and half the bytes (${anew ? "anew" : "as usual"})`, async () => {
    const sizes = [];
    let clock = 1;
    const fetch = async (_, { body }) => {
      const bytes = new TextEncoder().encode(body).length;
      const { diffs } = JSON.parse(body);
      sizes.push([diffs.length, bytes]);
      return bytes > 18_000 ? failure(413, "payload_too_large")() : ok((clock += 1))();
    };
    const store = memoryStore();
    await store.write((tx) => tx.put("meta", { key: "state", clock: 0, goal: 0, anew }));
    const phone = await device({ fetch }, { store });
    for (const length of [10_000, 10_000, 10, 10, 10, 10, 10, 10]) {
      await phone.create("tasks", { name: "x".repeat(length) });
    }
    assert.equal((await phone.sync()).state, "saved");
    assert.deepEqual(
      sizes.map(([diffs]) => diffs),
      [8, 1, 4, 3],
    );
  });
}

test("a request has no more bytes than it may, whatever alphabet its changes are in", async () => {
  for (const letter of ["x", "é", "語", "😀", '"', "\\"]) {
    let clock = 0;
    const sizes = [];
    const fetch = async (_, { body }) => (sizes.push(new TextEncoder().encode(body).length), ok((clock += 1))());
    const phone = await device({ fetch }, { maxBytes: 10_000 });
    for (let number = 0; number < 40; number += 1) await phone.create("tasks", { name: letter.repeat(300) });
    assert.equal((await phone.sync()).state, "saved");
    assert.ok(sizes.length > 1 && Math.max(...sizes) < 10_100, `${letter}: ${sizes}`);
  }
});
