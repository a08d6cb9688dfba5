// Away for too long: the server keeps no more what a device has missed, and the device begins anew.

import assert from "node:assert/strict";
import test from "node:test";

import { Network, back, device, failure, line, lost, ok, proxy } from "./network.mjs";

const ids = async (mobync) => (await mobync.read("tasks")).map(({ id }) => id);
const head = (clock, text, diffs) => ok(clock, diffs, undefined, { head: text });
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

test("deletes that wait are made again though the server is restored meanwhile", async () => {
  const { network, phone } = await returned();
  await phone.delete("tasks", "t1");
  const page = ok(40, [back("create", "t3")], undefined, { more: 50, head: "horizon" });
  network.then(tooOld(), page, failure(409, "other_history"));
  assert.equal((await phone.sync()).problem.code, "other_history");
  network.then(head(30, "thirty", [back("create", "t1")]), ok(31));
  assert.equal((await phone.resend()).state, "saved");
  assert.deepEqual(network.requests.at(-1).diffs.map(line), ["delete t1"]);
  assert.deepEqual(await ids(phone), ["t3"]);
});

/** A device that begins anew, and whose requests have one change each. */
async function inParts(options) {
  const { network, phone } = await returned(options);
  for (const id of ["t1", "t2", "t3"]) await phone.update("tasks", id, { name: "Mine" });
  network.then(tooOld(), failure(413, "payload_too_large"));
  return { network, phone };
}

test("of several requests that begin anew only the last answer replaces, and the others acknowledge", async () => {
  const { network, phone } = await inParts();
  const t1 = back("create", "t1", { name: "Theirs" }, 5000);
  network.then(ok(50, [t1], [{ diff_id: "x", code: "forbidden", message: "No." }]));
  // That answer is to another request.
  assert.equal((await phone.sync()).pending, 3);
  network.then(
    ({ diffs }) => ok(50, [t1], [{ diff_id: diffs[0].id, code: "forbidden", message: "No." }])(),
    ({ diffs }) =>
      ok(51, [t1], undefined, {
        overridden: [{ diff_id: diffs[0].id, fields: { name: { sent: "Mine", stands: "Theirs", by: "b" } } }],
      })(),
    lost,
  );
  const { pending, refused, overridden, clock } = await phone.sync();
  assert.deepEqual([pending, refused, overridden, clock], [1, 1, 1, 0]);
  assert.deepEqual(
    (await phone.read("tasks")).map(({ name }) => name),
    ["Mine", "Mine", "Mine"],
  );
  network.then(head(52, "h", [t1, back("create", "t2", { name: "Theirs" }, 5000)]), ok(52));
  assert.equal((await phone.sync()).state, "saved");
  const parts = network.requests.slice(2).map(({ logical_clock, head, diffs }) => [logical_clock, head, diffs.length]);
  assert.deepEqual(parts, [[0, "", 3], ...Array.from({ length: 5 }, () => [0, "", 1])]);
  assert.deepEqual(
    (await phone.read("tasks")).map(({ id, name }) => [id, name]),
    [
      ["t1", "Theirs"],
      ["t2", "Theirs"],
    ],
  );
  assert.deepEqual([phone.status.clock, phone.status.overridden], [52, 1]);
});

test("the answer to a part of what begins anew is none to the next part", async () => {
  const { network, phone } = await inParts();
  network.then(ok(50), ok(50), ok(51), ok(51));
  for (const left of [2, 1]) assert.deepEqual([(await phone.sync()).pending, phone.status.clock], [left, 0]);
  network.then(ok(52));
  assert.equal((await phone.sync()).state, "saved");
});

test("a change that follows another one of its object in another part is later, whatever the device's clock says", async () => {
  const { network, phone } = await returned();
  phone.clock.now = 900_000;
  await phone.update("tasks", "t1", { done: true });
  phone.clock.now = 600;
  for (const id of ["t2", "t3"]) await phone.update("tasks", id, { done: true });
  network.then(tooOld(), failure(413, "payload_too_large"), ok(50), lost);
  assert.equal((await phone.sync()).pending, 2);
  await phone.update("tasks", "t1", { done: false });
  network.then(ok(51), ok(52), ok(53));
  assert.equal((await phone.sync()).state, "saved");
  const [{ utc_timestamp, json_data }] = network.requests.at(-1).diffs;
  assert.deepEqual([utc_timestamp, json_data], [900_001, '{"id":"t1","done":false}']);
});

test("what is sent for a restored server keeps the order of its times within each object", async () => {
  const network = new Network().then(head(3, "three", [back("create", "t1")]));
  const phone = await device(network);
  phone.clock.now = 5000;
  await phone.sync();
  phone.clock.now = 600;
  await phone.update("tasks", "t1", { done: true });
  network.then(failure(409, "clock_ahead"), head(1, "one"));
  await phone.sync();
  await phone.resend();
  const times = network.requests.at(-1).diffs.map(({ utc_timestamp }) => utc_timestamp);
  assert.deepEqual(times, [5000, 5001]);
});

test("a device that begins anew sends as much as a server accepts, in one request", async () => {
  const { network, phone } = await returned({ maxDiffs: 2, maxBytes: 1000 });
  for (let number = 0; number < 700; number += 1) await phone.create("tasks", { name: "x".repeat(1000) });
  network.then(tooOld(), ok(50));
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(
    network.requests.slice(1).map(({ diffs }) => diffs.length),
    [1, 700],
  );
});

test("updates of what has not come back are none of what is created in its place", async () => {
  const { network, phone } = await returned();
  await phone.update("tasks", "t1", { name: "First" });
  const meanwhile = async () => {
    for (const id of ["t1", "t2"]) await phone.update("tasks", id, { done: true });
    return head(50, "fifty", [back("create", "t2")])();
  };
  network.then(tooOld(), meanwhile, lost);
  await phone.sync();
  assert.deepEqual([await ids(phone), phone.status.pending], [["t2"], 2]);
  await phone.create("tasks", { id: "t1", name: "Anew" });
  const before = network.requests.length;
  network.then(ok(51), ok(52));
  assert.equal((await phone.sync()).state, "saved");
  const sent = network.requests.slice(before).flatMap(({ diffs }) => diffs.map(line));
  assert.deepEqual(sent, ['update t2 {"done":true}', 'create t1 {"name":"Anew"}']);
  assert.equal((await phone.read("tasks", "t1")).done, false);
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
