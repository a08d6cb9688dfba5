// After an update of the app everything is fetched once more, beside the rows that the person works with.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { applyPage, copyAgain, swap } from "../../web/mobync/beside.js";
import { Schema } from "../../web/mobync/schema.js";
import { Network, back, chance, device, failure, lines, lost, ok } from "./network.mjs";
import { dump } from "./schemas.mjs";

const SCHEMA = [
  { since: 2, model: "tasks", rename: "name", to: "title" },
  { since: 2, model: "tasks", add: "note", default: "" },
];
const NEW = { schema: SCHEMA, models: { tasks: { done: false }, lists: {} } };
const OLD = { schema: [], models: { tasks: { done: false }, lists: {} } };
const TIME = 1000;

const list = (id, fields) => ({ ...back("create", id, fields), model: "lists" });
const page = (clock, diffs, goal) => ok(clock, diffs, undefined, { head: `head ${clock}`, more: goal });

/** A device of version 2 at clock 5, which has never been sent the notes of t1 and t2; and t3 and l1 have none. */
async function updated(options = {}) {
  const store = memoryStore();
  const rows = [1, 2, 3].map((number) => back("create", `t${number}`, { name: `Task ${number}` }));
  const network = new Network().then(page(5, [...rows, list("l1", { name: "Home" })]));
  const before = await device(network, { ...OLD, store });
  await before.sync();
  await before.close();
  network.requests.length = 0;
  const phone = await device(network, { ...NEW, store, ...options });
  return { network, store, phone };
}

const FIRST = () => [back("create", "t1", { title: "Task 1", note: "One" }), back("create", "t2", { title: "Task 2" })];
const SECOND = () => [
  back("update", "t2", { note: "Two" }),
  back("create", "t3", { title: "Task 3" }),
  list("l1", { name: "Home" }),
];

const notes = async (phone) => (await phone.read("tasks")).map(({ id, note }) => `${id}: ${note}`);
const asked = ({ requests }) => requests.map(({ logical_clock, limit }) => [logical_clock, limit > 0]);
const beside = async (store) => (await dump(store)).beside.length;

test("the copy is fetched in pages while the device syncs as ever, and takes the place of its rows at once", async () => {
  const { network, store, phone } = await updated();
  assert.deepEqual(await notes(phone), ["t1: ", "t2: ", "t3: "]);
  const seen = [];
  const look = (plan) => async (request) => {
    seen.push([...(await notes(phone)), await beside(store)].join());
    return plan(request);
  };
  const news = ok(6, [back("update", "t3", { done: true })], undefined, { head: "head 6" });
  network.then(ok(5), look(page(3, FIRST(), 5)), look(news), look(page(6, SECOND())), look(ok(6)));
  const heard = [];
  phone.addEventListener("change", ({ detail }) => heard.push(detail.models.join()));
  assert.equal((await phone.sync()).state, "saved");
  assert.deepEqual(asked(network), [
    [5, true],
    [0, true],
    [5, true],
    [3, true],
    [6, true],
  ]);
  assert.deepEqual(
    network.requests.map(({ head }) => head),
    ["head 5", "", "head 5", "head 3", "head 6"],
  );
  assert.ok(network.requests.every(({ schema }) => schema === 2));
  assert.deepEqual(seen, ["t1: ,t2: ,t3: ,0", "t1: ,t2: ,t3: ,2", "t1: ,t2: ,t3: ,2", "t1: ,t2: ,t3: ,4"]);
  assert.deepEqual(await phone.read("tasks"), [
    { id: "t1", title: "Task 1", note: "One", done: false },
    { id: "t2", title: "Task 2", note: "Two", done: false },
    { id: "t3", title: "Task 3", note: "", done: false },
  ]);
  assert.equal(await beside(store), 0);
  // Of the models only those that the copy has changed: no list is another one.
  assert.equal(heard.at(-1), "tasks");
  assert.ok(heard.every((models) => !models.includes("lists")));
  network.then(ok(6));
  await phone.sync();
  assert.equal(network.requests.length, 6, "and that is all");
});

test("a copy that says nothing new changes nothing, and tells nobody", async () => {
  const { network, phone } = await updated();
  const before = await phone.read("tasks");
  const rows = before.map(({ id, title }) => back("create", id, { title }));
  network.then(ok(5), page(5, [...rows, list("l1", { name: "Home" })]), ok(5));
  const heard = [];
  phone.addEventListener("change", ({ detail }) => heard.push(...detail.models));
  await phone.sync();
  assert.deepEqual([await phone.read("tasks"), heard], [before, []]);
});

test("an object that the copy does not have stays as it is, and one that only the copy has comes", async () => {
  const { network, phone } = await updated();
  network.then(ok(5), page(5, [...FIRST(), back("create", "t4", { title: "Four" })]), ok(5));
  const heard = new Set();
  phone.addEventListener("change", ({ detail }) => detail.models.forEach((model) => heard.add(model)));
  await phone.sync();
  // Nothing was deleted that the device does not know of: the server has the model of t3 and l1 no more.
  assert.deepEqual(await notes(phone), ["t1: One", "t2: ", "t3: ", "t4: "]);
  assert.deepEqual(await phone.read("lists"), [{ id: "l1", name: "Home" }]);
  assert.deepEqual([...heard], ["tasks"]);
});

test("what was in a request without an answer is sent again before the swap, and may be refused", async () => {
  const { network, store, phone } = await updated();
  network.then(ok(5), page(5, [...FIRST(), ...SECOND().slice(1)]), async () => {
    // While the request is under way. The swap is after it.
    await phone.update("tasks", "t1", { title: "Mine" });
    await phone.update("tasks", "t2", { note: "Also mine" });
    await phone.delete("tasks", "t3");
    await phone.create("tasks", { id: "t4", title: "New" });
    return ok(5)();
  });
  // The answer leaves them pending, and the next request with them gets none.
  network.then(lost);
  assert.equal((await phone.sync()).problem.code, "no_answer");
  network.then(lost);
  await phone.sync();
  assert.deepEqual(await notes(phone), ["t1: ", "t2: Also mine", "t4: "], "the device's own rows still");
  await phone.close();

  // What was in a request without an answer is sent again, before the copy is put into place.
  const again = await device(network, { ...NEW, store });
  const refused = [{ diff_id: network.requests.at(-1).diffs[0].id, code: "forbidden", message: "No." }];
  const undone = back("update", "t1", { title: "Task 1" });
  network.then(
    ok(6, [undone], refused, { head: "head 6" }),
    page(6, [
      back("update", "t2", { note: "Also mine" }),
      back("delete", "t3"),
      back("create", "t4", { title: "New" }),
    ]),
    ok(6),
  );
  assert.equal((await again.sync()).state, "saved");
  assert.deepEqual(await notes(again), ["t1: One", "t2: Also mine", "t4: "]);
  assert.equal((await again.refused()).length, 1);
});

const DEFAULTS = { note: "", done: false };

/** What becomes of an object that the copy, and the device, have like this, and what is left of the changes of it. */
function redone(copied, known, id, all) {
  const type = ({ type }) => type;
  if (copied && !known) {
    // Another device has made one of the same id, which this one had never seen.
    const end = all.map(type).lastIndexOf("delete");
    const kept = all.slice(end + 1);
    return [Object.assign({ ...copied }, ...kept.map(({ fields }) => fields)), kept];
  }
  let now = copied ?? known; // what the copy does not have stays as it is
  for (const { type, fields } of all) {
    if (type === "create") now = { ...DEFAULTS, id, ...fields };
    else if (type === "delete") now = undefined;
    else now &&= { ...now, ...fields };
  }
  return [now, all];
}

test("Projection: whatever is pending at the swap, the rows are those of the copy with it done again", async () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = chance(seed);
    const { network, store, phone } = await updated({ fold: false });
    const known = new Map((await dump(store)).objects.map(({ id, row }) => [id, row]));
    assert.deepEqual([...known.keys()].sort(), ["l1", "t1", "t2", "t3"]);
    const copied = new Map();
    for (let number = 1; number <= 5; number += 1) {
      const row = { id: `t${number}`, title: `Copy ${random(3)}`, note: `Note ${random(3)}`, done: false };
      if (random(4) > 0) copied.set(row.id, row);
    }
    await store.write(async (tx) => {
      for (const [id, row] of copied) await tx.put("beside", { model: "tasks", id, row });
      await tx.put("meta", { key: "schema", version: 2, copy: { clock: 5, head: "" } });
    });
    /** @type {Map<string, any[]>} what is done to each object */
    const done = new Map();
    for (let count = random(9); count > 0; count -= 1) {
      const id = `t${1 + random(6)}`;
      const isThere = (await phone.read("tasks", id)) !== undefined;
      const fields = random(2) ? { title: `Mine ${count}` } : { note: `Mine ${count}`, done: true };
      const type = !isThere ? "create" : random(4) === 0 ? "delete" : "update";
      if (type === "create") await phone.create("tasks", { id, ...fields });
      else if (type === "update") await phone.update("tasks", id, fields);
      else await phone.delete("tasks", id);
      done.set(id, [...(done.get(id) ?? []), { type, fields }]);
    }
    const expected = new Map([...known, ...copied]);
    const left = new Map();
    for (const [id, all] of done) {
      const [now, kept] = redone(copied.get(id), known.get(id), id, all);
      expected.delete(id);
      if (now) expected.set(id, now);
      left.set(id, kept.length);
    }
    await store.write((tx) => swap(tx, { models: { tasks: DEFAULTS } }, new Set()));
    const after = await dump(store);
    const rows = Object.fromEntries(after.objects.map(({ id, row }) => [id, row]));
    assert.deepEqual(rows, Object.fromEntries(expected), `seed ${seed}`);
    for (const [id, count] of left) assert.equal(after.pending.filter((entry) => entry.id === id).length, count);
    assert.deepEqual(after.beside, []);
    // Set aside, everything is the copy, and what it does not have is as it was.
    const tooLarge = ({ diffs }) => (diffs.length > 0 ? failure(413, "payload_too_large") : ok(5))();
    network.then(...Array(60).fill(tooLarge));
    await phone.sync();
    const undone = Object.fromEntries((await dump(store)).objects.map(({ id, row }) => [id, row]));
    assert.deepEqual(undone, Object.fromEntries([...known, ...copied]), `seed ${seed}`);
    await phone.close();
  }
});

test("between pages of the device itself the copy waits: what is held belongs to no clock of its own", async () => {
  const { network, store, phone } = await updated();
  const copied = page(5, [...FIRST(), ...SECOND()]);
  network.then(ok(5), copied, lost);
  await phone.sync();
  // Away for long, it fetches pages first, and is cut off in between. The copy is at the clock of the page.
  await phone.update("tasks", "t1", { title: "Mine" });
  phone.clock.now += 48 * 60 * 60 * 1000;
  network.then(page(6, [back("update", "t1", { note: "Held" })], 7), lost);
  await phone.sync();
  await store.write((tx) => tx.put("meta", { key: "schema", version: 2, copy: { clock: 6, head: "" } }));
  const before = await dump(store);
  for (const state of [{}, { goal: 6, anew: true }, { anew: false, unanswered: 99 }]) {
    await store.write(async (tx) => tx.put("meta", { ...(await tx.get("meta", "state")), ...state }));
    await store.write((tx) => swap(tx, { models: { tasks: {} } }, new Set()));
    const { objects, beside: rows } = await dump(store);
    assert.deepEqual([objects, rows], [before.objects, before.beside]);
  }
});

test("a page that another tab has applied already is not applied again, nor does it begin the copy again", async () => {
  const { store } = await updated();
  const options = { models: { tasks: {} }, names: new Schema(SCHEMA) };
  const answer = (clock, diffs) => ({ logical_clock: clock, diffs });
  const first = { clock: 0, head: "" };
  await store.write((tx) => applyPage(tx, options, first, answer(3, FIRST())));
  await store.write((tx) => applyPage(tx, options, { clock: 3, head: "" }, answer(4, [back("delete", "t1")])));
  const before = await dump(store);
  assert.equal(before.beside.length, 1);
  await store.write((tx) => applyPage(tx, options, first, answer(3, FIRST())));
  await store.write((tx) => copyAgain(tx, { clock: 3, head: "" }));
  assert.deepEqual(await dump(store), before);
});

test("the copy goes on where it was after a restart of the page", async () => {
  const { network, store, phone } = await updated();
  network.then(ok(5), page(3, FIRST(), 5), lost);
  await phone.sync();
  await phone.close();
  const again = await device(network, { ...NEW, store });
  network.then(ok(5), page(5, SECOND()), ok(5));
  await again.sync();
  assert.deepEqual(asked(network).slice(-3), [
    [5, true],
    [3, true],
    [5, true],
  ]);
  assert.deepEqual(await notes(again), ["t1: One", "t2: Two", "t3: "]);
});

for (const [status, code] of [
  [410, "too_old"],
  [409, "other_history"],
  [409, "clock_ahead"],
]) {
  test(`a copy whose next page is answered with ${code} begins again, and the device does not`, async () => {
    const { network, store, phone } = await updated({ recover: true });
    network.then(ok(5), page(3, [...FIRST(), back("create", "t8")], 5), ok(5), failure(status, code));
    network.then(ok(5), page(4, FIRST(), 5), ok(5), page(5, SECOND()), ok(5));
    assert.equal((await phone.sync()).state, "saved");
    assert.deepEqual(
      asked(network).map(([clock]) => clock),
      [5, 0, 5, 3, 5, 0, 5, 4, 5],
    );
    assert.deepEqual(await notes(phone), ["t1: One", "t2: Two", "t3: "]);
    assert.deepEqual(
      (await dump(store)).meta.map(({ key }) => key),
      ["schema", "state"],
    );
  });

  test(`a server that answers each copy with ${code} is not asked for ever, and the person works on`, async () => {
    const { network, phone } = await updated({ recover: true });
    let clock = 5;
    const fetch = ({ logical_clock, diffs }) => {
      if (logical_clock !== clock) return failure(status, code)();
      clock += diffs.length > 0 ? 1 : 0;
      return ok(clock)();
    };
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const before = network.requests.length;
      await phone.create("tasks", {});
      network.then(...Array(9).fill(fetch));
      assert.equal((await phone.sync()).state, "saved");
      assert.ok(network.requests.length - before < 6);
      network.drop();
    }
    network.then(...Array(9).fill(fetch));
    await assert.rejects(phone.check(), { code: "not_synced" });
    assert.equal(phone.status.problem, null, "it has not asked more than nine times");
  });
}

test("a device that begins anew itself drops the copy", async () => {
  for (const restart of ["refetch", "too_old", "resend"]) {
    const { network, store, phone } = await updated();
    network.then(ok(5), page(3, FIRST(), 5), lost);
    await phone.sync();
    assert.equal(await beside(store), 2);
    const all = page(7, [...FIRST(), ...SECOND()]);
    if (restart === "too_old") {
      network.then(failure(410, "too_old"), all);
      await phone.sync();
    } else if (restart === "resend") {
      network.then(failure(409, "clock_ahead"), page(7, [...FIRST(), ...SECOND()]));
      await phone.sync();
      await phone.resend();
    } else {
      // Before it begins anew it syncs, which puts the copy into its place.
      network.then(ok(5), page(5, SECOND()), ok(5), all);
      await phone.refetch();
    }
    const { meta, beside: rows } = await dump(store);
    assert.deepEqual([meta.find(({ key }) => key === "schema").copy, rows], [null, []], restart);
    assert.deepEqual(await notes(phone), ["t1: One", "t2: Two", "t3: "], restart);
    network.then(ok(7));
    assert.equal((await phone.sync()).state, "saved");
  }
});

test("a device that sends everything again before the copy is complete does not send defaults in place of what it never got", async () => {
  const { network, phone } = await updated();
  await phone.update("tasks", "t2", { note: "Mine" });
  network.then(ok(6), failure(409, "clock_ahead"));
  await phone.sync();
  network.then(failure(409, "clock_ahead"));
  await phone.sync();
  network.then(page(3, FIRST()));
  await phone.resend();
  assert.deepEqual(
    network.requests.at(-1).diffs.map(({ json_data }) => JSON.parse(json_data)),
    [
      { id: "l1", name: "Home" },
      { id: "t1", done: false, title: "Task 1" },
      { id: "t2", done: false, title: "Task 2", note: "Mine" },
      { id: "t3", done: false, title: "Task 3" },
    ],
  );
});

test("an update before the copy is complete stores and sends no defaults of fields that the device never got", async () => {
  for (const isSent of [false, true]) {
    const { network, store, phone } = await updated();
    network.then(ok(5), page(3, FIRST(), 5), lost);
    await phone.sync();
    // While the copy is fetched. Whoever reads the row sees the default.
    const filled = { id: "t1", title: "Task 1", note: "", done: true };
    assert.deepEqual(await phone.update("tasks", "t1", { done: true }), filled);
    const { row } = (await dump(store)).objects.find(({ id }) => id === "t1");
    assert.deepEqual(row, { id: "t1", title: "Task 1", done: true });
    if (isSent) network.then(lost);
    if (isSent) await phone.sync();
    network.then(failure(409, "clock_ahead"));
    await phone.sync();
    const [old] = network.requests.at(-1).diffs;
    network.then(page(7, []));
    await phone.resend();
    const sent = network.requests.at(-1).diffs.filter(({ json_data }) => JSON.parse(json_data).id === "t1");
    // The create has the acknowledged state, and the change follows, by an id that the server cannot know.
    const expected = ['create t1 {"done":false,"title":"Task 1"}', 'update t1 {"done":true}'];
    assert.deepEqual(lines(sent), expected, `sent before: ${isSent}`);
    assert.ok(sent.every(({ id }) => id !== old.id) && sent[0].utc_timestamp < sent[1].utc_timestamp);
  }
});

test("a page that is larger than is read is asked for in smaller ones", async () => {
  const { network, phone } = await updated({ maxAnswer: 1500 });
  const large = page(5, [back("create", "t1", { title: "x".repeat(2000) })]);
  network.then(ok(5), large, ok(5), page(3, FIRST(), 5), ok(5), page(5, SECOND()), ok(5));
  assert.equal((await phone.sync()).state, "saved");
  const limits = network.requests.filter(({ logical_clock }) => logical_clock === 0).map(({ limit }) => limit);
  assert.ok(limits[1] < limits[0], `${limits}`);
});

test("an old page, and a page of another owner, are not taken", async () => {
  const { network, store, phone } = await updated();
  const hers = { ...back("create", "g1"), owner: "grace" };
  for (const [answer, code] of [
    [page(0, []), "no_answer"],
    [page(5, [hers]), "other_owner"],
    [failure(503, "busy"), "busy"],
  ]) {
    network.then(ok(5), answer);
    const before = network.requests.length;
    assert.equal((await phone.sync()).problem.code, code);
    assert.equal(network.requests.length, before + 2);
    assert.equal(await beside(store), 0);
  }
});

test("a page of the copy tells the owner of a device that does not know it yet", async () => {
  const store = memoryStore();
  const network = new Network().then(ok(2));
  const before = await device(network, { ...OLD, store });
  await before.create("tasks", { id: "t1", name: "Milk" });
  await before.sync();
  await before.close();
  const phone = await device(network, { ...NEW, store });
  network.then(ok(2), page(1, [back("create", "t1", { title: "Milk" })], 2), lost);
  await phone.sync();
  assert.equal((await dump(store)).meta.find(({ key }) => key === "state").owner, "ada");
  // What comes from now on is of this owner, or is not taken: neither into the copy nor into the device's own rows.
  const hers = page(3, [{ ...back("update", "t1", { note: "Hers" }), owner: "grace" }]);
  for (const answers of [[ok(2), hers], [hers]]) {
    network.then(...answers);
    assert.equal((await phone.sync()).problem.code, "other_owner");
  }
});

test("a second update before the copy is complete begins it again", async () => {
  const { network, store, phone } = await updated();
  network.then(ok(5), page(3, FIRST(), 5), lost);
  await phone.sync();
  await phone.close();
  const schema = [...SCHEMA, { since: 3, model: "tasks", rename: "title", to: "text" }];
  const newest = await device(network, { ...NEW, schema, store });
  assert.equal(await beside(store), 0);
  network.then(ok(5), page(5, [back("create", "t1", { text: "One", note: "Note" })]), ok(5));
  await newest.sync();
  assert.deepEqual(await newest.read("tasks"), [
    { id: "t1", text: "One", note: "Note", done: false },
    { id: "t2", text: "Task 2", note: "", done: false },
    { id: "t3", text: "Task 3", note: "", done: false },
  ]);
});

test("a new device, and one that begins anew, fetch nothing twice", async () => {
  const network = new Network().then(page(5, FIRST()));
  const phone = await device(network, { ...NEW, isNew: true });
  await phone.sync();
  assert.equal(network.requests.length, 1);
});

// -------------------------------------------------------------------------- what older servers say

test("Lens: an older server's names are read as what they mean now, also in reports and pages", async () => {
  const { network, phone } = await updated();
  await phone.update("tasks", "t1", { title: "Mine", done: true });
  network.then(({ diffs }) =>
    ok(6, [back("update", "t1", { name: "Theirs" }, 99_000)], undefined, {
      overridden: [{ diff_id: diffs[0].id, fields: { name: { sent: "Mine", stands: "Theirs", by: "x" } } }],
    })(),
  );
  network.then(
    page(6, [back("create", "t1", { name: "Theirs", done: true }), back("create", "t4", { name: "Four" })]),
    ok(6),
  );
  await phone.sync();
  assert.deepEqual(
    (await phone.read("tasks")).map(({ id, title, note }) => [id, title, note]),
    [
      ["t1", "Theirs", ""],
      ["t2", "Task 2", ""],
      ["t3", "Task 3", ""],
      ["t4", "Four", ""],
    ],
  );
  const [overridden] = await phone.overridden();
  assert.deepEqual(overridden.fields, { title: { sent: "Mine", stands: "Theirs", by: "x" } });
  network.then(ok(7));
  await phone.putBack(overridden.id);
  await phone.sync();
  assert.deepEqual(lines(network.requests.at(-1).diffs), ['update t1 {"title":"Mine"}']);
});

test("what was removed is left out of an answer, and nothing is told of it", async () => {
  const schema = [
    { since: 2, model: "tasks", remove: "priority", default: 0 },
    { since: 2, remove: "lists" },
  ];
  const network = new Network().then(
    ok(1, [back("create", "t1", { name: "Milk", priority: 3 }), list("l1", {}), back("update", "t1", { priority: 4 })]),
    ok(2, [back("update", "t1", { priority: 5 }), list("l2", {})]),
  );
  const store = memoryStore();
  const phone = await device(network, { schema, models: { tasks: {} }, store });
  await phone.sync();
  const heard = [];
  phone.addEventListener("change", ({ detail }) => heard.push(...detail.models));
  assert.equal((await phone.sync()).clock, 2);
  assert.deepEqual(await phone.read("tasks"), [{ id: "t1", name: "Milk" }]);
  assert.deepEqual([(await dump(store)).objects.length, heard], [1, []]);
});

test("a report of a model that was removed is told to nobody", async () => {
  const store = memoryStore();
  const network = new Network().then(ok(1, [list("l1", {}), back("create", "t1")]), lost);
  const before = await device(network, { ...OLD, store });
  await before.sync();
  await before.update("lists", "l1", { name: "Mine" });
  await before.update("tasks", "t1", { done: true });
  await before.sync();
  await before.close();
  const schema = [{ since: 2, remove: "lists" }];
  const phone = await device(network, { schema, models: { tasks: { done: false } }, store });
  const theirs = (field) => ({ [field]: { sent: "Mine", stands: "Theirs", by: "x" } });
  network.then(
    ({ diffs }) => {
      assert.deepEqual(
        diffs.map(({ model }) => model),
        ["lists", "tasks"],
      );
      const [{ id: one }, { id: two }] = diffs;
      const overridden = [
        { diff_id: one, fields: theirs("name") },
        { diff_id: two, fields: theirs("done") },
      ];
      return ok(2, [], undefined, { overridden })();
    },
    page(2, [back("create", "t1", { done: true })]),
    ok(2),
  );
  await phone.sync();
  assert.deepEqual(
    (await phone.overridden()).map(({ model }) => model),
    ["tasks"],
  );
});
