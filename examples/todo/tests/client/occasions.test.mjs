// When a client syncs by itself, and how tabs share one database.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { Network, back, device, failure, lost, ok, until } from "./network.mjs";

/** Answers every request with the clock that counts what was sent. */
class Server {
  requests = [];
  streams = [];
  clock = 0;
  busy = 0;
  most = 0;
  live = true;

  fetch = async (url, { body, headers, signal }) => {
    if (url.endsWith("/live")) return this.#listen(headers, signal);
    this.busy += 1;
    this.most = Math.max(this.most, this.busy);
    const request = JSON.parse(body);
    this.requests.push(request);
    await new Promise((resolve) => setTimeout(resolve, 10));
    this.busy -= 1;
    if (request.diffs.length > 0) this.clock += 1;
    return ok(this.clock)();
  };

  #listen(headers, signal) {
    if (!this.live) return new Response("", { status: 404 });
    const stream = { headers, tell: (text) => stream.controller.enqueue(new TextEncoder().encode(text)) };
    const body = new ReadableStream({ start: (controller) => (stream.controller = controller) });
    signal.addEventListener("abort", () => {
      stream.ended = true;
      stream.controller.error(new DOMException("aborted", "AbortError"));
    });
    this.streams.push(stream);
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }
}

const URLS = { url: "https://server.test/sync", live: "https://server.test/sync/live" };
const AUTOMATIC = { automatic: true, debounce: 5, firstWait: 20, now: Date.now, ...URLS };

test("it syncs when it is opened, and soon after a change, several changes at once", async () => {
  const server = new Server();
  const phone = await device(server, AUTOMATIC);
  await until(() => server.requests.length === 1, "it has synced");
  await Promise.all(["a", "b", "c"].map((name) => phone.create("tasks", { name })));
  await until(
    () => phone.status.state === "saved" && phone.status.pending === 0 && server.requests.length > 1,
    "all is saved",
  );
  assert.equal(server.requests.at(-1).diffs.length, 3);
  await phone.close();
});

test("it tries again by itself until there is an answer", async () => {
  const network = new Network().then(lost, failure(503, "busy"), lost, ok(1));
  const phone = await device(network, { ...AUTOMATIC, live: undefined });
  await until(() => phone.status.state === "saved" && network.requests.length === 4, "the fourth request went well");
  await phone.close();
});

test("it waits as long as the server asks for, whatever else happens", async () => {
  const network = new Network().then(failure(503, "busy", { "Retry-After": "3600" }));
  const phone = await device(network, { ...AUTOMATIC, live: undefined });
  await until(() => phone.status.problem?.code === "busy", "the server is busy");
  await phone.create("tasks", { name: "Milk" });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(network.requests.length, 1);
  await phone.close();
});

test("a change during a request that fails does not make it try again sooner", async () => {
  const server = {
    requests: 0,
    fetch: async () => {
      server.requests += 1;
      if (server.requests === 2) await phone.create("tasks", { name: "Bread" });
      await new Promise((resolve) => setTimeout(resolve, 30));
      return server.requests === 1 ? ok(0)() : failure(503, "busy", { "Retry-After": "3600" })();
    },
  };
  const phone = await device(server, { ...AUTOMATIC, live: undefined });
  await until(() => phone.status.syncedAt, "it has synced");
  await phone.create("tasks", { name: "Milk" });
  await until(() => phone.status.retryAt, "it waits");
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(server.requests, 2);
  await phone.close();
});

test("changes without a pause do not put off the sync of the first", async () => {
  const server = new Server();
  const phone = await device(server, { ...AUTOMATIC, live: undefined, debounce: 40 });
  await until(() => phone.status.syncedAt, "it has synced");
  for (let number = 0; server.requests.length < 2; number += 1) {
    assert.ok(number < 500, "it never syncs");
    await phone.create("tasks", { name: "x" });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await phone.close();
});

test("a live event makes it sync, if the clock is not its own", async () => {
  const server = new Server();
  const phone = await device(server, AUTOMATIC);
  await until(() => server.streams.length === 1 && phone.status.syncedAt, "it has synced and listens");
  const [stream] = server.streams;
  assert.equal(stream.headers.Authorization, "Bearer ada");
  stream.tell("event: clock\ndata: 0\n\n:\n\n");
  await until(() => phone.status.live, "it knows that it listens");
  server.clock = 4;
  stream.tell("event: clo");
  stream.tell("ck\r\ndata: 4\r\n\r\n");
  await until(() => phone.status.clock === 4, "it has the news");
  assert.equal(server.requests.length, 2);
  stream.tell("event: clock\ndata: 4\n\n");
  await phone.create("tasks", { name: "Milk" });
  await until(() => phone.status.clock === 5, "its own change is saved");
  assert.equal(server.requests.length, 3);
  await phone.close();
  assert.ok(stream.ended);
});

test("a stream that ends, or is silent for too long, is begun anew", async () => {
  const server = new Server();
  const phone = await device(server, { ...AUTOMATIC, silence: 30 });
  await until(() => server.streams.length === 1, "it listens");
  server.streams[0].controller.close();
  await until(() => server.streams.length === 2, "it listens again");
  await until(() => server.streams[1].ended && server.streams.length > 2, "it has given up a silent stream");
  await phone.close();
});

test("a server without live updates is asked once", async () => {
  const server = new Server();
  server.live = false;
  let asked = 0;
  const fetch = (url, init) => ((asked += url.endsWith("/live") ? 1 : 0), server.fetch(url, init));
  const phone = await device({ fetch }, AUTOMATIC);
  await until(() => asked === 1 && server.requests.length === 1, "it has asked");
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.equal(asked, 1);
  await phone.close();
});

test("tabs share one database: each sees the other's changes, and one listens", async () => {
  const server = new Server();
  const store = memoryStore();
  const [left, right] = [await device(server, { ...AUTOMATIC, store }), await device(server, { ...AUTOMATIC, store })];
  const seen = [];
  right.subscribe("tasks", ({ records, pending }) => seen.push([records.length, pending.size]));
  await until(() => seen.length > 0, "it has seen something");
  await left.create("tasks", { name: "Milk" });
  await until(() => seen.some(([records, pending]) => records === 1 && pending === 1), "the other tab sees it");
  await until(() => seen.at(-1)[1] === 0, "the other tab sees that it is saved");
  await until(() => right.status.state === "saved" && left.status.state === "saved", "both are at rest");
  assert.equal(server.streams.length, 1);
  await left.close();
  await until(() => server.streams.length === 2, "the other tab listens now");
  await right.close();
});

test("tabs never sync twice at once, and send each diff once", async () => {
  const server = new Server();
  const store = memoryStore();
  const tabs = [];
  for (let number = 0; number < 4; number += 1) tabs.push(await device(server, { ...AUTOMATIC, store }));
  await Promise.all(
    tabs.flatMap((tab) => [
      tab.create("tasks", { name: "x" }),
      tab.sync(),
      tab.create("tasks", { name: "y" }),
      tab.sync(),
    ]),
  );
  await until(() => tabs[0].status.state === "saved", "all is saved");
  assert.equal(server.most, 1);
  const sent = server.requests.flatMap(({ diffs }) => diffs.map(({ id }) => id));
  assert.equal(new Set(sent).size, 8);
  assert.equal(sent.length, 8);
  await Promise.all(tabs.map((tab) => tab.close()));
});

test("an answer that comes after another tab's is not applied on top of it", async () => {
  // Without Web Locks: the two stores are one, but their names, and so their turns, are not.
  const store = memoryStore();
  const [left, right] = [
    { ...store, name: "left" },
    { ...store, name: "right" },
  ];
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const slow = new Network().then(async () => (await held, ok(1, [back("create", "t1", { name: "stale" })])()), ok(2));
  const fast = new Network().then(ok(2, [back("create", "t1", { name: "fresh" })]));
  const first = await device(slow, { store: left });
  const second = await device(fast, { store: right });
  const waiting = first.sync();
  await second.sync();
  release();
  await waiting;
  assert.deepEqual(
    (await first.read("tasks")).map(({ name }) => name),
    ["fresh"],
  );
  assert.deepEqual(
    slow.requests.map(({ logical_clock }) => logical_clock),
    [0, 2],
  );
});

test("a tab hears how it stands from the one that syncs", async () => {
  const store = memoryStore();
  const network = new Network().then(failure(409, "clock_ahead"));
  const [left, right] = [await device(network, { store }), await device(new Network(), { store })];
  await left.sync();
  await until(() => right.status.problem?.code === "clock_ahead", "the other tab knows");
  assert.equal(right.status.state, "stopped");
});

test("who watches the traffic sees what goes up and what comes down", async () => {
  const network = new Network().then(ok(1, [back("create", "t2", { name: "Bread" })]));
  const phone = await device(network);
  const seen = [];
  phone.addEventListener("traffic", ({ detail }) => seen.push([detail.direction, detail.clock, detail.diffs.length]));
  await phone.create("tasks", { id: "t1" });
  await phone.sync();
  assert.deepEqual(seen, [
    ["up", 0, 1],
    ["down", 1, 1],
  ]);
});
