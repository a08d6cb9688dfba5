// What lost against others' values: kept until the person has looked at it, and put back if they want.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { Network, back, device, line, ok, until } from "./network.mjs";

/** An answer that reports these fields, each as [diff's place, field, what stands], or a delete without that. */
const reports =
  (clock, fields, diffs = []) =>
  (request) => {
    const overridden = [];
    for (const [place, field, ...stands] of fields) {
      const { id: diff_id, json_data } = request.diffs[place];
      const told = {
        sent: JSON.parse(json_data)[field],
        ...(stands.length > 0 && { stands: stands[0] }),
        by: "theirs",
      };
      const known = overridden.find((one) => one.diff_id === diff_id);
      if (known) known.fields[field] = told;
      else overridden.push({ diff_id, fields: { [field]: told } });
    }
    return ok(clock, diffs, undefined, { overridden })();
  };

async function withMilk(options) {
  const network = new Network().then(ok(3, [back("create", "t1", { name: "Milk", due: "2030-01-01" })]));
  const phone = await device(network, options);
  await phone.sync();
  return { network, phone };
}

test("an overridden value is kept over a restart, told in the status, and put back as a new change", async () => {
  const store = memoryStore();
  const { network, phone } = await withMilk({ store });
  await phone.update("tasks", "t1", { name: "Mine", done: true });
  network.then(reports(5, [[0, "name", "Theirs"]], [back("update", "t1", { name: "Theirs" }, 900)]));
  const { overridden, state } = await phone.sync();
  assert.deepEqual([overridden, state], [1, "saved"]);
  assert.equal(network.requests[1].report, true);
  await phone.close();

  const after = await device(network, { store });
  const [{ id, model, object, fields }] = await after.overridden();
  assert.deepEqual(
    [model, object, fields],
    ["tasks", "t1", { name: { sent: "Mine", stands: "Theirs", by: "theirs" } }],
  );
  assert.equal((await after.read("tasks", "t1")).name, "Theirs");
  await after.putBack(id);
  assert.deepEqual([(await after.read("tasks", "t1")).name, after.status.overridden], ["Mine", 0]);
  await assert.rejects(after.putBack(id), { code: "not_there" });
  network.then(ok(6));
  await after.sync();
  assert.deepEqual(network.requests.at(-1).diffs.map(line), ['update t1 {"name":"Mine"}']);
});

test("an object that was deleted is made again, with all that it had", async () => {
  const { network, phone } = await withMilk();
  await phone.update("tasks", "t1", { name: "Mine" });
  network.then(reports(5, [[0, "name"]], [back("delete", "t1")]), ok(6));
  await phone.sync();
  assert.deepEqual(await phone.read("tasks"), []);
  const [{ id, fields }] = await phone.overridden();
  assert.equal("stands" in fields.name, false);
  await phone.putBack(id);
  assert.deepEqual(await phone.read("tasks"), [{ id: "t1", name: "Mine", due: "2030-01-01", done: false }]);
  await phone.sync();
  assert.equal(network.requests.at(-1).diffs[0].type, "create");
});

test("what is dismissed is gone, here and in other tabs", async () => {
  const store = memoryStore();
  const { network, phone } = await withMilk({ store });
  const tab = await device(new Network(), { store });
  await phone.update("tasks", "t1", { name: "Mine" });
  network.then(reports(5, [[0, "name", "Theirs"]], [back("update", "t1", { name: "Theirs" }, 900)]));
  await phone.sync();
  await until(() => tab.status.overridden === 1, "the other tab knows");
  await phone.dismiss((await phone.overridden())[0].id);
  assert.deepEqual([await phone.overridden(), (await phone.read("tasks", "t1")).name], [[], "Theirs"]);
  await until(() => tab.status.overridden === 0, "the other tab knows");
});

test("of several changes of one object, one entry has the last values", async () => {
  const { network, phone } = await withMilk({ fold: false });
  await phone.create("tasks", { id: "t2", name: "Tea" });
  for (const fields of [{ name: "A" }, { name: "B", due: "2031-01-01" }, { done: true }])
    await phone.update("tasks", "t1", fields);
  network.then((request) => {
    const all = request.diffs.flatMap(({ json_data }, place) =>
      Object.keys(JSON.parse(json_data)).flatMap((field) =>
        JSON.parse(json_data).id === "t1" && field !== "id" && field !== "done" ? [[place, field, "x"]] : [],
      ),
    );
    return reports(5, all, [back("update", "t1", { name: "x", due: "x" }, 900)])(request);
  });
  await phone.sync();
  const [{ fields }, ...others] = await phone.overridden();
  assert.deepEqual([fields.name.sent, fields.due.sent, others], ["B", "2031-01-01", []]);
});

test("what the person has typed since is no loss", async () => {
  const { network, phone } = await withMilk();
  await phone.update("tasks", "t1", { name: "Mi" });
  network.then(async (request) => {
    phone.clock.now = 2000;
    await phone.update("tasks", "t1", { name: "Mine" });
    return reports(5, [[0, "name", "Theirs"]], [back("update", "t1", { name: "Theirs" }, 900)])(request);
  }, ok(6));
  await phone.sync();
  assert.deepEqual(await phone.overridden(), []);
  assert.equal((await phone.read("tasks", "t1")).name, "Mine");
});

test("what was written since is not overwritten by putting back, field by field", async () => {
  for (const since of ["here", "by others"]) {
    const { network, phone } = await withMilk();
    await phone.update("tasks", "t1", { name: "Mine", due: "2031-01-01", tags: ["a"] });
    const theirs = { name: "Theirs", due: "2032-01-01", tags: { b: [1], a: null } };
    const reported = [
      [0, "name", "Theirs"],
      [0, "due", "2032-01-01"],
      [0, "tags", { a: null, b: [1] }],
    ];
    network.then(reports(5, reported, [back("update", "t1", theirs, 900)]));
    await phone.sync();
    if (since === "here") await phone.update("tasks", "t1", { name: "Newer" });
    else network.then(ok(6, [back("update", "t1", { name: "Newer" }, 950)]));
    if (since !== "here") await phone.sync();
    await phone.putBack((await phone.overridden())[0].id);
    assert.deepEqual(
      [await phone.read("tasks", "t1"), await phone.overridden()],
      [{ id: "t1", name: "Newer", due: "2031-01-01", done: false, tags: ["a"] }, []],
    );
  }
});

test("what was deleted since, or made again since, is not put back, but dismissed", async () => {
  const update = back("update", "t1", { name: "Theirs" }, 900);
  for (const [report, diffs, then, left] of [
    [[0, "name", "Theirs"], [update], back("delete", "t1"), undefined],
    [[0, "name"], [back("delete", "t1")], back("create", "t1", { name: "Another" }), "Another"],
    [[0, "name"], [back("delete", "t1"), back("create", "t1", { name: "Another" })], undefined, "Another"],
  ]) {
    const { network, phone } = await withMilk();
    await phone.update("tasks", "t1", { name: "Mine" });
    network.then(reports(5, [report], diffs), ok(6, then ? [then] : []));
    await phone.sync();
    await phone.sync();
    await phone.putBack((await phone.overridden())[0].id);
    assert.equal((await phone.read("tasks", "t1"))?.name, left);
    assert.deepEqual([await phone.overridden(), phone.status.overridden, phone.status.pending], [[], 0, 0]);
  }
});

test("a value that is overridden by a column's default is put back", async () => {
  const { network, phone } = await withMilk();
  await phone.update("tasks", "t1", { done: true });
  network.then(reports(5, [[0, "done", false]], [back("create", "t1", { name: "Milk" }, 900)]));
  await phone.sync();
  await phone.putBack((await phone.overridden())[0].id);
  assert.equal((await phone.read("tasks", "t1")).done, true);
});

for (const [what, overridden] of Object.entries({
  "a diff that was not sent": [{ diff_id: "x", fields: { name: { sent: 1, stands: 2, by: "y" } } }],
  "no fields": [{ diff_id: "x" }],
  "a field that is no report": [{ diff_id: "x", fields: { name: "Milk" } }],
  "what is no list": {},
  nothing: [null],
})) {
  test(`a report of ${what} is no answer`, async () => {
    const { network, phone } = await withMilk();
    await phone.update("tasks", "t1", { name: "Mine" });
    const broken = (request) => {
      const mine = (one) =>
        one?.fields && what !== "a diff that was not sent" ? { ...one, diff_id: request.diffs[0].id } : one;
      return ok(5, [], undefined, { overridden: Array.isArray(overridden) ? overridden.map(mine) : overridden })();
    };
    network.then(broken, ok(5));
    const { problem, pending } = await phone.sync();
    assert.deepEqual([problem?.code, pending], ["no_answer", 1]);
    assert.equal((await phone.sync()).state, "saved");
  });
}

test("of what nobody looks at, the newest thousand is kept", async () => {
  const network = new Network();
  const phone = await device(network);
  for (let number = 0; number < 1010; number += 1) await phone.create("tasks", { id: `t${number}`, name: "Mine" });
  let clock = 0;
  const report = (request) =>
    reports(
      (clock += 1),
      request.diffs.map((_, place) => [place, "name", "Theirs"]),
    )(request);
  network.then(...Array.from({ length: 20 }, () => report));
  assert.equal((await phone.sync()).overridden, 1000);
  const kept = (await phone.overridden()).map(({ object }) => object);
  assert.deepEqual([kept[0], kept.at(-1)], ["t10", "t1009"]);
});
