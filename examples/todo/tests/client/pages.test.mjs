// Fetching in pages: a device that was away, or is new, takes in the past step by step.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { Network, back, chance, device, failure, line, lost, ok, until } from "./network.mjs";

const HOUR = 60 * 60 * 1000;
const AUTOMATIC = { automatic: true, debounce: 1, firstWait: 10 };

const page =
  (logical_clock, more, diffs = [], members = {}) =>
  () =>
    Response.json({ success: true, message: "", logical_clock, more, diffs, ...members });

/** What each request asked: clock, diffs, limit. */
const asked = ({ requests }) => requests.map(({ logical_clock, diffs, limit }) => [logical_clock, diffs.length, limit]);

test("a new device fetches in pages, tells how far it is, and then sends its changes", async () => {
  const network = new Network();
  const phone = await device(network, { isNew: true });
  await phone.create("tasks", { id: "mine", name: "Tea" });
  const seen = [];
  phone.addEventListener("status", () => seen.push(phone.status.progress));
  network.then(
    page(3, 10, [back("create", "t1", { name: "Milk" })]),
    page(8, 10, [back("update", "t1", { name: "Oats" }), back("create", "t2")]),
    ok(11, [back("delete", "t2")]),
    ok(12),
  );
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(
    network.requests.map(({ logical_clock, diffs }) => [logical_clock, diffs.length]),
    [
      [0, 0],
      [3, 0],
      [8, 0],
      [11, 1],
    ],
  );
  assert.ok(network.requests.slice(0, 3).every(({ limit, report }) => limit >= 10 && report === undefined));
  assert.deepEqual([network.requests[3].limit, network.requests[3].report], [undefined, true]);
  assert.deepEqual([...new Set(seen)], [null, 0.3, 0.8]);
  assert.deepEqual(
    (await phone.read("tasks")).map(({ id, name }) => [id, name]),
    [
      ["mine", "Tea"],
      ["t1", "Oats"],
    ],
  );
  assert.equal(phone.status.progress, null);
});

test("a first sync that was cut off goes on where it was, also after a restart", async () => {
  const store = memoryStore();
  const network = new Network().then(page(3, 10, [back("create", "t1")]), lost);
  const before = await device(network, { isNew: true, store });
  const { state, progress, clock, syncedAt } = await before.sync();
  assert.deepEqual([state, progress, clock, syncedAt], ["offline", 0.3, 3, null]);
  await before.create("tasks", { id: "t2" });
  await before.close();
  const after = await device(network, { isNew: true, store });
  assert.equal(after.status.progress, 0.3);
  network.then(page(9, 10), ok(10), ok(11));
  assert.equal((await after.sync()).state, "saved");
  assert.deepEqual(
    network.requests.map(({ logical_clock, diffs }) => [logical_clock, diffs.length]),
    [
      [0, 0],
      [3, 0],
      [3, 0],
      [9, 0],
      [10, 1],
    ],
  );
});

test("a request without an answer is repeated as it was, before anything is fetched or sent", async () => {
  const store = memoryStore();
  const network = new Network().then(ok(5, [], undefined, { head: "h5" }), lost);
  const before = await device(network, { store });
  await before.sync();
  await before.create("tasks", { id: "t1" });
  await before.sync();
  await before.update("tasks", "t1", { name: "Milk" });
  await before.close();
  const after = await device(network, { store });
  after.clock.now += 1000 * HOUR;
  network.then(lost, ok(6), ok(7));
  await after.sync();
  assert.equal((await after.sync()).state, "saved");
  const [, first, second, third, last] = network.requests;
  assert.equal(first.head, "h5");
  assert.deepEqual([second, third], [first, first]);
  assert.deepEqual(last.diffs.map(line), ['update t1 {"name":"Milk"}']);
});

test("in the ordinary case a change is one request; after days, what was missed is fetched first", async () => {
  const network = new Network().then(ok(5), ok(6));
  const phone = await device(network);
  await phone.sync();
  phone.clock.now += HOUR;
  await phone.create("tasks", { id: "t1" });
  await phone.sync();
  assert.deepEqual(
    asked(network).map(([clock, diffs]) => [clock, diffs]),
    [
      [0, 0],
      [5, 1],
    ],
  );
  phone.clock.now += 100 * HOUR;
  await phone.update("tasks", "t1", { done: true });
  network.then(page(9, 20), ok(20), ok(21));
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(
    asked(network)
      .slice(2)
      .map(([clock, diffs]) => [clock, diffs]),
    [
      [6, 0],
      [9, 0],
      [20, 1],
    ],
  );
});

test("a server of before answers with everything at once", async () => {
  const network = new Network().then(ok(7, [back("create", "t1")]), ok(8));
  const phone = await device(network, { isNew: true });
  await phone.create("tasks", { id: "t2" });
  const { state, progress, clock } = await phone.sync();
  assert.deepEqual([state, progress, clock], ["saved", null, 8]);
});

test("a change made between two pages meets what comes later, and is sent in the end", async () => {
  const network = new Network();
  const phone = await device(network, { isNew: true });
  network.then(
    page(3, 9, [back("create", "t1", { name: "Milk" }, 10), back("create", "t2", { name: "Tea" }, 10)]),
    async () => {
      phone.clock.now = 600;
      await phone.update("tasks", "t1", { name: "Mine", done: true });
      await phone.update("tasks", "t2", { name: "Mine" });
      return page(6, 9, [back("update", "t1", { name: "Theirs" }, 700), back("update", "t2", { name: "Old" }, 500)])();
    },
    ok(9, [back("delete", "t2")]),
    ok(10),
  );
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(network.requests[3].diffs.map(line), ['update t1 {"done":true}']);
  assert.deepEqual(await phone.read("tasks"), [{ id: "t1", name: "Theirs", done: true }]);
});

for (const [what, answer] of Object.entries({
  "a page that does not move": page(5, 9),
  "a page that goes back": page(4, 9),
  "a page that has nothing after it": page(7, 7),
  "a page beyond the clock": page(8, 7),
  "a page whose clock is no number": page(7, "9"),
  "a page with half a clock": page(7, 8.5),
  "diffs at the same clock": page(5, undefined, [back("create", "t9")]),
  "a diff of a tick that is not there yet": page(7, 9, [{ ...back("create", "t9"), logical_clock: 7 }]),
  "a head that is no text": page(7, 9, [], { head: 7 }),
})) {
  test(`${what} is no answer, and nothing of it is applied`, async () => {
    const network = new Network().then(ok(5, [back("create", "t1")], undefined, { head: "h" }), answer, ok(6));
    const phone = await device(network);
    await phone.sync();
    const { problem, clock, progress } = await phone.sync();
    assert.deepEqual([problem?.code, clock, progress], ["no_answer", 5, null]);
    assert.equal((await phone.sync()).state, "saved");
    assert.equal(network.requests[2].head, "h");
    assert.equal((await phone.read("tasks")).length, 1);
  });
}

test("an answer to changes is never a page", async () => {
  const network = new Network().then(page(3, 9), ok(3));
  const phone = await device(network);
  await phone.create("tasks", { id: "t1" });
  const { problem, pending } = await phone.sync();
  assert.deepEqual([problem.code, pending], ["no_answer", 1]);
  assert.equal((await phone.sync()).state, "saved");
});

test("pages are as large as their bytes allow, and smaller where the network breaks", async () => {
  const limits = [];
  let clock = 0;
  let bytes = 0;
  const fetch = async (_, { body }) => {
    const { limit } = JSON.parse(body);
    limits.push(limit);
    if (bytes === null) return lost();
    clock += 1;
    const name = "x".repeat(Math.round(bytes * limit));
    return page(clock, limits.length === 12 ? undefined : 100, [back("create", "t1", { name })])();
  };
  const phone = await device({ fetch }, { isNew: true });
  bytes = 10_000; // of an entry
  await phone.sync();
  assert.deepEqual([limits[0], limits.at(-1)], [1000, 105]);
  assert.ok(limits.slice(1).every((limit) => limit >= 10 && limit <= 1000));
  bytes = null;
  for (let round = 0; round < 6; round += 1) await phone.sync();
  assert.deepEqual(limits.slice(-4), [26, 13, 10, 10]);
  bytes = 0.01;
  phone.clock.now += 1;
  limits.length = 0;
  await phone.sync();
  assert.ok(Math.max(...limits) === 10_000, `${limits}`);
});

test("a page that cannot be stored is fetched again, and no page is half there", async () => {
  const store = memoryStore();
  let writes = Infinity;
  const failing = {
    ...store,
    write: (work, durable) =>
      store.write((tx) => {
        const put = (...what) => {
          if ((writes -= 1) < 0) throw new DOMException("full", "QuotaExceededError");
          return tx.put(...what);
        };
        return work({ ...tx, put });
      }, durable),
  };
  const diffs = [back("create", "t1"), back("create", "t2"), back("create", "t3")];
  for (let most = 0; most < 4; most += 1) {
    const network = new Network().then(page(5, 9, diffs), ok(9));
    const phone = await device(network, { isNew: true, store: failing });
    writes = most;
    assert.equal((await phone.sync()).problem?.code, "storage_full");
    assert.deepEqual([(await phone.read("tasks")).length, phone.status.clock], [0, 0]);
    writes = Infinity;
    await phone.close();
  }
});

/**
 * A server with a log that it can answer in pages, as of any tick: each entry is one tick. What a device gets
 * for a page is the state at its end, compared with the state at its beginning.
 */
class Paged {
  log = [];
  requests = [];

  at(clock) {
    const rows = new Map();
    for (const { type, json_data } of this.log.slice(0, clock)) {
      const data = JSON.parse(json_data);
      if (type === "create") rows.set(data.id, data);
      else if (type === "delete") rows.delete(data.id);
      else if (rows.has(data.id)) rows.set(data.id, { ...rows.get(data.id), ...data });
    }
    return rows;
  }

  write(type, id, fields = {}) {
    this.log.push(back(type, id, fields));
  }

  fetch = async (url, { body }) => {
    const { logical_clock: from, diffs, limit = Infinity, head } = JSON.parse(body);
    this.requests.push({ from, diffs, limit, head });
    if (from > 0 && head !== `head-${from}`) return failure(409, "other_history")();
    const known = new Set(this.log.map(({ id }) => id));
    const before = this.log.length;
    const fresh = diffs.filter(({ id }) => !known.has(id));
    const end = diffs.length > 0 ? before : Math.min(from + limit, before);
    const [then, now] = [this.at(from), this.at(end)];
    const answer = [];
    for (const [id, row] of now) {
      if (!then.has(id)) answer.push(back("create", id, row, 1));
      else if (JSON.stringify(then.get(id)) !== JSON.stringify(row)) answer.push(back("update", id, row, 1));
    }
    for (const id of then.keys()) if (!now.has(id)) answer.push(back("delete", id));
    this.log.push(...fresh);
    const clock = diffs.length > 0 ? this.log.length : end;
    const more = clock < this.log.length ? this.log.length : undefined;
    return page(clock, more, answer, clock > from ? { head: `head-${clock}` } : {})();
  };
}

for (let seed = 1; seed <= 20; seed += 1) {
  test(`in whatever pages, with whatever losses and restarts, the device becomes the server's equal (${seed})`, async () => {
    const random = chance(seed);
    const server = new Paged();
    const ids = [];
    for (let entry = 0; entry < 200; entry += 1) {
      const id = ids[random(ids.length || 1)];
      if (random(3) === 0 || !id) server.write("create", ids[ids.push(`s${entry}`) - 1], { name: `n${entry}` });
      else if (random(4) > 0) server.write("update", id, { name: `n${entry}` });
      else server.write("delete", ids.splice(ids.indexOf(id), 1)[0]);
    }
    const fetch = async (url, init) => {
      if (random(4) === 0) return lost();
      const asked = JSON.parse(init.body);
      const body = JSON.stringify({ ...asked, ...(asked.limit && { limit: Math.min(asked.limit, 1 + random(40)) }) });
      const answer = await server.fetch(url, { ...init, body });
      return random(4) === 0 ? lost() : answer;
    };
    const store = memoryStore();
    let phone = await device({ fetch }, { isNew: true, store });
    for (let step = 0; step < 12; step += 1) {
      await phone.create("tasks", { id: `d${step}`, name: "Mine" });
      const rows = await phone.read("tasks");
      await phone.update("tasks", rows[random(rows.length)].id, { done: true });
      if (random(3) === 0) await phone.delete("tasks", rows[random(rows.length)].id).catch(() => {});
      await phone.sync();
      if (random(4) === 0) {
        await phone.close();
        phone = await device({ fetch }, { isNew: true, store });
      }
    }
    for (let round = 0; phone.status.state !== "saved" || round === 0; round += 1) {
      assert.ok(round < 100, JSON.stringify(phone.status));
      await phone.sync();
    }
    const seen = (rows) => [...rows].map(({ id, name, done = false }) => `${id} ${name} ${done}`).sort();
    assert.deepEqual(seen(await phone.read("tasks")), seen(server.at(server.log.length).values()));
  });
}

test("two tabs show the same progress, and one of them fetches", async () => {
  const store = memoryStore();
  let release;
  const gate = new Promise((resolve) => (release = resolve));
  const network = new Network().then(page(5, 10), async () => (await gate, ok(10)()), ok(10), ok(10));
  const left = await device(network, { isNew: true, store, ...AUTOMATIC });
  const right = await device(network, { isNew: true, store, ...AUTOMATIC });
  await until(() => left.status.progress === 0.5 && right.status.progress === 0.5, "both show it");
  release();
  await until(() => left.status.progress === null && right.status.progress === null, "both are there");
  await Promise.all([left.close(), right.close()]);
});

test("an object that is created here is not taken away by the end of one from the past", async () => {
  const network = new Network();
  const phone = await device(network, { isNew: true });
  await phone.create("tasks", { id: "theme", name: "dark" });
  await phone.create("tasks", { id: "font", name: "large" });
  network.then(
    page(3, 9, [back("create", "theme", { name: "light" }, 900), back("create", "font", { name: "old" }, 900)]),
    page(6, 9, [back("delete", "theme"), back("update", "font", { done: true }, 900)]),
    ok(9, [back("update", "font", { name: "tiny" }, 100)]),
    ok(10),
  );
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(network.requests[3].diffs.map(line), ['create theme {"name":"dark"}']);
  assert.deepEqual(await phone.read("tasks"), [
    { id: "font", name: "tiny", done: true },
    { id: "theme", name: "dark", done: false },
  ]);
});

test("what was deleted by others while the device was away takes its changes along, also if it is there again", async () => {
  const network = new Network().then(ok(3, [back("create", "t1"), back("create", "t2", { name: "Tea" })]));
  const phone = await device(network);
  await phone.sync();
  await phone.update("tasks", "t1", { name: "Mine" });
  await phone.update("tasks", "t2", { name: "Mine" });
  phone.clock.now += 1000 * HOUR;
  network.then(
    page(5, 9, [back("delete", "t1"), back("delete", "t2")]),
    page(7, 9, [back("create", "t2", { name: "New" }, 100)]),
    ok(9, [back("delete", "t2"), back("create", "t2", { name: "Newest" }, 100)]),
  );
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(await phone.read("tasks"), [{ id: "t2", name: "Newest", done: false }]);
});

test("what is held is still there after a restart, and nothing of it stays", async () => {
  const store = memoryStore();
  const network = new Network().then(page(3, 9, [back("create", "t1", { name: "Theirs", due: "soon" }, 900)]), lost);
  const before = await device(network, { isNew: true, store });
  await before.create("tasks", { id: "t1", name: "Mine" });
  await before.sync();
  assert.equal((await before.read("tasks", "t1")).name, "Mine");
  await before.close();
  const after = await device(network, { store });
  network.then(ok(9));
  assert.equal((await after.sync()).state, "saved");
  assert.deepEqual(await after.read("tasks"), [{ id: "t1", name: "Theirs", due: "soon", done: false }]);
  const keys = (await store.read((tx) => tx.all("meta"))).map(({ key }) => key);
  assert.deepEqual(keys, ["state"]);
});

for (const [what, code, anew] of [
  ["another history", 409, (phone) => phone.resend()],
  ["it was away for too long", 410, (phone) => phone.status],
]) {
  test(`nothing that was held is left where a device begins anew between pages: ${what}`, async () => {
    const store = memoryStore();
    const network = new Network().then(
      page(3, 9, [back("create", "t1", { name: "Theirs", due: "soon" }, 900)]),
      failure(code, code === 409 ? "other_history" : "too_old"),
      ok(2),
    );
    const phone = await device(network, { isNew: true, store });
    await phone.create("tasks", { id: "t1", name: "Mine" });
    await phone.sync();
    assert.equal((await anew(phone)).state, "saved");
    assert.equal(network.requests.length, 3);
    assert.deepEqual(network.requests[2].diffs.map(line), ['create t1 {"name":"Mine"}']);
    assert.deepEqual(await phone.read("tasks"), [{ id: "t1", name: "Mine", done: false }]);
    const keys = (await store.read((tx) => tx.all("meta"))).map(({ key }) => key);
    assert.ok(!keys.some((key) => Array.isArray(key)), `${keys}`);
  });
}

/** A server whose log has one entry of so many bytes at each clock. */
class Heavy {
  limits = [];
  constructor(bytes, clock) {
    this.bytes = bytes;
    this.clock = clock;
  }
  fetch = async (_, { body }) => {
    const { logical_clock: from, diffs, limit = Infinity } = JSON.parse(body);
    this.limits.push(limit);
    const to = Math.min(from + limit, this.clock);
    const name = "x".repeat(this.bytes);
    const entries = Array.from({ length: to - from }, (_, place) => back("create", `t${from + place}`, { name }));
    if (diffs.length > 0) return ok((this.clock += 1), entries)();
    return ok(to, entries, undefined, to < this.clock && { more: this.clock })();
  };
}

for (const bytes of [1, 1000, 30_000]) {
  test(`pages that are larger than what is read become smaller until they fit (${bytes} bytes an entry)`, async () => {
    const server = new Heavy(bytes, 300);
    const phone = await device(server, { isNew: true, maxAnswer: 500_000 });
    assert.equal((await phone.sync()).state, "saved");
    assert.equal((await phone.read("tasks")).length, 300);
    assert.ok(server.limits.length < 60, `${server.limits}`);
  });
}

test("a page that is too large with the fewest entries is told, and not asked for again at once", async () => {
  const server = new Heavy(100_000, 300);
  const phone = await device(server, { isNew: true, maxAnswer: 500_000 });
  const { state, problem } = await phone.sync();
  assert.deepEqual([state, problem.code], ["stopped", "answer_too_large"]);
  assert.deepEqual(server.limits, [1000, 125, 15, 10]);
  await phone.sync();
  assert.equal(server.limits.length, 5);
});

test("pages that only show whose token it is become smaller, too", async () => {
  const store = memoryStore();
  const state = { key: "state", clock: 0, goal: 0, owner: "ada", token: 1 };
  await store.write((tx) => tx.put("meta", state));
  const server = new Heavy(30_000, 300);
  const phone = await device(server, { store, maxAnswer: 500_000 });
  await phone.create("tasks", { id: "mine" });
  const { problem } = await phone.sync();
  assert.deepEqual(server.limits.slice(0, 3), [100, 100, 15]);
  assert.equal(problem?.code, "answer_too_large"); // the answer to its changes has everything
});

test("whose another token is shows in a page of one entry, which tells nothing about the size of pages", async () => {
  let token = "ada";
  const server = new Heavy(100, 300);
  const phone = await device(server, { isNew: true, token: () => token });
  await phone.sync();
  await phone.update("tasks", "t1", { name: "Mine" });
  server.clock = 2500;
  phone.clock.now += 25 * HOUR; // it fetches before it sends
  server.limits.length = 0;
  token = "ada's new one";
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(server.limits.slice(0, 2), [1, 1000]);
});
