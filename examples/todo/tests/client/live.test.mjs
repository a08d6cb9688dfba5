// Live updates: what is heard counts, not that a connection stands.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { device, failure, ok, until } from "./network.mjs";
import { happens } from "./page.mjs";

const URLS = { url: "https://server.test/sync", live: "https://server.test/sync/live" };
const AUTOMATIC = { automatic: true, debounce: 5, firstWait: 5, silence: 60, poll: 40, now: Date.now, ...URLS };
const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis));
const BYTES = new TextEncoder();

/** A server whose streams are what the test says. */
class Server {
  syncs = 0;
  clock = 0;
  streams = [];
  opening = (stream) => stream;
  headers = { "content-type": "text/event-stream" };

  fetch = async (url, { signal, body }) => {
    if (!url.endsWith("/live")) {
      this.syncs += 1;
      if (JSON.parse(body).diffs.length > 0) this.clock += 1;
      return ok(this.clock)();
    }
    const stream = { isOpen: true, tell: (text) => stream.controller.enqueue(BYTES.encode(text)) };
    const source = { start: (controller) => (stream.controller = controller), cancel: () => (stream.isOpen = false) };
    const response = new Response(new ReadableStream(source), { headers: this.headers });
    signal.addEventListener("abort", () => (stream.isOpen = false));
    this.streams.push(stream);
    return this.opening(stream) instanceof Response ? this.opening(stream) : response;
  };
}

for (const [what, text] of Object.entries({
  nothing: "",
  "half an event": "event: clock\ndata: 1",
  "a line": ": hello\n",
})) {
  test(`a stream that says ${what} is not live, and news come by polling; later it is tried again`, async () => {
    const server = new Server();
    server.opening = (stream) => text && stream.tell(text);
    const phone = await device(server, AUTOMATIC);
    const live = new Set();
    phone.addEventListener("status", () => live.add(phone.status.live));
    server.clock = 7;
    await until(() => phone.status.clock === 7, "it has the news");
    server.clock = 8;
    await until(() => phone.status.clock === 8, "and the next");
    await until(() => server.streams.length > 2, "it tries the stream again");
    assert.equal(server.streams[0].isOpen, false);
    assert.deepEqual([...live], [false]);
    // The proxy is gone.
    server.opening = (stream) => stream.tell("event: clock\ndata: 8\n\n");
    await until(() => phone.status.live, "it is live now");
    await phone.close();
  });
}

for (const [what, text] of Object.entries({
  "an event": "event: clock\ndata: 0\n\n",
  "a heartbeat": ":\n\n",
  "a heartbeat with words": ": still here\r\n\r\n",
  "an event of another kind": "event: hello\ndata: x\n\n",
})) {
  test(`${what} is a sign of life: the stream is live, stays so while more come, and nothing is polled`, async () => {
    const server = new Server();
    server.opening = (stream) => stream.tell(text);
    const phone = await device(server, { ...AUTOMATIC, silence: 150 });
    await until(() => phone.status.live && phone.status.syncedAt, "it is live");
    const { syncs } = server;
    for (let beat = 0; beat < 12; beat += 1) {
      await pause(25);
      server.streams[0].tell(text);
      assert.ok(phone.status.live);
    }
    assert.deepEqual([server.streams.length, server.syncs], [1, syncs]);
    await until(() => server.streams.length > 1 && !server.streams[0].isOpen, "it is given up when it falls silent");
    await phone.close();
  });
}

test("events are read as the standard has it, in whatever pieces they come", async () => {
  const server = new Server();
  const phone = await device(server, { ...AUTOMATIC, silence: 5000, poll: 60_000 });
  await until(() => server.streams.length === 1, "it listens");
  const [stream] = server.streams;
  const forms = [
    (clock) => `event: clock\ndata: ${clock}\n\n`,
    (clock) => `event:clock\ndata:${clock}\n\n`,
    (clock) => `data: ${clock}\r\nevent: clock\r\n\r\n`,
    (clock) => `id: 7\nretry: 100\nevent: clock\n: a comment\ndata: ${clock}\n\n`,
    (clock) => `:\n\n:\n\nevent: clock\ndata: ${clock}\n\n`,
  ];
  for (const [place, form] of forms.entries()) {
    server.clock = place + 1;
    for (const piece of form(server.clock).match(/[^]{1,3}/g)) stream.tell(piece);
    await until(() => phone.status.clock === server.clock, form(server.clock));
  }
  const { syncs } = server;
  for (const text of ["event: clock\ndata: x\n\n", "event: other\ndata: 99\n\n", "data: 99\n\n", "event: clock\n\n"])
    stream.tell(text);
  await pause(40);
  assert.equal(server.syncs, syncs);
  await phone.close();
});

for (const [what, opening] of Object.entries({
  "a server without live updates": () => failure(404, "not_found")(),
  "too many listeners": () => failure(429, "too_many_listeners")(),
  "a refusal": () => failure(403, "forbidden")(),
  "an ill server": () => failure(500, "internal")(),
  "a page of a hotel": () => new Response("<h1>Welcome</h1>\n\n", { headers: { "content-type": "text/html" } }),
})) {
  test(`at ${what} news come by polling`, async () => {
    const server = new Server();
    server.opening = opening;
    const phone = await device(server, AUTOMATIC);
    for (const clock of [3, 4]) {
      server.clock = clock;
      await until(() => phone.status.clock === clock, "it has the news");
    }
    assert.equal(phone.status.live, false);
    await phone.close();
  });
}

test("nothing is polled while nobody looks", async () => {
  const server = new Server();
  const phone = await device(server, { ...AUTOMATIC, poll: 10 });
  await until(() => server.syncs > 2, "it polls");
  document.visibilityState = "hidden";
  await pause(30);
  const { syncs } = server;
  await pause(80);
  assert.equal(server.syncs, syncs);
  document.visibilityState = "visible";
  happens("visibilitychange");
  await until(() => server.syncs > syncs, "it goes on");
  await phone.close();
});

test("tabs poll for each other", async () => {
  const server = new Server();
  const store = memoryStore();
  const tabs = [];
  for (let tab = 0; tab < 5; tab += 1) tabs.push(await device(server, { ...AUTOMATIC, store, poll: 200 }));
  await until(() => tabs.every(({ status }) => status.state === "saved" && status.syncedAt), "they have synced");
  const { syncs } = server;
  await pause(1100);
  assert.ok(server.syncs - syncs >= 2 && server.syncs - syncs <= 7, `${server.syncs - syncs}`);
  await Promise.all(tabs.map((tab) => tab.close()));
});

test("a stream without an end of an event is given up", async () => {
  const server = new Server();
  server.opening = (stream) => stream.tell("x".repeat(100_000));
  const phone = await device(server, { ...AUTOMATIC, silence: 5000 });
  await until(() => server.streams.length > 1, "it tries again");
  assert.equal(server.streams[0].isOpen, false);
  await phone.close();
});
