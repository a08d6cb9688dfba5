// Which answers are taken: none from before, none for somebody else, none without a bound.

import assert from "node:assert/strict";
import test from "node:test";

import { Mobync, memoryStore } from "../../web/mobync.js";
import { MODELS, Network, Replica, back, chance, device, failure, line, lost, ok, until } from "./network.mjs";

const of = (owner, diff) => ({ ...diff, owner });
const pull = (clock) => ok(clock, [back("create", "t9", { name: "Bread" })]);

/** A device at clock 5, with what the server of that clock has told. */
async function old(network, options) {
  network.then(ok(5, [back("create", "t0", { name: "Salt" })]));
  const phone = await device(network, options);
  assert.equal((await phone.sync()).clock, 5);
  return phone;
}

const STALE = {
  "the clock of the last answer": ok(5),
  "a lower clock": ok(4),
  "the first clock": ok(0),
  "a negative clock": ok(-1),
  "a clock that is no number": ok("6"),
  "a broken clock": ok(5.5),
  "a clock beyond what is exact": ok(2 ** 53),
  "diffs at a lower clock": pull(3),
  "diffs at the same clock": pull(5),
  "a word on a diff that was not sent": ok(7, [], [{ diff_id: "x", code: "forbidden", message: "No." }]),
};

for (const [what, stale] of Object.entries(STALE)) {
  for (const first of ["never sent", "sent before, without an answer"]) {
    test(`an answer with ${what} acknowledges nothing that was ${first}`, async () => {
      const network = new Network();
      const phone = await old(network);
      await phone.create("tasks", { id: "t1", name: "Milk" });
      if (first !== "never sent") {
        network.then(lost);
        await phone.sync();
      }
      network.then(stale, stale, pull(6));
      for (let round = 0; round < 2; round += 1) {
        const { state, problem, pending, clock } = await phone.sync();
        assert.deepEqual([state, problem.code, pending, clock], ["offline", "no_answer", 1, 5]);
        assert.deepEqual((await phone.read("tasks")).map(({ id }) => id).sort(), ["t0", "t1"]);
      }
      assert.equal((await phone.sync()).state, "saved");
      const ids = network.requests.slice(1).map(({ diffs }) => diffs[0].id);
      assert.equal(new Set(ids).size, 1);
    });
  }
}

/** A device restored from a backup repeats what the server has at a tick below its clock. */
for (const [what, server, saved] of [
  ["the right server", ({ diffs }) => (diffs.length > 1 ? ok(6) : ok(5))(), true],
  ["a cache", ok(5), false],
]) {
  test(`after three answers that look old, a diff without effect shows whether they are (${what})`, async () => {
    const network = new Network();
    const phone = await old(network);
    await phone.create("tasks", { id: "t1", name: "Milk" });
    network.then(server, lost, server, server, server, server);
    for (let round = 0; round < 4; round += 1) assert.equal((await phone.sync()).problem.code, "no_answer");
    assert.ok(network.requests.slice(1).every(({ diffs }) => diffs.length === 1));
    const { state, pending, refused } = await phone.sync();
    assert.deepEqual([state, pending, refused], [saved ? "saved" : "offline", saved ? 0 : 1, 0]);
    if (!saved) await phone.sync();
    const probes = network.requests.slice(5).map(({ diffs }) => diffs[0]);
    assert.deepEqual([...new Set(probes.map(line))], ["update t1"]);
    assert.equal(new Set(probes.map(({ id }) => id)).size, saved ? 1 : 2);
    // It is no change of the person's, and not needed again.
    if (!saved) return;
    await phone.update("tasks", "t1", { done: true });
    network.then(ok(7));
    await phone.sync();
    assert.deepEqual(network.requests.at(-1).diffs.map(line), ['update t1 {"done":true}']);
  });
}

test("an answer to no changes may have the clock that the device has, but no lower one", async () => {
  const network = new Network();
  const phone = await old(network);
  network.then(ok(5), ok(4), ok(5), ok(9));
  const codes = [];
  for (let round = 0; round < 4; round += 1) codes.push((await phone.sync()).problem?.code);
  assert.deepEqual(codes, [undefined, "no_answer", undefined, undefined]);
  assert.equal(phone.status.clock, 9);
});

/** A cache on the way gives whatever the device was ever told; in the end the server has every change. */
for (let seed = 1; seed <= 30; seed += 1) {
  test(`whatever a cache repeats, no change is lost (${seed})`, async () => {
    const random = chance(seed);
    const server = new Replica();
    const heard = ['{"success":true,"message":"","logical_clock":0,"diffs":[]}'];
    let isCaching = true;
    const fetch = async (url, init) => {
      assert.deepEqual([init.cache, init.redirect], ["no-store", "error"]);
      const what = isCaching ? random(4) : 0;
      if (what === 1) return lost();
      if (what === 2) return new Response(heard[random(heard.length)]);
      const text = await (await server.fetch(url, init)).text();
      if (what === 3) return lost();
      heard.push(text);
      return new Response(text);
    };
    const phone = await device({ fetch });
    for (let step = 0; step < 40; step += 1) {
      const rows = await phone.read("tasks");
      if (random(3) === 0) await phone.sync();
      else if (random(2) === 0 || rows.length === 0) await phone.create("tasks", { name: `n${step}` });
      else if (random(3) > 0) await phone.update("tasks", rows[random(rows.length)].id, { name: `n${step}` });
      else await phone.delete("tasks", rows[random(rows.length)].id);
    }
    isCaching = false;
    assert.equal((await phone.sync()).state, "saved");
    assert.deepEqual(Object.fromEntries((await phone.read("tasks")).map(({ id, name }) => [id, name])), server.names());
  });
}

for (const [what, diffs] of Object.entries({
  "another owner": [of("grace", back("create", "g1", { name: "Hers" }))],
  "another owner's update": [of("grace", back("update", "t0", { name: "Hers" }))],
  "two owners": [back("create", "g1"), of("grace", back("create", "g2"))],
  "an owner in other letters": [of("Ada", back("create", "g1"))],
  "no name": [of("", back("create", "g1"))],
})) {
  test(`an answer with diffs of ${what} is not taken, and syncing stops until it is another one`, async () => {
    const network = new Network();
    const store = memoryStore();
    let phone = await old(network, { store });
    await phone.create("tasks", { id: "t1", name: "Milk" });
    await phone.close();
    phone = await device(network, { store });
    network.then(ok(8, diffs), pull(9));
    const { state, problem, pending, clock } = await phone.sync();
    assert.deepEqual([state, problem.code, pending, clock], ["stopped", "other_owner", 1, 5]);
    assert.match(problem.message, /[Ss]ign in/);
    assert.equal(await phone.read("tasks", "g1"), undefined);
    assert.equal((await phone.read("tasks", "t0")).name, "Salt");
    assert.equal((await phone.sync()).state, "saved");
  });
}

test("a first answer with diffs of two owners is not taken either", async () => {
  const network = new Network().then(ok(3, [back("create", "t1"), of("grace", back("create", "t2"))]), pull(3));
  const phone = await device(network);
  assert.equal((await phone.sync()).problem.code, "other_owner");
  assert.deepEqual(await phone.read("tasks"), []);
  assert.equal((await phone.sync()).state, "saved");
});

for (const [what, grace] of Object.entries({
  "who is ahead": ok(9, [of("grace", back("create", "g1"))]),
  "who is as far": ok(5, [of("grace", back("create", "g1"))]),
  "who is a little behind": ok(4),
  "who is far behind": failure(409, "clock_ahead"),
})) {
  for (const before of ["never sent", "sent before, without an answer"]) {
    test(`another token is first asked whose it is: nothing of Ada's that was ${before} reaches Grace, ${what}`, async () => {
      let token = "ada";
      const store = memoryStore();
      const network = new Network();
      let phone = await old(network, { store, token: () => token });
      await phone.create("tasks", { id: "t1", name: "Milk" });
      if (before !== "never sent") {
        network.then(lost);
        await phone.sync();
      }
      const first = network.requests.length;
      token = "grace";
      network.then(grace, grace);
      for (let round = 0; round < 2; round += 1) {
        const { problem, pending, clock } = await phone.sync();
        assert.deepEqual([pending, clock], [1, 5]);
        assert.match(problem.code, /other_owner|clock_ahead|no_answer/);
        await phone.close();
        phone = await device(network, { store, token: () => token });
      }
      assert.ok(network.requests.slice(first).every(({ diffs }) => diffs.length === 0));
      // A token that was renewed is asked once, and one that is known never.
      token = "ada's new one";
      network.then(ok(5, [back("create", "t0")]), pull(6), ok(7));
      assert.equal((await phone.sync()).state, "saved");
      await phone.create("tasks", { name: "Tea" });
      assert.equal((await phone.sync()).state, "saved");
      assert.deepEqual(
        network.requests.slice(-3).map(({ logical_clock, diffs }) => [logical_clock, diffs.length]),
        [
          [4, 0],
          [5, 1],
          [6, 1],
        ],
      );
    });
  }
}

/** A server with one entry in each tick; of what is deleted in the same page there is nothing. */
function pages(owner, log, horizon = 0) {
  return ({ logical_clock: clock, limit }) => {
    if (clock > 0 && clock < horizon) return failure(410, "too_old")();
    const [end, more] = clock + limit < log.length ? [clock + limit, log.length] : [log.length];
    const part = log.slice(clock, end).filter(Boolean);
    const diffs = part.some(({ type }) => type === "delete") ? [] : part;
    return ok(
      end,
      diffs.map((diff) => of(owner, diff)),
      undefined,
      { more },
    )();
  };
}

for (const [whose, log, horizon, code] of [
  ["the same owner's", (mine) => [null, mine, back("update", "t1")]],
  ["the same owner's, and the object is deleted", (mine) => [null, mine, back("delete", "t1")]],
  ["the same owner's, and the log forgets", (mine) => [mine, null, null, null, null], 4],
  ["another owner's", () => Array(9).fill(back("create", "x")), 0, "other_owner"],
  ["another owner's, and the log forgets", () => Array(9).fill(back("create", "x")), 8, "other_owner"],
  ["an empty one", () => [], 0, "no_answer"],
  ["one in which nothing is left", () => [null, null, null], 0, "clock_ahead"],
]) {
  test(`before any diff has come back, an account shows by a create whose it is (${whose})`, async () => {
    let token = "ada's";
    const network = new Network().then(ok(1), ok(2), ok(3));
    const phone = await device(network, { token: () => token });
    await phone.sync();
    await phone.create("tasks", { id: "t1", name: "Milk" });
    await phone.sync();
    await phone.update("tasks", "t1", { name: "Oat milk" });
    await phone.sync();
    const [mine] = network.requests[1].diffs;
    token = "new";
    await phone.update("tasks", "t1", { done: true });
    const account = pages("ada", log(mine), horizon);
    let answer = (request) => (request.limit ? account(request) : ok(4)());
    network.then(...Array.from({ length: 9 }, () => (request) => answer(request)));
    const { problem, pending } = await phone.sync();
    assert.deepEqual([problem?.code, pending], [code, code ? 1 : 0]);
    const asked = network.requests.slice(3);
    assert.equal(asked.filter(({ diffs }) => diffs.length > 0).length, code ? 0 : 1);
    assert.ok(asked.length <= 3, `${asked.length}`);
    if (code) return;
    // From now on the owner is known.
    answer = ok(9, [of("grace", back("create", "g1"))]);
    assert.equal((await phone.sync()).problem.code, "other_owner");
  });
}

test("an owner's database begun anew for a restored server is still that owner's", async () => {
  const network = new Network();
  const phone = await old(network);
  network.then(ok(7, [of("grace", back("create", "g1"))]));
  assert.equal((await phone.resend()).problem.code, "other_owner");
});

test("a database that was opened for one person is refused to another, before anything is sent or read", async () => {
  const store = memoryStore();
  const network = new Network();
  const ada = await old(network, { store, person: "ada" });
  await ada.create("tasks", { name: "Milk" });
  await ada.close();
  const grace = { url: "https://server.test/sync", models: MODELS, token: () => "grace", store, fetch: network.fetch };
  const reads = [];
  const watched = {
    ...store,
    read: (work) => store.read((tx) => work({ ...tx, all: (...where) => (reads.push(where), tx.all(...where)) })),
  };
  await assert.rejects(Mobync.open({ ...grace, store: watched, person: "grace" }), { code: "other_person" });
  assert.deepEqual([network.requests.length, reads], [1, []]);
  network.then(ok(6));
  const again = await device(network, { store, person: "ada" });
  assert.equal((await again.sync()).state, "saved");
});

test("a database needs a name that two people do not share", async () => {
  const options = { url: "/sync", models: MODELS, token: () => "ada" };
  await assert.rejects(Mobync.open(options), { code: "invalid_option", message: /person/ });
  await assert.rejects(Mobync.open({ ...options, person: undefined, name: undefined }), { code: "invalid_option" });
  await assert.rejects(Mobync.open({ ...options, person: "" }), { code: "invalid_option" });
});

// ------------------------------------------------------------------------- slow, large, broken off

const BYTES = new TextEncoder();

/** An answer in pieces, each after so many milliseconds; at the end it stands still unless it ends. */
function pieces(text, { size, pause, ends = true, status = 200 }) {
  return (_, signal) => {
    const bytes = BYTES.encode(text);
    let place = 0;
    const body = new ReadableStream({
      async pull(controller) {
        if (place >= bytes.length) return ends ? controller.close() : new Promise(() => {});
        await new Promise((resolve) => setTimeout(resolve, pause));
        if (signal.aborted) return;
        controller.enqueue(bytes.slice(place, (place += size)));
      },
    });
    return new Response(body, { status });
  };
}

const ANSWER = JSON.stringify({ success: true, logical_clock: 1, diffs: [back("create", "t1", { name: "Milk 😀" })] });

test("an answer that is slow but moves is read to its end, however long that takes", async () => {
  const network = new Network().then(pieces(ANSWER, { size: 8, pause: 20 }));
  const phone = await device(network, { timeout: 150 });
  const begun = performance.now();
  assert.equal((await phone.sync()).state, "saved");
  assert.ok(performance.now() - begun > 300);
  assert.equal((await phone.read("tasks", "t1")).name, "Milk 😀");
});

test("a server that needs long before its first byte is given more time with each try", async () => {
  const slow = async () => (await new Promise((resolve) => setTimeout(resolve, 300)), ok(1)());
  const network = new Network().then(slow, slow, slow, slow);
  const phone = await device(network, { timeout: 60 });
  const states = [];
  while (states.at(-1) !== "saved") states.push((await phone.sync()).state);
  assert.deepEqual(states, ["offline", "offline", "saved"]);
});

test("an upload has time for its bytes", async () => {
  const slow = async () => (await new Promise((resolve) => setTimeout(resolve, 500)), ok(1)());
  const phone = await device(new Network().then(slow), { timeout: 50 });
  await phone.create("tasks", { name: "x".repeat(2000) });
  assert.equal((await phone.sync()).state, "saved");
});

for (const [what, broken] of Object.entries({
  "stands still at once": () => new Promise(() => {}),
  "stands still before its body": pieces("", { size: 1, pause: 0, ends: false }),
  "stands still in the middle": pieces(ANSWER.slice(0, 50), { size: 10, pause: 1, ends: false }),
  "stands still after its last byte": pieces(ANSWER, { size: 50, pause: 1, ends: false }),
  "breaks off in the middle": pieces(ANSWER.slice(0, -9), { size: 50, pause: 1 }),
  "is empty": pieces("", { size: 1, pause: 0 }),
  "fails in the middle": () =>
    new Response(new ReadableStream({ pull: (controller) => controller.error(new TypeError("terminated")) })),
  "is not UTF-8": () =>
    new Response(
      new Uint8Array([...BYTES.encode(ANSWER.replace("Milk", "Mil\xff"))].map((byte) => (byte === 0xc3 ? 0xff : byte))),
    ),
})) {
  test(`an answer that ${what} is none, and the same is asked again`, async () => {
    const network = new Network().then(broken, ok(1));
    const phone = await device(network, { timeout: 40 });
    await phone.create("tasks", { id: "t2", name: "Tea" });
    const { state, problem, pending } = await phone.sync();
    assert.deepEqual([state, problem.code, pending], ["offline", "no_answer", 1]);
    assert.equal(await phone.read("tasks", "t1"), undefined);
    assert.equal((await phone.sync()).state, "saved");
    assert.deepEqual(network.requests[1].diffs, network.requests[0].diffs);
  });
}

test("an answer with a byte order mark is read", async () => {
  const phone = await device(new Network().then(() => new Response(`\ufeff${ANSWER}`)));
  assert.equal((await phone.sync()).state, "saved");
});

test("no more is read of an answer than the bound, and the person hears why", async () => {
  let read = 0;
  let cancelled = 0;
  const endless = (status) => () =>
    new Response(
      new ReadableStream({
        pull: (controller) => void ((read += 1024), controller.enqueue(new Uint8Array(1024).fill(32))),
        cancel: () => void (cancelled += 1),
      }),
      { status },
    );
  const network = new Network().then(...Array(4).fill(endless(200)), endless(500));
  const phone = await device(network, { maxAnswer: 50_000 });
  const { state, problem, clock } = await phone.sync();
  assert.deepEqual([state, problem.code, clock], ["stopped", "answer_too_large", 0]);
  assert.match(problem.message, /50,000 bytes/);
  assert.equal(network.requests.length, 4); // each for a smaller page
  assert.ok(read < 4 * 60_000, `${read}`);
  assert.equal((await phone.sync()).problem.code, "no_answer");
  assert.ok(read < 5 * 60_000, `${read}`);
  assert.equal(cancelled, 5);
});

test("an answer of many megabytes is taken", async () => {
  const diffs = Array.from({ length: 40 }, (_, number) =>
    back("create", `t${number}`, { name: "x".repeat(1_000_000) }),
  );
  const phone = await device(new Network().then(ok(3, diffs)));
  assert.equal((await phone.sync()).state, "saved");
  assert.equal((await phone.read("tasks")).length, 40);
});

test("closing does not wait for an answer", async () => {
  const network = new Network().then(() => new Promise(() => {}));
  const phone = await device(network);
  void phone.sync();
  await until(() => network.requests.length === 1, "it has asked");
  const begun = performance.now();
  await phone.close();
  assert.ok(performance.now() - begun < 1000);
});
