// A newer version of the app opens what an older one has stored. Laws: Kept (no pending change is lost), Lens (what
// older names say is read as what it means), and the update is all or nothing, without a network.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { foldPending } from "../../web/mobync/folding.js";
import { asSent } from "../../web/mobync/outbox.js";
import { Schema } from "../../web/mobync/schema.js";
import { settle } from "../../web/mobync/settling.js";
import { Network, Replica, back, chance, device, failure, lines, lost, ok, until as eventually } from "./network.mjs";
import { comparable, dump, dumpStepped, randomSchema, stepped, until } from "./schemas.mjs";

const page = (clock, diffs, goal) => ok(clock, diffs, undefined, { head: `head ${clock}`, more: goal });
const declared = (models) => Object.fromEntries(Object.keys(models).map((model) => [model, {}]));

/** A device with what a history of chance leaves: pending, refused and overridden changes, and held ones. */
async function lived(random, steps, version, fieldsOf) {
  const pick = (from) => from[random(from.length)];
  const names = Object.keys(fieldsOf);
  const store = memoryStore();
  let clock = 0;
  let isCutOff = false;
  const fetch = async (_, { body }) => {
    const { diffs, schema } = JSON.parse(body);
    assert.equal(schema, version);
    if (isCutOff ? diffs.length > 0 || random(2) : random(3) === 0) lost();
    const model = pick(names);
    const id = `o${random(4)}`;
    const fields = Object.fromEntries(fieldsOf[model].filter(() => random(2)).map((field) => [field, random(9)]));
    const received = { id: `back-${clock}`, owner: "ada", logical_clock: clock, utc_timestamp: random(2000) };
    const type = pick(["create", "update", "update", "delete"]);
    const json_data = JSON.stringify({ id, ...(type !== "delete" && fields) });
    const [one, other] = [pick(diffs), pick(diffs)];
    clock += 1 + Number(diffs.length === 0);
    const refused = one && random(3) === 0 ? [{ diff_id: one.id, code: "forbidden", message: "No." }] : [];
    const lostFields =
      other && other !== one ? Object.keys(JSON.parse(other.json_data)).filter((name) => name !== "id") : [];
    const values = lostFields.map((field) => [field, { sent: 1, stands: 2, by: "x" }]);
    const overridden = values.length > 0 ? [{ diff_id: other.id, fields: Object.fromEntries(values) }] : [];
    const more = diffs.length === 0 && (isCutOff || random(3) === 0) ? { more: clock + 1 } : {};
    return ok(clock, [{ ...received, type, model, json_data }], refused, { overridden, ...more })();
  };
  const options = { schema: until(steps, version), models: declared(fieldsOf), store, maxDiffs: 3 };
  const phone = await device({ fetch }, options);
  for (let step = 0; step < 30; step += 1) {
    phone.clock.now += random(200);
    const model = pick(names);
    const id = `o${random(4)}`;
    const fields = Object.fromEntries(fieldsOf[model].filter(() => random(2)).map((field) => [field, random(9)]));
    const change = pick([
      () => phone.create(model, { id, ...fields }),
      () => phone.update(model, id, fields),
      () => phone.update(model, id, fields),
      () => phone.delete(model, id),
      () => phone.sync(),
    ]);
    await change().catch(({ code }) => assert.match(code, /exists|not_there/));
  }
  // After a long time away it fetches pages, and some are all that it gets.
  isCutOff = random(2) === 0;
  if (isCutOff) phone.clock.now += 30 * 60 * 60 * 1000;
  if (isCutOff) await phone.sync();
  await phone.close();
  return store;
}

test("whatever a device has stored has the new names after an update, and all changes their ids and their order", async () => {
  const had = { pending: 0, refused: 0, overridden: 0, held: 0, inFlight: 0, copies: 0 };
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = chance(seed);
    const { steps, models } = randomSchema(random);
    const from = 1 + random(models.length - 1);
    const store = await lived(random, steps, from, models[from - 1]);
    const before = await dump(store);
    const to = from + 1 + random(models.length - from);
    const options = { schema: until(steps, to), models: declared(models[to - 1]), store };
    const phone = await device(new Network(), options);
    const after = await dump(store);
    const { clock } = phone.status;
    const schema = { key: "schema", version: to, copy: clock > 0 ? { clock: 0, head: "" } : null };
    const expected = dumpStepped(
      steps.filter(({ since }) => since > from && since <= to),
      before,
    );
    expected.meta.push(schema);
    assert.deepEqual(comparable(after), comparable(expected), `seed ${seed}`);
    await phone.close();

    const older = device(new Network(), { schema: until(steps, from), models: declared(models[from - 1]), store });
    await assert.rejects(older, { code: "newer_data" });
    assert.deepEqual(await dump(store), after);

    had.pending += before.pending.length;
    had.refused += before.refused.length;
    had.overridden += before.overridden.length;
    had.held += before.meta.filter(({ key }) => key[0] === "held").length;
    had.inFlight += after.pending.filter(({ sent }) => sent).length;
    had.copies += schema.copy ? 1 : 0;
  }
  for (const [what, count] of Object.entries(had)) assert.ok(count > 5, `${what}: ${count}`);
});

test("a refused change of removed fields only has the new name of its model", async () => {
  const store = memoryStore();
  const models = { tasks: {} };
  const network = new Network().then(ok(1, [back("create", "t1")]), ({ diffs }) =>
    ok(2, [], [{ diff_id: diffs[0].id, code: "forbidden", message: "No." }])(),
  );
  const before = await device(network, { schema: [], models, store });
  await before.sync();
  await before.update("tasks", "t1", { old: 1 });
  await before.sync();
  await before.close();
  const schema = [
    { since: 2, model: "tasks", remove: "old" },
    { since: 2, rename: "tasks", to: "todos" },
  ];
  const phone = await device(network, { schema, models: { todos: {} }, store });
  const [{ diff, fields }] = await phone.refused();
  assert.deepEqual([diff.model, fields], ["todos", { id: "t1" }]);
});

for (const [fate, steps, asks] of [
  [
    "removed",
    [
      { since: 2, remove: "tasks" },
      { since: 2, add: "todos" },
    ],
    false,
  ],
  ["renamed", [{ since: 2, rename: "tasks", to: "todos" }], true],
]) {
  test(`a create that shows whose account it is does so after an update, unless its model was removed (${fate})`, async () => {
    const store = memoryStore();
    const before = await device(new Network().then(ok(2)), { schema: [], models: { tasks: {} }, store });
    await before.create("tasks", { id: "t1" });
    await before.sync();
    await before.close();
    const network = new Network();
    const phone = await device(network, { schema: steps, models: { todos: {} }, store, token: () => "new" });
    await phone.create("todos", { id: "o1" });
    const all = page(3, [{ ...back("create", "o1"), model: "todos" }]);
    // Nobody can have the create of a model that is gone.
    const empty = ok(2);
    network.then(...(asks ? [empty] : [ok(3), all, ok(3)]));
    const { problem } = await phone.sync();
    assert.deepEqual([problem?.code, network.requests[0].diffs.length], asks ? ["clock_ahead", 0] : [undefined, 1]);
  });
}

test("Lens: a row and a diff by the names of any version are read as what they mean now", () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = chance(seed);
    const { steps, models } = randomSchema(random);
    const names = new Schema(steps);
    for (const [place, known] of models.entries()) {
      const later = steps.filter(({ since }) => since > place + 1);
      for (const [model, fields] of Object.entries(known)) {
        const data = { id: "t1", ...Object.fromEntries(fields.map((field) => [field, random(9)])) };
        const now = stepped(later, model, data);
        assert.equal(names.model(model), now?.model);
        const diff = { type: "create", model, json_data: JSON.stringify(data) };
        const read = names.diff(diff);
        assert.deepEqual(read && JSON.parse(read.json_data), now?.data);
        if (!now) continue;
        // Outwards and inwards again: what the version has, and was not removed.
        const back = names.earlier(place + 1, now.model, now.data);
        assert.deepEqual(names.fields(model, back), now.data);
        assert.deepEqual(
          Object.keys(back).filter((field) => field !== "id" && !fields.includes(field)),
          [],
        );
      }
    }
  }
});

test("of two names of one field the newest counts, in whatever order they stand", () => {
  const names = new Schema(STEPS);
  for (const data of [
    { name: "Old", title: "New" },
    { title: "New", name: "Old" },
  ]) {
    assert.deepEqual(names.fields("tasks", data), { title: "New" });
  }
});

test("what is no schema, or does not fit to the models, is an error that names it", async () => {
  const add = { since: 2, model: "tasks", add: "note" };
  const rename = { since: 2, model: "tasks", rename: "name", to: "title" };
  const tasks = (fields = {}) => ({ tasks: fields });
  for (const [schema, models, why] of [
    [{}, tasks(), /list/],
    [[null], tasks(), /has not one of/],
    [[{ since: 2, model: "tasks" }], tasks(), /has not one of/],
    [[{ ...add, remove: "x" }], tasks(), /has not one of/],
    [[{ ...add, to: "x" }], tasks(), /has not one of/],
    [[{ ...rename, to: undefined }], tasks(), /has not one of/],
    [[{ ...add, since: 1 }], tasks(), /version/],
    [[{ ...add, since: "2" }], tasks(), /version/],
    [[{ ...add, add: "" }], tasks(), /name that is none/],
    [[{ ...add, add: "id" }], tasks(), /changes the id/],
    [[add, add], tasks(), /uses a name again/],
    [[rename, { ...add, since: 3, add: "name" }], tasks(), /uses a name again/],
    [[rename, { since: 3, model: "tasks", remove: "name" }], tasks(), /renamed or removed before/],
    [
      [
        { since: 2, remove: "tasks" },
        { ...add, since: 3 },
      ],
      {},
      /renamed or removed before/,
    ],
    [[rename], tasks({ name: "" }), /tasks\.name/],
    [[{ since: 2, rename: "tasks", to: "todos" }], tasks(), /renamed or removed tasks/],
    [[{ ...add, default: "" }], tasks({ note: null }), /another default of tasks\.note/],
  ]) {
    const store = memoryStore();
    const opened = device(new Network(), { schema, models, store });
    await assert.rejects(opened, (error) => error.code === "invalid_option" && why.test(error.message), `${why}`);
  }
  const phone = await device(new Network(), {
    schema: [
      { ...add, default: "x" },
      { since: 2, add: "lists" },
    ],
    models: tasks(),
  });
  assert.deepEqual(await phone.create("tasks", { id: "t1" }), { id: "t1", note: "x" });
  assert.deepEqual(await phone.create("lists", { id: "l1" }), { id: "l1" });
});

// ------------------------------------------------------------------------------- all or nothing

const STEPS = [
  { since: 2, model: "tasks", rename: "name", to: "title" },
  { since: 2, model: "tasks", add: "note", default: "" },
];
const OLD = { schema: [], models: { tasks: { done: false } } };
const NEW = { schema: STEPS, models: { tasks: { done: false } } };

/** A device of version 1 with two tasks on the server, and three changes that are not. */
async function old(network, store = memoryStore(), options = {}) {
  const phone = await device(network, { ...OLD, store, ...options });
  await phone.create("tasks", { id: "t1", name: "Milk" });
  await phone.create("tasks", { id: "t2", name: "Tea" });
  await phone.sync();
  await phone.update("tasks", "t1", { name: "Oat milk" });
  await phone.create("tasks", { id: "t3", name: "Salt" });
  await phone.delete("tasks", "t2");
  return phone;
}

test("an update that fails at any step changes nothing, and is made the next time", async () => {
  for (let failsAt = 0, hasFailed = true; hasFailed; failsAt += 1) {
    const store = memoryStore();
    await (await old(new Network().then(ok(2)), store)).close();
    const before = await dump(store);
    let step = 0;
    const counted =
      (method) =>
      (...where) => {
        if (step === failsAt) throw new DOMException("It is full.", "QuotaExceededError");
        step += 1;
        return method(...where);
      };
    const disk = {
      ...store,
      write: (work) => store.write((tx) => work({ ...tx, put: counted(tx.put), delete: counted(tx.delete) })),
    };
    const opened = device(new Network(), { ...NEW, store: disk });
    hasFailed = await opened.then(
      () => false,
      ({ code }) => code === "storage_full",
    );
    if (hasFailed) assert.deepEqual(await dump(store), before);
    else assert.ok(failsAt > 8, `${failsAt}`);
    const phone = await device(new Network(), { ...NEW, store });
    assert.deepEqual(await phone.read("tasks"), [
      { id: "t1", title: "Oat milk", done: false, note: "" },
      { id: "t3", title: "Salt", done: false, note: "" },
    ]);
    assert.equal(phone.status.pending, 3);
  }
});

test("another person's data is not updated", async () => {
  const store = memoryStore();
  await (await old(new Network().then(ok(2)), store, { person: "ada" })).close();
  const before = await dump(store);
  await assert.rejects(device(new Network(), { ...NEW, store, person: "grace" }), { code: "other_person" });
  assert.deepEqual(await dump(store), before);
});

test("an app without a schema is of version 1: it opens no newer data, and sends no version", async () => {
  const store = memoryStore();
  const network = new Network().then(ok(2), ok(3));
  await (await old(network, store, { schema: undefined })).close();
  assert.ok(!("schema" in network.requests[0]));
  const phone = await device(network, { ...NEW, store });
  await phone.sync();
  assert.equal(network.requests[1].schema, 2);
  await phone.close();
  await assert.rejects(device(network, { store }), { code: "newer_data" });
});

// -------------------------------------------------------------------------------- exactly once

for (const arrived of [false, true]) {
  test(`a request without an answer is repeated as it was, and counts once (it had arrived: ${arrived})`, async () => {
    const store = memoryStore();
    const server = new Replica();
    const requests = [];
    let isLost = false;
    const fetch = async (url, init) => {
      requests.push(JSON.parse(init.body));
      if (isLost && !arrived) lost();
      const answer = await server.fetch(url, init);
      return isLost ? lost() : answer;
    };
    const before = await old({ fetch }, store);
    isLost = true;
    await before.sync();
    await before.create("tasks", { id: "t4", name: "Later" });
    await before.close();
    isLost = false;
    const phone = await device({ fetch }, { ...NEW, store });
    await phone.sync();
    const [sent, again] = requests.slice(1);
    // As it was sent, with its old names: the server may know it, and may be older than the app.
    assert.deepEqual(again.diffs, sent.diffs);
    assert.deepEqual([again.logical_clock, again.schema], [sent.logical_clock, 2]);
    assert.deepEqual(lines(requests[3].diffs), ['create t4 {"title":"Later"}']);
    assert.equal(server.known.size, 6);
    assert.equal(phone.status.pending, 0);
  });
}

for (const way of ["413", "resend"]) {
  test(`what no request has had any more goes out as it is now, and without what has lost or is gone (${way})`, async () => {
    const store = memoryStore();
    const rows = [back("create", "t1", { name: "Milk" }), back("create", "t2", { name: "Tea" })];
    const before = await device(new Network().then(ok(2, rows), lost), {
      schema: [],
      models: { tasks: { done: false }, lists: {} },
      store,
    });
    await before.sync();
    await before.update("tasks", "t2", { name: "First" });
    await before.update("tasks", "t1", { name: "Mine", done: true });
    await before.create("lists", { id: "l1", name: "Home" });
    await before.sync();
    await before.close();
    const network = new Network();
    const phone = await device(network, { ...NEW, schema: [...STEPS, { since: 2, remove: "lists" }], store });
    assert.equal((await dump(store)).pending.filter(({ sent }) => sent).length, 3);
    if (way === "413") {
      // All were in the request without an answer, which was too large. While the first half is sent, another device
      // writes the title.
      const theirs = back("update", "t1", { title: "Theirs" }, 99_000);
      network.then(failure(413, "payload_too_large"), ok(3, [theirs]), ok(4), ok(4), ok(4));
      await phone.sync();
      assert.deepEqual(
        network.requests.slice(1, 3).map(({ diffs }) => lines(diffs)),
        [['update t2 {"title":"First"}'], ['update t1 {"done":true}']],
      );
    } else {
      network.then(failure(409, "clock_ahead"), ok(3), ok(3));
      await phone.sync();
      await phone.resend();
      assert.deepEqual(lines(network.requests[1].diffs), [
        'create t1 {"done":false,"title":"Milk"}',
        'create t2 {"done":false,"title":"Tea"}',
        'update t2 {"title":"First"}',
        'update t1 {"title":"Mine","done":true}',
      ]);
    }
    assert.deepEqual((await dump(store)).pending, []);
  });
}

test("an amended change is not sent in an earlier form: neither what has met an answer nor what was folded", async () => {
  const diff = {
    id: "d1",
    type: "update",
    model: "tasks",
    utc_timestamp: 5,
    json_data: '{"id":"t1","title":"A","note":"B"}',
  };
  const entry = { seq: 9, model: "tasks", id: "t1", diff, sent: { ...diff, json_data: '{"id":"t1","name":"A"}' } };
  const row = { id: "t1", title: "A", note: "B" };
  for (const type of ["update", "create"]) {
    const { left } = settle(row, [entry], back(type, "t1", { title: "Theirs" }, 6), {});
    assert.deepEqual([asSent(left[0]).json_data], ['{"id":"t1","note":"B"}']);
  }
  const made = { ...entry, diff: { ...diff, type: "create" } };
  assert.equal(asSent(settle(row, [made], back("create", "t1", {}, 1), {}).left[0]).type, "update");
  const store = memoryStore();
  await store.write((tx) => tx.put("pending", entry));
  const state = { run: { model: "tasks", id: "t1", diffs: ["d1"] }, unanswered: 0 };
  await store.write((tx) => foldPending(tx, state, "tasks", { id: "t1", title: "C" }));
  const [folded] = (await dump(store)).pending;
  assert.equal(asSent(folded).json_data, '{"id":"t1","note":"B"}');
});

// ------------------------------------------------------------------------------------- tabs

test("a tab of the older app stops as soon as a newer one has updated the data, and writes nothing more", async () => {
  const store = memoryStore();
  const tab = await old(new Network().then(ok(2)), store, { automatic: true, debounce: 60_000, firstWait: 60_000 });
  const statuses = [];
  tab.addEventListener("status", () => statuses.push(tab.status.state));
  const network = new Network().then(ok(3), ok(3), ok(3));
  const phone = await device(network, { ...NEW, store });
  await eventually(() => tab.status.problem, "it hears of the update");
  const { state, problem } = tab.status;
  assert.deepEqual([state, problem.code, problem.lasting], ["stopped", "newer_data", true]);
  const before = await dump(store);
  for (const change of [
    () => tab.create("tasks", { id: "t9", name: "Old" }),
    () => tab.update("tasks", "t1", { name: "Old" }),
    () => tab.delete("tasks", "t1"),
    () => tab.read("tasks"),
    () => tab.refused(),
  ]) {
    await assert.rejects(change(), { code: "newer_data" });
  }
  assert.equal((await tab.sync()).problem.code, "newer_data");
  assert.deepEqual(await dump(store), before);
  // The new one hears nothing of its problem.
  assert.equal((await phone.sync()).state, "saved");
  assert.equal(phone.status.problem, null);
  await tab.close();
});

test("a tab of the older app gives up its live stream, and the newer one believes nothing that older tabs say", async () => {
  const store = memoryStore();
  let stream;
  const fetch = async (url, { signal }) => {
    if (url !== "/live") return ok(2)();
    stream = signal;
    const body = new ReadableStream({
      start: (out) => out.enqueue(new TextEncoder().encode("event: clock\ndata: 2\n\n")),
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
  const tab = await old({ fetch }, store, { automatic: true, live: "/live" });
  await eventually(() => tab.status.live, "it listens");
  const phone = await device(new Network(), { ...NEW, store });
  await eventually(() => stream.aborted, "it has given up the stream");
  assert.equal(tab.status.live, false);
  // A client of before knows no schemas, and tells the other tabs that its database has failed.
  const channel = new BroadcastChannel(`mobync:${store.name}`);
  channel.postMessage({
    kind: "status",
    change: { live: true, problem: { code: "storage_failed", message: "", lasting: true } },
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual([phone.status.live, phone.status.problem], [false, null]);
  channel.close();
  await Promise.all([tab.close(), phone.close()]);
});

test("an answer that comes to a tab of the older app after the update is not applied, and asked for again", async () => {
  const store = memoryStore();
  const server = new Replica();
  let answer;
  let isHeld = false;
  const fetch = async (url, init) => {
    const heard = await server.fetch(url, init);
    if (isHeld) await new Promise((resolve) => (answer = resolve));
    return heard;
  };
  const tab = await old({ fetch }, store);
  isHeld = true;
  const syncing = tab.sync();
  await eventually(() => answer, "the request is under way");
  isHeld = false;
  const phone = await device(server, { ...NEW, store });
  const before = await dump(store);
  answer();
  assert.equal((await syncing).problem.code, "newer_data");
  assert.deepEqual(await dump(store), before);
  assert.equal((await phone.sync()).pending, 0);
  assert.equal(server.known.size, 5);
  await tab.close();
});

// ---------------------------------------------------------------------------- what servers say

test("426 keeps everything and says which version is needed; the updated app goes on", async () => {
  const store = memoryStore();
  const tooOld = failure(426, "upgrade_required", {}, { min_schema: 2 });
  const network = new Network().then(ok(2), tooOld, tooOld, ok(3), ok(3));
  const tab = await old(network, store);
  for (const _ of "12") {
    const { state, problem, pending, retryAt } = await tab.sync();
    assert.deepEqual([state, problem.code, problem.minSchema, pending], ["stopped", "upgrade_required", 2, 3]);
    assert.ok(retryAt > tab.clock.now + 5 * 60_000, "rarely");
  }
  await tab.close();
  const phone = await device(network, { ...NEW, store });
  await phone.sync();
  assert.deepEqual(
    network.requests.slice(1, 4).map(({ diffs }) => diffs.map(({ id }) => id)),
    Array(3).fill(network.requests[1].diffs.map(({ id }) => id)),
  );
  assert.equal(phone.status.pending, 0);
});

test("a server that does not know a new field yet is tried again soon, as if it were not there", async () => {
  const unknown = failure(422, "unknown_field", {}, { diff_id: "x" });
  const network = new Network().then(...Array(20).fill(unknown), ok(1));
  const phone = await device(network, NEW);
  await phone.create("tasks", { id: "t1", title: "Milk", note: "Two" });
  for (let attempt = 1; attempt <= 20; attempt += 1) {
    const { state, problem, retryAt, pending } = await phone.sync();
    assert.deepEqual([state, problem.code, pending], [attempt < 20 ? "offline" : "stopped", "unknown_field", 1]);
    if (attempt === 1) assert.ok(retryAt < phone.clock.now + 2000);
  }
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(new Set(network.requests.map(({ diffs }) => diffs[0].id)).size, 1);

  const old = await device(new Network().then(unknown), OLD);
  await old.create("tasks", { id: "t1", titel: "Milk" });
  assert.equal((await old.sync()).state, "stopped", "nobody has a newer schema: it is a fault of the app");
});
