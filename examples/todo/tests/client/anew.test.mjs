// Devices that begin anew, and the real server: with requests that are cut, lost answers, and a log that forgets.
//
// `cargo test -p todo --test client` starts the servers and tells their addresses.

import assert from "node:assert/strict";
import test from "node:test";

import { Mobync, memoryStore } from "../../web/mobync.js";
import { chance, failure } from "./network.mjs";

const { TODO_SECOND_SERVER: server, TODO_FORGETFUL_SERVER: forgetful } = process.env;
if (!server || !forgetful) throw new Error("The servers are missing: run `cargo test -p todo --test client`");

const MODELS = { tasks: { name: "", done: false, position: 0, due: null, created_time: 0 } };
const TOO_LARGE = failure(413, "payload_too_large");
const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

const connect = (url, options) =>
  Mobync.open({
    url: `${url}/sync`,
    models: MODELS,
    token: () => "ada",
    store: memoryStore(),
    automatic: false,
    ...options,
  });

const tasks = async (device) => JSON.stringify(await device.read("tasks"));

async function erase(url) {
  const device = await connect(url);
  await device.sync();
  for (const { id } of await device.read("tasks")) await device.delete("tasks", id);
  assert.equal((await device.sync()).state, "saved");
}

/**
 * A phone that was away and a laptop change the same tasks. When the phone begins anew, its requests are cut to
 * two diffs, some get lost, and both go on meanwhile: still the later value wins, and what was deleted is gone.
 */
for (const [kind, fail] of [
  ["too_old", failure(410, "too_old")],
  ["clock_ahead", failure(409, "clock_ahead")],
]) {
  for (let seed = 1; seed <= 10; seed += 1) {
    test(`what is sent in parts after ${kind} is merged by its times, and what is deleted stays so (${seed})`, async () => {
      const random = chance(seed);
      const pick = (from) => from[random(from.length)];
      await erase(server);
      let time = Date.now();
      const now = () => (time += 1);
      /** What each task has in the end; null if it was deleted. */
      const expected = new Map();
      let phase = "away";

      const change = async (device) => {
        const rows = await device.read("tasks");
        const kind = device === phone ? random(6) : 5;
        if (kind === 0) {
          const row = await device.create("tasks", { name: `new ${time}` });
          expected.set(row.id, row);
        } else if (kind === 1 && rows.length > 3) {
          const { id } = pick(rows);
          await device.delete("tasks", id);
          expected.set(id, null);
        } else if (rows.length > 0) {
          const row = pick(rows);
          const fields = pick([{ name: `name ${time}` }, { position: time }, { due: `due ${time}` }]);
          await device.update("tasks", row.id, fields);
          // A delete of the phone wins.
          if (expected.get(row.id)) expected.set(row.id, { ...expected.get(row.id), ...fields });
        }
      };
      const live = async () => {
        if (random(3) === 0) await change(phone);
        if (random(3) > 0) return;
        await change(laptop);
        assert.equal((await laptop.sync()).state, "saved");
      };
      const fetchInParts = async (url, init) => {
        const { logical_clock, diffs } = JSON.parse(init.body);
        if (phase === "away" || phase === "over") return fetch(url, init);
        if (phase === "back") {
          phase = "anew";
          return fail();
        }
        if (diffs.length > 2) return TOO_LARGE();
        if (logical_clock === 0) await live();
        if (random(4) === 0) throw new TypeError("the request got lost");
        const response = await fetch(url, init);
        if (logical_clock === 0) await live();
        if (random(4) === 0) throw new TypeError("the answer got lost");
        return response;
      };
      const laptop = await connect(server, { now });
      const phone = await connect(server, { now, fetch: fetchInParts });
      for (let number = 0; number < 8; number += 1) {
        const row = await laptop.create("tasks", { name: `Task ${number}` });
        expected.set(row.id, row);
      }
      await laptop.sync();
      await phone.sync();
      for (let number = 0; number < 12; number += 1) await change(pick([phone, phone, laptop]));
      await laptop.sync();

      phase = "back";
      const { problem } = await phone.sync();
      if (kind === "clock_ahead") {
        assert.equal(problem.code, kind);
        await live();
        await phone.resend();
      }
      for (let round = 0; phone.status.state !== "saved"; round += 1) {
        if (round === 20) phase = "over"; // everything arrives, and nobody changes anything any more
        assert.ok(round < 100, JSON.stringify(phone.status));
        await phone.sync();
      }
      phase = "over";
      await laptop.sync();
      await phone.sync();
      const rows = [...expected.values()].filter(Boolean).sort((a, b) => (a.id < b.id ? -1 : 1));
      assert.deepEqual(await laptop.read("tasks"), rows);
      assert.deepEqual(await phone.read("tasks"), rows);
      assert.deepEqual(await phone.check(), []);
      assert.deepEqual(await phone.refused(), []);
    });
  }
}

let begun = 0;

/** Any changes of three devices that are away for longer than the server's log goes back. */
for (let seed = 1; seed <= 8; seed += 1) {
  test(`whatever happens on the way, all devices of a server that forgets converge (${seed})`, async () => {
    const random = chance(seed);
    const pick = (from) => from[random(from.length)];
    await erase(forgetful);
    let isQuiet = false;
    const change = async ({ mobync }) => {
      const rows = await mobync.read("tasks");
      const fresh = `o${seed}-${random(6)}`;
      const kind = random(10);
      if (kind < 3 && !rows.some(({ id }) => id === fresh)) {
        await mobync.create("tasks", { id: fresh, name: pick(["Milk", "Bread", "Tea"]) });
      } else if (kind < 8 && rows.length > 0) {
        const fields = pick([{ name: pick(["Salt", "Rice", ""]) }, { done: random(2) === 1 }, { position: random(9) }]);
        await mobync.update("tasks", pick(rows).id, fields);
      } else if (rows.length > 0) {
        await mobync.delete("tasks", pick(rows).id);
      }
    };
    const open = async (device) => {
      device.mobync = await connect(forgetful, {
        store: device.store,
        now: () => Date.now() + device.drift,
        fetch: async (url, init) => {
          const asked = JSON.parse(init.body);
          if (asked.diffs.length > 2) return TOO_LARGE();
          if (!isQuiet && random(5) === 0) throw new TypeError("the request got lost");
          const body = JSON.stringify({ ...asked, ...(asked.limit && { limit: 3 }) });
          const response = await fetch(url, { ...init, body });
          if (response.status === 410) begun += 1;
          if (isQuiet) return response;
          while (random(2) === 0) await change(device);
          if (random(4) === 0) throw new TypeError("the answer got lost");
          return response;
        },
      });
    };
    const devices = [0, -60_000, 3000].map((drift) => ({ drift, store: memoryStore() }));
    for (const device of devices) await open(device);
    for (let step = 0; step < 60; step += 1) {
      const device = pick(devices);
      const what = random(12);
      if (what < 7) await change(device);
      else if (what < 10) await device.mobync.sync();
      else if (what < 11) await sleep(random(600));
      else {
        await device.mobync.close();
        await open(device);
      }
    }
    isQuiet = true;
    for (let round = 0; round < 2; round += 1) {
      for (const { mobync } of devices) {
        for (let tries = 0; (await mobync.sync()).state !== "saved"; tries += 1) {
          assert.ok(tries < 20, JSON.stringify(mobync.status));
        }
      }
    }
    const fresh = await connect(forgetful);
    await fresh.sync();
    for (const { mobync } of devices) {
      assert.equal(await tasks(mobync), await tasks(fresh));
      assert.deepEqual(await mobync.check(), []);
    }
  });
}

test("the server did forget", () => assert.ok(begun > 8, `${begun}`));
