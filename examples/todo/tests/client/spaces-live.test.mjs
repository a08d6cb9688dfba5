// Spaces by themselves: occasions, the live stream over several, tabs, and waits.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { failure, lost, until } from "./network.mjs";
import { happens } from "./page.mjs";
import { Teams, deviceOf, no, same, there } from "./teams.mjs";

const AUTOMATIC = { automatic: true, debounce: 5, firstWait: 20, poll: 60_000, now: Date.now };
const LIVE = { ...AUTOMATIC, live: "https://server.test/sync/live", silence: 5000 };
const BYTES = new TextEncoder();
const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/** A server with live streams over spaces, which the test makes tell something. */
function teams({ knowsSpaces = true } = {}) {
  const server = new Teams();
  for (const person of ["ada", "grace"]) for (const space of ["family", "club"]) server.invite(space, person);
  server.streams = [];
  server.live = (url, person, signal) => {
    const spaces = new URL(url).searchParams.getAll("space");
    const stream = { url, person, spaces, isOpen: true };
    stream.say = (event, data) =>
      stream.controller.enqueue(BYTES.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
    stream.clock = (space) => {
      const { clock } = space ? server.in(space) : server.of(person);
      if (!knowsSpaces || spaces.length === 0) return space ? undefined : stream.say("clock", clock);
      const isTold = spaces.includes(space ?? "");
      return isTold && stream.say("clock", { ...(space && { space }), logical_clock: clock });
    };
    stream.end = () => stream.controller.close();
    const body = new ReadableStream({ start: (controller) => (stream.controller = controller) });
    signal.addEventListener("abort", () => {
      stream.isOpen = false;
      stream.controller.error(new DOMException("aborted", "AbortError"));
    });
    server.streams.push(stream);
    for (const space of spaces.length > 0 ? spaces : [""]) stream.clock(space || undefined);
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  return server;
}

async function ada(server, options, store = memoryStore()) {
  const phone = await deviceOf(server, "ada", { ...options, store });
  await phone.join("family");
  await phone.join("club");
  const all = [phone, phone.space("family"), phone.space("club")];
  await until(() => all.every(({ status }) => status.state === "saved" && status.syncedAt), "all have synced");
  return { phone, all };
}

test("who has no data of their own listens to the spaces as soon as they are known to be theirs", async () => {
  const server = teams();
  const { live } = server;
  server.of("ada").sync = () => no(403, "no_member");
  let refused = 0;
  server.live = (url, ...more) => {
    if (url.includes("space=")) return live(url, ...more);
    refused += 1;
    return failure(403, "no_member")();
  };
  const phone = await deviceOf(server, "ada", LIVE);
  await until(() => refused > 0, "it has asked for the person's own data");
  await pause(50);
  for (const space of ["family", "club"]) await phone.join(space);
  await until(() => open(server).length === 1 && phone.space("family").status.live, "it is live");
  assert.deepEqual(open(server)[0].spaces, ["", "family", "club"]);
  server.in("family").put("tasks", { id: "t1" });
  open(server)[0].clock("family");
  await until(async () => (await same(phone.space("family"))) === there(server.in("family")), "it has the news");
  await phone.close();
});

const open = (server) => server.streams.filter(({ isOpen }) => isOpen);

test("when the app starts, and at each occasion, all spaces go in one request", async () => {
  const server = teams();
  const { phone } = await ada(server, AUTOMATIC);
  const { store } = phone;
  await phone.close();
  server.requests.length = 0;
  const again = await deviceOf(server, "ada", { ...AUTOMATIC, store });
  await until(() => again.space("club").status.syncedAt && server.requests.length > 0, "it has asked");
  await pause(100);
  assert.deepEqual(server.asked(), ["club family me"]);
  happens("visibilitychange");
  await until(() => server.requests.length > 1, "it asks again");
  await pause(100);
  assert.deepEqual(server.asked().slice(1), ["club family me"]);
  await again.close();
});

test("a change in a space is sent soon, and nothing else is asked about", async () => {
  const server = teams();
  const { phone } = await ada(server, AUTOMATIC);
  await pause(100);
  server.requests.length = 0;
  await phone.space("club").create("tasks", { id: "t1" });
  await until(() => server.in("club").rows().length === 1, "it is sent");
  assert.deepEqual(server.asked(), ["club"]);
  await phone.close();
});

test("without a live stream the spaces are polled, all in one request", async () => {
  const server = teams();
  server.live = () => failure(404, "not_found")();
  const { phone } = await ada(server, { ...LIVE, poll: 200 });
  await until(() => server.asked().filter((what) => what === "club family me").length > 1, "it polls");
  server.in("club").put("tasks", { id: "t1" });
  await until(async () => (await phone.space("club").read("tasks")).length === 1, "the news come");
  await phone.close();
});

test("after a failure of all, all are tried again together", async () => {
  const server = teams();
  const { phone, all } = await ada(server, AUTOMATIC);
  let fails = 3;
  server.before = () => (fails-- > 0 ? lost() : undefined);
  server.requests.length = 0;
  happens("online");
  await until(() => all.every(({ status }) => status.state === "saved") && fails < 0, "all is well again");
  assert.ok(server.requests.length <= 5, `${server.asked()}`);
  await phone.close();
});

test("Apart: while one space waits as long as the server asks for, another syncs", async () => {
  const server = teams();
  const { phone } = await ada(server, AUTOMATIC);
  server.in("family").sync = () => ({ status: 503, success: false, code: "busy", message: "Busy.", retry_after: 3600 });
  await phone.space("family").create("tasks", { id: "f1" });
  await until(() => phone.space("family").status.problem?.code === "busy", "the family is busy");
  server.requests.length = 0;
  for (let number = 0; number < 3; number += 1) {
    await phone.space("club").create("tasks", { id: `c${number}` });
    await until(() => server.in("club").rows().length === number + 1, "it is sent");
  }
  assert.ok(server.asked().every((what) => what === "club"));
  await phone.close();
});

test("Apart: a request of one space that takes long holds no other one back", async () => {
  const server = teams();
  const { phone } = await ada(server, AUTOMATIC);
  let release;
  server.before = ({ syncs = [] }) =>
    syncs.some(({ space }) => space === "family") && new Promise((resolve) => (release = () => resolve(undefined)));
  await phone.space("family").create("tasks", { id: "f1" });
  await until(() => release, "it is under way");
  await phone.space("club").create("tasks", { id: "c1" });
  await until(() => server.in("club").rows().length === 1, "the other is sent");
  release();
  await until(() => server.in("family").rows().length === 1, "and this one, too");
  await phone.close();
});

test("one stream tells of all spaces, and is opened again when they become others", async () => {
  const server = teams();
  const { phone } = await ada(server, LIVE);
  const listens = (...spaces) =>
    until(
      () => open(server).length === 1 && open(server)[0].spaces.join() === spaces.join(),
      `it listens to ${spaces}`,
    );
  await listens("", "family", "club");
  await until(() => phone.status.live && phone.space("club").status.live, "it is live");
  for (const space of ["family", "club"]) {
    server.in(space).put("tasks", { id: "t1" });
    server.requests.length = 0;
    open(server)[0].clock(space);
    await until(async () => (await phone.space(space).read("tasks")).length === 1, "the news come");
    assert.deepEqual(server.asked(), [space]);
  }
  server.of("ada").put("tasks", { id: "t1" });
  open(server)[0].clock();
  await until(async () => (await phone.read("tasks")).length === 1, "the person's own news come");
  await phone.leave("club");
  await listens("", "family");
  assert.equal(phone.space("club").status.live, false);
  await phone.leave("family");
  await listens();
  server.of("ada").put("tasks", { id: "t2" });
  open(server)[0].clock();
  await until(async () => (await phone.read("tasks")).length === 2, "it still hears its own");
  await phone.join("club");
  await listens("", "club");
  await phone.close();
  assert.equal(open(server).length, 0);
});

test("Gone: the stream says that the person is no member, a request confirms it, and the space is left", async () => {
  const server = teams();
  const { phone } = await ada(server, LIVE);
  await until(() => open(server)[0]?.spaces.length === 3, "it listens");
  const [stream] = open(server);
  // Somebody on the way says so, but it is not true.
  stream.say("no_member", { space: "club", message: "No." });
  await pause(60);
  assert.ok((await phone.spaces()).every(({ joined }) => joined));
  server.remove("club", "ada");
  stream.say("no_member", { space: "club", message: "No." });
  await until(async () => (await phone.spaces()).some(({ joined }) => !joined), "it is left");
  await until(() => open(server)[0]?.spaces.join() === ",family", "it listens to the rest");
  await phone.close();
});

test("a server of before tells only of the person's own data: the spaces are polled", async () => {
  const server = teams({ knowsSpaces: false });
  const { phone } = await ada(server, { ...LIVE, poll: 100 });
  await until(() => phone.status.live, "it is live");
  server.in("family").put("tasks", { id: "t1" });
  await until(async () => (await phone.space("family").read("tasks")).length === 1, "the news come by polling");
  assert.deepEqual([phone.status.live, phone.space("family").status.live], [true, false]);
  server.requests.length = 0;
  server.of("ada").put("tasks", { id: "t1" });
  open(server)[0].clock();
  await until(async () => (await phone.read("tasks")).length === 1, "the person's own come");
  await phone.close();
});

test("a stream names no spaces to a token that may be another person's", async () => {
  const server = teams();
  const who = { token: "ada" };
  const { phone } = await ada(server, { ...LIVE, token: () => who.token });
  await until(() => open(server)[0]?.spaces.length === 3, "it listens");
  who.token = "grace";
  open(server)[0].end();
  await until(() => server.streams.at(-1).person === "grace", "it listens with the other token");
  await pause(60);
  const hers = server.streams.filter(({ person }) => person === "grace");
  assert.ok(hers.every(({ spaces }) => spaces.length === 0));
  await phone.close();
});

test("an address has the names of spaces, whatever is in them, and is not too long", async () => {
  const server = teams();
  const phone = await deviceOf(server, "ada", LIVE);
  const names = ["a&space=b", "ä ö/ü?", "😀"];
  for (const name of [...names, ...Array.from({ length: 120 }, (_, number) => `${number}${"x".repeat(60)}`)]) {
    server.invite(name, "ada");
    await phone.join(name);
  }
  await until(() => open(server)[0]?.spaces.length > 50, "it listens to many");
  await pause(200);
  const [{ url, spaces }] = open(server);
  assert.ok(url.length <= 6000 && spaces.length <= 100, `${url.length} ${spaces.length}`);
  assert.deepEqual(spaces.slice(1, 4), names);
  await phone.close();
});

test("tabs: one listens for all, all see what comes, and what one joins or leaves all do", async () => {
  const server = teams();
  const store = memoryStore();
  const { phone } = await ada(server, LIVE, store);
  const tab = await deviceOf(server, "ada", { ...LIVE, store });
  await until(() => tab.space("club").status.live && tab.status.live, "the second tab knows that it is live");
  assert.equal(open(server).length, 1);
  const seen = [];
  tab.space("club").subscribe("tasks", ({ records, pending }) => seen.push(`${records.length} ${pending.size}`));
  await phone.space("club").create("tasks", { id: "t1" });
  await until(() => seen.includes("1 1") && seen.at(-1) === "1 0", "the second tab sees it");
  await tab.leave("club");
  await until(
    () => phone.space("club").status.live === false && open(server)[0]?.spaces.length === 2,
    "the first one, too",
  );
  assert.deepEqual(await phone.space("club").read("tasks"), []);
  await tab.join("club");
  await until(async () => (await phone.space("club").read("tasks")).length === 1, "it is back in both");
  const heard = [];
  tab.addEventListener("spaces", () => heard.push("spaces"));
  server.remove("family", "ada");
  open(server)[0].say("no_member", { space: "family", message: "No." });
  await until(() => tab.space("family").status.problem?.code === "no_member" && heard.length > 0, "both are told");
  await phone.close();
  await until(
    () => open(server).length === 1 && open(server)[0].spaces.join() === ",club",
    "the second tab listens now",
  );
  server.in("club").put("tasks", { id: "t2" });
  open(server)[0].clock("club");
  await until(async () => (await same(tab.space("club"))) === there(server.in("club")), "it has the news");
  await tab.close();
});

test("a space that waits because nobody could be reached goes on as soon as another one reaches the server", async () => {
  const server = teams();
  const { phone } = await ada(server, { ...AUTOMATIC, firstWait: 600_000 });
  server.before = lost;
  await phone.sync();
  const family = phone.space("family");
  assert.equal(family.status.problem.code, "no_answer");
  server.before = () => undefined;
  await phone.space("club").sync();
  await until(() => family.status.state === "saved" && phone.status.state === "saved", "all go on");
  await phone.close();
});

test("a rejected token is renewed once for all, and proven before the spaces go on", async () => {
  const server = teams();
  let token = "ada";
  let renewed = 0;
  const { phone, all } = await ada(server, {
    ...AUTOMATIC,
    token: ({ rejected }) => (rejected && ((renewed += 1), (token = "ada")), token),
  });
  token = "nobody";
  server.requests.length = 0;
  assert.equal((await phone.sync()).state, "saved");
  assert.ok(all.every(({ status }) => status.state === "saved"));
  assert.equal(renewed, 1);
  await phone.close();
});

test("a failure of the whole request is no answer of a space", async () => {
  const server = teams();
  const { phone } = await ada(server, AUTOMATIC);
  server.before = ({ syncs }) => syncs && failure(403, "no_member")();
  await phone.space("club").create("tasks", { id: "t1" });
  await until(() => phone.space("club").status.problem, "it has failed");
  assert.ok((await phone.spaces()).every(({ joined }) => joined));
  assert.equal(phone.space("club").status.pending, 1);
  await phone.close();
});
