// Spaces: data that several people share, in one local database and one request.

import assert from "node:assert/strict";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { memoryStore } from "../../web/mobync.js";
import { leave } from "../../web/mobync/spaces.js";
import { stateOf } from "../../web/mobync/state.js";
import { failure, lost, proxy, until } from "./network.mjs";
import { Teams, deviceOf, no, same, there } from "./teams.mjs";

const LIST = { spaces: { model: "memberships", field: "project" } };

/** A server on which Ada is in the family and the club, and Grace in the family. */
function teams() {
  const server = new Teams();
  for (const space of ["family", "club"]) server.invite(space, "ada");
  server.invite("family", "grace");
  return server;
}

/** Ada's device, which has joined and fetched both. */
async function ada(server = teams(), options) {
  const phone = await deviceOf(server, "ada", options);
  await phone.join("family");
  await phone.join("club");
  await phone.sync();
  server.requests.length = 0;
  return { server, phone };
}

const ids = async (space) => (await space.read("tasks")).map(({ id }) => id);
const spaces = async (phone) =>
  (await phone.spaces()).map(({ space, joined, refused }) => (joined ? space : `${space} is gone, ${refused}`));

test("what is made in a space is the space's, and comes to all members, and to nobody else", async () => {
  const { server, phone } = await ada();
  const tablet = await deviceOf(server, "grace");
  await tablet.join("family");
  await phone.space("family").create("tasks", { id: "t1", name: "Milk" });
  await phone.space("club").create("tasks", { id: "t1", name: "Chess" });
  await phone.create("tasks", { id: "t1", name: "Mine" });
  await phone.sync();
  await tablet.sync();
  assert.deepEqual(await tablet.space("family").read("tasks"), [{ id: "t1", name: "Milk", done: false }]);
  assert.deepEqual([await ids(tablet), await ids(tablet.space("club"))], [[], []]);
  assert.equal((await phone.read("tasks", "t1")).name, "Mine");
  assert.equal((await phone.space("club").read("tasks", "t1")).name, "Chess");
  assert.deepEqual(
    ["ada", "team family", "team club"].map((owner) => server.of(owner).rows()[0].name),
    ["Mine", "Milk", "Chess"],
  );
});

test("all that has something to say goes in one request, and the person's own data alone as ever", async () => {
  const { server, phone } = await ada();
  await phone.sync();
  await phone.space("family").create("tasks", { name: "Milk" });
  await phone.space("family").sync();
  assert.deepEqual(server.asked(), ["club family me", "family"]);
  const alone = new Teams();
  await (await deviceOf(alone, "ada")).sync();
  assert.deepEqual(alone.asked(), ["me only"]);
});

test("before anything of a space is asked, the token is known to be the person's", async () => {
  const server = teams();
  const phone = await deviceOf(server, "ada");
  await phone.join("family");
  await phone.space("family").create("tasks", { name: "Milk" });
  await phone.space("family").sync();
  assert.deepEqual(server.asked(), ["me only", "family", "family"]);
});

test("a person who has no data of their own syncs the spaces, but not once there is anything of their own", async () => {
  const server = teams();
  server.of("ada").sync = () => no(403, "no_member");
  const who = { token: "ada" };
  const phone = await deviceOf(server, "ada", { token: () => who.token });
  await phone.join("family");
  await phone.space("family").create("tasks", { id: "t1" });
  for (const token of ["ada", "ada-renewed", "ada-renewed"]) {
    who.token = token;
    const { problem } = await phone.sync();
    assert.deepEqual([problem.code, problem.lasting, phone.space("family").status.problem], ["no_member", true, null]);
  }
  assert.equal(await same(phone.space("family")), there(server.in("family")));
  server.requests.length = 0;
  await phone.space("family").sync();
  assert.deepEqual(server.asked(), ["family"], "it is asked once for each token");
  await phone.create("tasks", { id: "mine" });
  await phone.space("family").sync();
  assert.equal(phone.space("family").status.problem.code, "no_member");
  assert.deepEqual(await spaces(phone), ["family"]);
});

test("with a renewed token the spaces go on, also while the person's own data are stuck", async () => {
  for (const [stuck, code] of [
    [(request, sync) => (request.diffs.length > 0 ? no(422, "conflict") : sync(request)), "conflict"],
    [
      ({ logical_clock: clock, ...more }, sync) =>
        clock ? no(409, "other_history") : sync({ ...more, logical_clock: 0 }),
      "other_history",
    ],
    [(request, sync) => (request.diffs.length > 0 ? no(500, "internal") : sync(request)), "internal"],
  ]) {
    const who = { token: "ada" };
    const { server, phone } = await ada(teams(), { ...LIST, token: () => who.token });
    server.of("ada").put("tasks", { id: "t0" });
    await phone.sync();
    await phone.create("memberships", { id: "m1", project: "garden" });
    for (const space of ["family", "club"]) await phone.space(space).create("tasks", { id: "t1" });
    const account = server.of("ada");
    const { sync } = account;
    account.sync = (request) => stuck(request, (other) => sync.call(account, other, true));
    for (const person of ["ada", "grace"]) server.invite("garden", person);
    await phone.join("garden");
    server.requests.length = 0;
    who.token = "grace";
    await phone.sync();
    const isAsked = () => server.asked().some((what) => /family|club|garden/.test(what));
    assert.equal(isAsked(), false, "it is somebody else's");
    who.token = "ada-renewed";
    await phone.sync();
    assert.equal(phone.status.problem.code, code);
    const states = ["family", "club", "garden"].map((space) => phone.space(space).status.state === "saved");
    assert.deepEqual(states, [true, true, false], "what may not be there yet waits");
    assert.equal(
      server.asked().some((what) => what.includes("garden")),
      false,
    );
    assert.equal(server.in("club").rows().length, 1);
    account.sync = sync;
    await phone.sync();
    await phone.sync();
    assert.equal(phone.space("garden").status.state, "saved");
  }
});

test("Apart: a space that fails stops no other, and waits by itself", async () => {
  const { server, phone } = await ada();
  const family = server.in("family");
  const { sync } = family;
  family.sync = () => ({ status: 503, success: false, code: "busy", message: "It is busy.", retry_after: 7 });
  for (const space of ["family", "club"]) await phone.space(space).create("tasks", { id: "t1" });
  assert.equal((await phone.sync()).state, "saved");
  const { problem, retryAt, pending } = phone.space("family").status;
  assert.deepEqual([problem.code, pending, phone.space("club").status.state], ["busy", 1, "saved"]);
  assert.ok(retryAt - phone.clock.now > 6900 && retryAt - phone.clock.now <= 7000, `${retryAt}`);
  family.sync = sync;
  await phone.sync();
  assert.equal(phone.space("family").status.state, "saved");
});

test("Apart: one answer that nobody can read is no answer for that space alone", async () => {
  for (const nonsense of [
    null,
    7,
    {},
    { status: 200, success: true },
    { status: 200, success: true, logical_clock: 9, diffs: [7] },
  ]) {
    const { server, phone } = await ada();
    server.in("family").sync = () => nonsense;
    for (const space of ["family", "club"]) await phone.space(space).create("tasks", { id: "t1" });
    await phone.sync();
    assert.equal(phone.space("family").status.problem.code, "no_answer");
    assert.equal(phone.space("club").status.state, "saved");
  }
});

test("a failure of all is one failure with one wait", async () => {
  for (const plan of [lost, proxy(502), failure(503, "busy"), () => Response.json({ success: true, syncs: [] })]) {
    const { server, phone } = await ada();
    server.before = plan;
    await phone.sync();
    const all = [phone, phone.space("family"), phone.space("club")].map(({ status }) => status);
    assert.deepEqual(new Set(all.map(({ state }) => state)), new Set(["offline"]));
    const times = all.map(({ retryAt }) => retryAt);
    assert.ok(Math.max(...times) - Math.min(...times) < 20, `${times}`);
  }
});

test("a 413 for all is half as many at once, and of one space that space's own", async () => {
  const server = teams();
  const names = Array.from({ length: 9 }, (_, number) => `s${number}`);
  const phone = await deviceOf(server, "ada");
  for (const name of names) {
    server.invite(name, "ada");
    await phone.join(name);
  }
  server.most = 3;
  await phone.sync();
  await phone.sync();
  assert.ok(phone.status.state === "saved" && names.every((name) => phone.space(name).status.state === "saved"));
  assert.ok(server.requests.length <= 18, `${server.requests.length}`);
});

test("a server that knows no spaces syncs the person's own data, and keeps what is in the spaces", async () => {
  const says = ["logical_clock is missing", "missing field `logical_clock`", "several requests in one (syncs)"];
  for (const [how, message] of ["before", "since"].flatMap((how) => says.map((message) => [how, message]))) {
    const server = teams();
    if (how === "before") server.isOlder = message;
    const phone = await deviceOf(server, "ada");
    await phone.join("family");
    await phone.sync();
    server.isOlder = message;
    await phone.create("tasks", { id: "t1" });
    await phone.space("family").create("tasks", { id: "f1" });
    assert.equal((await phone.sync()).state, "saved");
    assert.deepEqual([server.of("ada").rows().length, server.in("family").rows().length], [1, 0]);
    const { problem, pending } = phone.space("family").status;
    assert.deepEqual([problem.code, pending, await phone.unsent()], ["no_spaces", 1, 1]);
    server.isOlder = false;
    await phone.sync();
    await phone.sync();
    assert.deepEqual([server.in("family").rows().length, phone.space("family").status.state], [1, "saved"]);
  }
});

test("a 400 of anything else is no answer, and not an older server", async () => {
  for (const [plan, code] of [
    [proxy(400), "no_answer"],
    [() => new Response("logical_clock is missing", { status: 400 }), "no_answer"],
    [() => Response.json({ message: "logical_clock is missing" }, { status: 400 }), "no_answer"],
    [failure(400, "invalid_request", {}, { message: "the body ended too early" }), "invalid_request"],
    [failure(400, "invalid_json", {}, { message: "logical_clock is missing" }), "invalid_json"],
  ]) {
    const { server, phone } = await ada();
    await phone.create("tasks", { id: "t1" });
    await phone.space("family").create("tasks", { id: "f1" });
    server.before = plan;
    await phone.sync();
    assert.deepEqual([phone.status.problem.code, phone.space("family").status.problem.code], [code, code]);
    server.before = () => undefined;
    await phone.sync();
    assert.deepEqual([server.of("ada").rows().length, server.in("family").rows().length], [1, 1]);
  }
});

test("Gone: a space that the person is not in any more leaves nothing but what was not sent", async () => {
  const { server, phone } = await ada();
  const family = phone.space("family");
  server.in("family").put("tasks", { id: "t1", name: "Milk" });
  await phone.sync();
  await family.update("tasks", "t1", { done: true });
  await family.create("tasks", { id: "t2", name: "Bread" });
  await family.update("tasks", "t2", { done: true });
  const seen = [];
  family.subscribe("tasks", ({ records }) => seen.push(records.length));
  server.remove("family", "ada");
  await phone.sync();
  assert.deepEqual([await ids(family), await spaces(phone)], [[], ["family is gone, 2", "club"]]);
  assert.deepEqual((await phone.spaces())[0].message, "Not in family.");
  assert.deepEqual([family.status.problem.code, family.status.state], ["no_member", "stopped"]);
  const refused = await family.refused();
  assert.deepEqual(
    refused.map(({ code, fields, row }) => [code, fields.done, row.name]),
    [
      ["no_member", true, "Milk"],
      ["no_member", true, "Bread"],
    ],
  );
  assert.equal(seen.at(-1), 0);
  const stored = await phone.store.read(async (tx) => {
    const of = tx.of("family");
    return [await of.count("objects"), await of.count("pending"), (await of.all("meta")).map(({ key }) => key)];
  });
  assert.deepEqual(stored, [0, 0, ["state"]]);
  server.requests.length = 0;
  await phone.sync();
  await family.sync();
  assert.deepEqual(server.asked(), ["club me"], "it is not asked about again");
  await assert.rejects(family.create("tasks", {}), { code: "no_member" });
  await assert.rejects(family.mend(refused[0].id), { code: "no_member" });
  assert.equal((await family.refused()).length, 2);
  await family.dismiss();
  assert.deepEqual([await spaces(phone), await family.refused()], [["club"], []]);
});

test("Rejoin: a device that joins again becomes what a new one would become", async () => {
  const { server, phone } = await ada();
  const family = phone.space("family");
  server.in("family").put("tasks", { id: "t1", name: "Milk" });
  server.in("family").put("tasks", { id: "t2", name: "Tea" });
  await phone.sync();
  await family.update("tasks", "t1", { name: "Mine" });
  server.remove("family", "ada");
  await phone.sync();
  server.in("family").remove("tasks", "t2");
  server.in("family").put("tasks", { id: "t3", name: "Salt" });
  server.invite("family", "ada");
  server.requests.length = 0;
  await phone.join("family");
  assert.deepEqual(await spaces(phone), ["family", "club"]);
  await phone.sync();
  const [{ syncs }] = server.requests;
  const { logical_clock, diffs } = syncs.find(({ space }) => space === "family");
  assert.deepEqual([logical_clock, diffs], [0, []]);
  assert.equal(await same(family), there(server.in("family")));
  assert.equal(family.status.problem, null);
  const [{ id, fields }] = await family.refused();
  assert.equal(fields.name, "Mine");
  // It was never sent under its own id, and the person may want it again.
  assert.equal(await phone.unsent(), 1);
  await family.mend(id);
  await phone.sync();
  assert.equal(await phone.unsent(), 0);
  assert.equal(server.in("family").rows()[0].name, "Mine");
  assert.ok(!server.in("family").known.has(id));
});

test("leaving by oneself is at once, also while a request is under way, and its late answer changes nothing", async () => {
  const { server, phone } = await ada();
  const family = phone.space("family");
  server.in("family").put("tasks", { id: "t1", name: "Milk" });
  server.after = () => phone.leave("family");
  await phone.sync();
  assert.deepEqual([await ids(family), await spaces(phone)], [[], ["club"]]);
  server.after = async () => {
    await phone.leave("family");
    await phone.join("family");
    server.after = () => undefined;
  };
  await phone.join("family");
  await phone.sync();
  await phone.sync();
  assert.equal(await same(family), there(server.in("family")));
});

test("a space that another tab has left, whose message has not come yet, does not sync", async () => {
  for (const when of ["before", "while", "twice"]) {
    const { server, phone } = await ada();
    const family = phone.space("family");
    server.in("family").put("tasks", { id: "t1", name: "Milk" });
    const left = () =>
      phone.store.write((tx) => leave(tx, "family", { message: "You have left family.", at: 1 }, when !== "twice"));
    const asked = () => server.asked().filter((what) => what.includes("family")).length;
    if (when === "while") server.after = left;
    else await left();
    await Promise.all([family.sync(), phone.sync()]);
    await sleep(300);
    const stored = await phone.store.read(async (tx) => {
      const of = tx.of("family");
      return [await of.count("objects"), await of.count("pending"), (await stateOf(of)).clock];
    });
    assert.deepEqual([when, stored, asked() <= 1, await ids(family)], [when, [0, 0, 0], true, []]);
    await assert.rejects(family.create("tasks", {}), { code: "no_member" });
    server.after = () => undefined;
    // What an older version of the client may have left behind is not mixed with what comes.
    await phone.store.write(async (tx) => {
      await tx.of("family").put("objects", { model: "tasks", id: "old", row: { id: "old" } });
      await tx.of("family").put("pending", { model: "tasks", id: "old", diff: { id: "d" } });
    });
    await phone.join("family");
    await phone.sync();
    assert.equal(await same(family), there(server.in("family")));
    assert.equal(family.status.pending, 0);
  }
});

test("a no_member of the last time that the space was joined is nothing to this time", async () => {
  for (const when of ["before it is handled", "while it is handled"]) {
    const inner = memoryStore();
    let then;
    const write = async (work, durable) => {
      const result = await inner.write(work, durable);
      const [next] = [then, (then = undefined)];
      await next?.();
      return result;
    };
    const { server, phone } = await ada(teams(), { store: { ...inner, write } });
    const family = phone.space("family");
    server.in("family").put("tasks", { id: "t1", name: "Milk" });
    server.remove("family", "ada");
    const rejoin = async () => {
      server.invite("family", "ada");
      await phone.leave("family");
      await phone.join("family");
      await family.create("tasks", { id: "t2", name: "Tea" });
    };
    server.after = async () => {
      server.after = () => undefined;
      if (when === "before it is handled") await rejoin();
      else then = rejoin;
    };
    await family.sync();
    await phone.sync();
    assert.deepEqual([await spaces(phone), await family.refused(), then], [["club", "family"], [], undefined]);
    assert.equal(server.in("family").rows().length, 2);
    assert.equal(await same(family), there(server.in("family")));
  }
});

test("leaving keeps what is not sent until it is dismissed", async () => {
  const { phone } = await ada();
  await phone.space("club").create("tasks", { id: "t1", name: "Chess" });
  assert.equal(await phone.unsent(), 1);
  await phone.leave("club");
  await phone.leave("club");
  assert.deepEqual([await spaces(phone), await phone.unsent()], [["family", "club is gone, 1"], 1]);
  assert.match((await phone.spaces())[1].message, /left club/);
  await phone.space("club").dismiss();
  assert.deepEqual([await spaces(phone), await phone.unsent()], [["family"], 0]);
});

test("dismissing everything takes what was refused or overridden, and nothing else, wherever it is", async () => {
  for (const where of ["", "family"]) {
    const { server, phone } = await ada();
    const [space, account] = where ? [phone.space(where), server.in(where)] : [phone, server.of("ada")];
    account.put("tasks", { id: "t1", name: "Milk" });
    await phone.sync();
    await space.update("tasks", "t1", { name: "Mine" }); // has a base
    await phone.store.write(async (tx) => {
      await tx.of(where).put("refused", { id: "d1", at: 1, diff: { type: "update", model: "tasks" }, fields: {} });
      await tx.of(where).put("overridden", { id: "d2", seq: 1 });
    });
    const meta = () => phone.store.read((tx) => tx.of(where).all("meta"));
    const before = await meta();
    await space.dismiss();
    assert.deepEqual([await meta(), await space.refused(), await space.overridden()], [before, [], []]);
    server.requests.length = 0;
    await phone.sync();
    const [{ syncs }] = server.requests;
    const member = syncs.find(({ space }) => (space ?? "") === where);
    assert.equal(member.logical_clock, 1, "it goes on where it was");
    assert.deepEqual([account.rows()[0].name, await spaces(phone)], ["Mine", ["family", "club"]]);
  }
});

test("a member who may only read gets everything, and loses what they change", async () => {
  const { server, phone } = await ada();
  server.invite("family", "ada", "reads");
  server.in("family").put("tasks", { id: "t1", name: "Milk" });
  await phone.sync();
  const family = phone.space("family");
  await family.update("tasks", "t1", { name: "Mine" });
  await family.create("tasks", { id: "t2" });
  await phone.sync();
  assert.equal(await same(family), there(server.in("family")));
  assert.deepEqual(
    (await family.refused()).map(({ code }) => code),
    ["forbidden", "forbidden"],
  );
});

test("joining fetches in pages, with progress, and other spaces are not behind it", async () => {
  const { server, phone } = await ada();
  for (let number = 0; number < 3000; number += 1) server.in("big").put("tasks", { id: `t${number}` });
  server.invite("big", "ada");
  const big = await phone.join("big");
  const progress = new Set();
  big.addEventListener("status", () => progress.add(big.status.progress));
  await phone.space("club").create("tasks", { id: "c1" });
  let saved;
  phone.space("club").addEventListener("status", () => {
    if (phone.space("club").status.state === "saved") saved ??= server.requests.length;
  });
  await phone.sync();
  assert.equal((await big.read("tasks")).length, 3000);
  assert.ok(progress.size > 1 && [...progress].some((part) => part > 0 && part < 1));
  assert.equal(saved, 1);
});

test("a list of spaces is followed, whoever changes it", async () => {
  const server = teams();
  server.of("ada").put("memberships", { id: "m1", project: "family" });
  const phone = await deviceOf(server, "ada", LIST);
  await phone.sync();
  assert.deepEqual(await spaces(phone), ["family"]);
  server.of("ada").put("memberships", { id: "m2", project: "club" });
  await phone.sync();
  assert.deepEqual(await spaces(phone), ["family", "club"]);
  await phone.space("club").create("tasks", { id: "t1" });
  server.of("ada").remove("memberships", "m2");
  server.of("ada").put("memberships", { id: "m3", project: 7 });
  await phone.sync();
  assert.deepEqual(await spaces(phone), ["family", "club is gone, 0"]);
});

test("a space that the device itself has added to its list is asked about when the server knows the list", async () => {
  const server = teams();
  const phone = await deviceOf(server, "ada", LIST);
  await phone.sync();
  server.requests.length = 0;
  // The server makes a member of whoever has it in the list.
  server.before = ({ syncs = [], diffs = [] }) => {
    const all = [...diffs, ...syncs.flatMap((one) => (one.space ? [] : one.diffs))];
    for (const { json_data } of all) server.invite(JSON.parse(json_data).project, "ada");
  };
  await phone.create("memberships", { project: "garden" });
  assert.deepEqual(await spaces(phone), [], "it may refuse the list");
  await phone.join("garden"); // to make something there before
  await phone.space("garden").create("tasks", { id: "t1" });
  await phone.create("memberships", { project: "kitchen" });
  await phone.sync();
  assert.deepEqual(server.asked().slice(0, 2), ["me only", "garden"]);
  assert.equal(server.in("garden").rows().length, 1);
  assert.deepEqual(await spaces(phone), ["garden", "kitchen"]);
});

test("what the server has not acknowledged of the list joins and leaves nothing", async () => {
  for (const [change, isRefused, after] of [
    [(phone) => phone.delete("memberships", "m1"), true, ["family"]],
    [(phone) => phone.delete("memberships", "m1"), false, ["family is gone, 0"]],
    [(phone) => phone.update("memberships", "m1", { project: "club" }), true, ["family"]],
    [(phone) => phone.update("memberships", "m1", { project: "club" }), false, ["family is gone, 0", "club"]],
    [(phone) => phone.create("memberships", { id: "m2", project: "club" }), true, ["family"]],
    [(phone) => phone.create("memberships", { id: "m2", project: "club" }), false, ["family", "club"]],
  ]) {
    const server = teams();
    server.of("ada").put("memberships", { id: "m1", project: "family" });
    const phone = await deviceOf(server, "ada", LIST);
    await phone.sync();
    await phone.space("family").create("tasks", { id: "f1" });
    await change(phone);
    const again = await deviceOf(server, "ada", { ...LIST, store: phone.store });
    assert.deepEqual([await spaces(phone), phone.space("family").status.pending], [["family"], 1]);
    await again.close();
    const account = server.of("ada");
    const { sync } = account;
    account.sync = (request) => sync.call(account, request, !isRefused);
    await phone.sync();
    await phone.sync();
    assert.deepEqual([await spaces(phone), server.in("family").rows().length], [after, 1]);
  }
});

test("no space of a list that comes in pages is joined before the last page", async () => {
  const server = teams();
  server.of("ada").put("memberships", { id: "m1", project: "family" });
  server.of("ada").put("memberships", { id: "m2", project: "club" });
  for (let number = 0; number < 40; number += 1) server.of("ada").put("tasks", { id: `t${number}` });
  const phone = await deviceOf(server, "ada", LIST);
  const joined = new Set();
  phone.addEventListener("spaces", async () => joined.add(`${await spaces(phone)}`));
  server.before = (request) => {
    if (!request.syncs) request.limit = 10;
    if (server.requests.length === 3) server.of("ada").remove("memberships", "m1");
  };
  await phone.sync();
  assert.ok(server.asked().lastIndexOf("me only") > 3, `${server.asked()}`);
  assert.deepEqual([[...joined], await spaces(phone)], [["club"], ["club"]]);
});

test("while the list comes in pages, or again from the beginning, no space is left", async () => {
  const server = teams();
  for (let number = 0; number < 30; number += 1) server.of("ada").put("tasks", { id: `t${number}` });
  server.of("ada").put("memberships", { id: "m1", project: "family" });
  const phone = await deviceOf(server, "ada", LIST);
  await phone.sync();
  await phone.space("family").create("tasks", { id: "f1" });
  await phone.sync();
  const pages = [];
  server.before = (request) => {
    const own = request.syncs?.find(({ space }) => !space) ?? (request.syncs ? {} : request);
    if (own.limit) pages.push((own.limit = 10));
  };
  let moves = 0;
  phone.addEventListener("spaces", () => (moves += 1));
  await phone.refetch();
  assert.ok(pages.length > 3, `${pages}`);
  assert.deepEqual([await spaces(phone), moves], [["family"], 0]);
});

test("a space of the list that says no is asked about again when the list changes, or the app starts", async () => {
  const server = teams();
  const store = memoryStore();
  server.of("ada").put("memberships", { id: "m1", project: "secret" });
  const phone = await deviceOf(server, "ada", { ...LIST, store });
  await phone.sync();
  await phone.sync();
  assert.deepEqual(await spaces(phone), ["secret is gone, 0"]);
  const asked = () => server.asked().filter((what) => what.includes("secret")).length;
  assert.equal(asked(), 1);
  server.of("ada").put("memberships", { id: "m2", project: "family" });
  await phone.sync();
  await phone.sync();
  assert.equal(asked(), 2);
  await phone.close();
  server.invite("secret", "ada");
  const again = await deviceOf(server, "ada", { ...LIST, store });
  await again.sync();
  assert.deepEqual((await spaces(again)).sort(), ["family", "secret"]);
});

test("the name of a space is a text that a server accepts", async () => {
  const { phone } = await ada();
  for (const name of ["", "a\0b", "x".repeat(1025), 7, null, undefined, "\ud83d"]) {
    assert.throws(() => phone.space(name), { code: "invalid_value" });
    await assert.rejects(phone.join(name), { code: "invalid_value" });
  }
  await assert.rejects(deviceOf(teams(), "ada", { spaces: { model: "memberships" } }), { code: "invalid_option" });
  await assert.rejects(deviceOf(teams(), "ada", { otherOwner: "ask" }), { code: "invalid_option" });
});

test("after a restart a space that was left still says why, and what was set aside", async () => {
  const { server, phone } = await ada();
  await phone.space("club").create("tasks", { id: "t1" });
  server.remove("club", "ada");
  await phone.sync();
  await phone.close();
  const again = await deviceOf(server, "ada", { store: phone.store });
  const club = again.space("club");
  await until(() => club.status.problem, "it shows what is stored");
  assert.deepEqual(
    [club.status.problem.code, club.status.problem.message, club.status.refused],
    ["no_member", "Not in club.", 1],
  );
  assert.deepEqual(await spaces(again), ["family", "club is gone, 1"]);
  const [{ id }] = await club.refused();
  await club.dismiss(id);
  assert.deepEqual(await spaces(again), ["family", "club is gone, 0"]);
  await club.dismiss();
  assert.deepEqual([await spaces(again), club.status.problem], [["family"], null]);
  server.invite("club", "ada");
  await again.join("club");
  await again.sync();
  assert.deepEqual([await spaces(again), club.status.state], [["family", "club"], "saved"]);
});

test("an update of the app gives the data of all spaces their new names, and fetches each once more", async () => {
  const { server, phone } = await ada();
  const { store } = phone;
  for (const space of ["family", "club"]) server.in(space).put("tasks", { id: "t1", name: "Milk" });
  await phone.sync();
  await phone.space("family").update("tasks", "t1", { name: "Mine" });
  await phone.space("club").create("tasks", { id: "t2", name: "Set aside" });
  await phone.leave("club");
  await phone.close();
  const schema = [{ since: 2, model: "tasks", rename: "name", to: "title" }];
  const again = await deviceOf(server, "ada", { store, schema });
  const family = again.space("family");
  assert.equal((await family.read("tasks", "t1")).title, "Mine");
  const [{ fields, row }] = await again.space("club").refused();
  assert.deepEqual([fields.title, row.title, fields.name], ["Set aside", "Set aside", undefined]);
  // The server has the new names, too.
  for (const { row } of server.in("family").objects.values()) [row.title, row.name] = [row.name, undefined];
  server.requests.length = 0;
  await again.sync();
  await again.sync();
  const asked = server.requests.flatMap(({ syncs = [] }) => syncs.filter(({ space }) => space === "family"));
  assert.ok(asked.every(({ schema }) => schema === 2));
  assert.ok(
    asked.some(({ logical_clock, limit }) => logical_clock === 0 && limit > 0),
    "it is fetched once more",
  );
  assert.deepEqual([server.in("family").rows()[0].title, (await family.read("tasks", "t1")).title], ["Mine", "Mine"]);
  const joined = await again.join("club");
  await joined.create("tasks", { id: "t3", title: "New" });
  await again.close();
  const later = await deviceOf(server, "ada", { store, schema });
  assert.equal((await later.space("club").read("tasks", "t3")).title, "New");
  await assert.rejects(deviceOf(server, "ada", { store }), { code: "newer_data" });
});

test("what a person restores or fetches again in one space is that space's", async () => {
  const { server, phone } = await ada();
  for (const space of ["family", "club"]) server.in(space).put("tasks", { id: "t1", name: "Milk" });
  await phone.sync();
  server.requests.length = 0;
  await phone.space("family").refetch();
  assert.deepEqual(new Set(server.asked()), new Set(["family"]));
  assert.equal(await same(phone.space("family")), there(server.in("family")));
  // The family's log was restored from a backup.
  server.accounts.delete("team family");
  await phone.sync();
  assert.deepEqual(
    [phone.space("family").status.problem.code, phone.space("club").status.problem],
    ["clock_ahead", null],
  );
  assert.equal((await phone.space("family").resend()).state, "saved");
  assert.equal(server.in("family").rows()[0].name, "Milk");
  assert.equal(await same(phone.space("family")), there(server.in("family")));
  await phone.leave("club");
  for (const again of ["refetch", "resend"]) {
    await phone
      .space("club")
      [again]()
      .catch(({ code }) => assert.equal(code, "no_member"));
    assert.deepEqual(await phone.store.read((tx) => tx.of("club").all("meta")), []);
  }
});

test("a space of the same name that is another owner's by now is not mixed with it", async () => {
  const { server, phone } = await ada();
  server.in("family").put("tasks", { id: "t1", name: "Old" });
  await phone.sync();
  await phone.space("family").update("tasks", "t1", { name: "Mine" });
  const all = server.in.bind(server);
  server.in = (space) => (space === "family" ? server.of("team family anew") : all(space));
  server.in("family").put("tasks", { id: "t1", name: "New" });
  await phone.sync();
  const { problem, pending } = phone.space("family").status;
  assert.deepEqual(
    [problem.code, pending, (await phone.space("family").read("tasks", "t1")).name],
    ["other_owner", 1, "Mine"],
  );
  assert.equal(server.in("family").rows()[0].name, "New");
  await phone.leave("family");
  await phone.join("family");
  await phone.sync();
  assert.equal((await phone.space("family").read("tasks", "t1")).name, "New");
});
