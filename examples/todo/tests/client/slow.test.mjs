// Slow networks: whatever moves arrives, however long it takes; only silence ends a transfer.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import test from "node:test";

import { Pace } from "../../web/mobync/pace.js";
import { uploadTime } from "../../web/mobync/transport.js";
import { Network, back, device, ok } from "./network.mjs";

/** A server that reads and writes a few bytes at a time. */
async function trickling({ down = 64, up = 1024, pause = 15 } = {}) {
  const heard = { requests: [], longest: 0 };
  let clock = 0;
  const wait = () => new Promise((resolve) => setTimeout(resolve, pause));
  const server = createServer({ highWaterMark: 1024 }, async (request, response) => {
    const begun = performance.now();
    const parts = [];
    for await (const part of request) {
      parts.push(part);
      for (let read = 0; read < part.length; read += up) await wait();
    }
    const body = JSON.parse(Buffer.concat(parts).toString());
    heard.requests.push({ ...body, bytes: Buffer.concat(parts).length });
    clock += 1;
    const diffs = clock === 1 ? [back("create", "t1", { name: "Milk 😀".repeat(100) })] : [];
    const bytes = Buffer.from(JSON.stringify({ success: true, message: "", logical_clock: clock, diffs }));
    response.writeHead(200, { "Content-Type": "application/json" });
    for (let place = 0; place < bytes.length; place += down) {
      response.write(bytes.subarray(place, place + down));
      await wait();
    }
    response.end();
    heard.longest = Math.max(heard.longest, performance.now() - begun);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { heard, url: `http://127.0.0.1:${server.address().port}/sync`, close: () => server.close() };
}

test("from a server that trickles everything arrives, though each transfer takes many times the limit on silence", async () => {
  const server = await trickling({ pause: 60 });
  const phone = await device({ fetch }, { url: server.url, timeout: 400 });
  const begun = performance.now();
  assert.equal((await phone.sync()).state, "saved");
  assert.ok(performance.now() - begun > 1000 && server.heard.longest > 1000);
  assert.equal((await phone.read("tasks", "t1")).name, "Milk 😀".repeat(100));
  server.close();
});

test("an upload is cut by bytes, and each part arrives at a server that reads slowly", async () => {
  const server = await trickling({ up: 4096, pause: 5 });
  const phone = await device({ fetch }, { url: server.url, timeout: 100 });
  for (let number = 0; number < 60; number += 1) await phone.create("tasks", { name: "x".repeat(4000) });
  assert.equal((await phone.sync()).state, "saved");
  const sizes = server.heard.requests.map(({ bytes }) => bytes);
  assert.ok(sizes.length > 2 && Math.max(...sizes) < 140_000 && sizes[0] < 66_000, `${sizes}`);
  assert.equal(server.heard.requests.flatMap(({ diffs }) => diffs).length, 60);
  server.close();
});

test("an upload that nobody sees moving gets more time with each try, until it is there", async () => {
  let needs = 700;
  const slow = (_, signal) =>
    new Promise((resolve, reject) => {
      const there = setTimeout(() => resolve(ok(1)()), needs).unref();
      signal.addEventListener("abort", () => (clearTimeout(there), reject(signal.reason)));
    });
  const network = new Network().then(...Array(12).fill(slow));
  const phone = await device(network, { timeout: 5 });
  await phone.create("tasks", { name: "Milk" });
  let tries = 1;
  while ((await phone.sync()).state !== "saved") assert.ok((tries += 1) < 9, "it gets there");
  assert.ok(tries > 1);
  assert.ok(network.requests.every(({ diffs }) => diffs[0].id === network.requests[0].diffs[0].id));
  // With an answer, it is as impatient as before.
  needs = 60_000;
  const begun = performance.now();
  await phone.sync();
  assert.ok(performance.now() - begun < 500);
});

test("however often no answer came, a request waits no longer than 15 minutes, or than its size needs", () => {
  const [minute, timeout] = [60_000, 30_000];
  for (const bytes of [100, 8 * 1024, 64 * 1024, 512 * 1024, 16 * 1024 * 1024]) {
    const pace = new Pace(2 ** 24);
    const usual = timeout + (bytes / 1024) * 1000;
    let before = 0;
    for (let tries = 0; tries < 2000; tries += 1) {
      const time = uploadTime(bytes, timeout, pace.patience);
      assert.ok(time >= usual && time >= before && time <= Math.max(usual, 15 * minute), `${bytes}: ${time}`);
      before = time;
      pace.lost(true);
    }
    assert.equal(before, Math.max(usual, 15 * minute));
    pace.heard();
    assert.equal(uploadTime(bytes, timeout, pace.patience), usual);
  }
});

test("uploads are smaller where one takes long, and larger again where they are quick", async () => {
  const sizes = [];
  let clock = 0;
  let time = 0;
  let millis = 30_000;
  const fetch = async (_, { body }) => {
    sizes.push(body.length);
    time += millis;
    return ok((clock += 1))();
  };
  const phone = await device({ fetch }, { monotonic: () => time });
  for (let number = 0; number < 300; number += 1) await phone.create("tasks", { name: "x".repeat(1800) });
  await phone.sync();
  const shrinking = sizes.slice(0, 4);
  assert.ok(
    shrinking[0] > 60_000 && shrinking[1] < 33_000 && shrinking[2] < 17_000 && shrinking[3] < 9000,
    `${shrinking}`,
  );
  sizes.length = 0;
  millis = 100;
  for (let number = 0; number < 400; number += 1) await phone.create("tasks", { name: "x".repeat(1800) });
  assert.equal((await phone.sync()).state, "saved");
  assert.ok(Math.max(...sizes) > 200_000 && Math.max(...sizes) <= 256 * 1024 + 200, `${sizes}`);
});
