// Failures that last: who is told, and when it is tried again.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { Network, device, failure, lost, ok, proxy, until } from "./network.mjs";
import { happens } from "./page.mjs";

const AUTOMATIC = { automatic: true, debounce: 5, firstWait: 5 };
const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/** A server that fails in one way until it is mended. */
class Ill {
  requests = 0;
  mended = false;
  constructor(fail) {
    this.fail = fail;
  }
  fetch = async (_, { body }) => {
    this.requests += 1;
    return this.mended ? ok(JSON.parse(body).logical_clock + 1)() : this.fail();
  };
}

const ILL = {
  "500 internal": failure(500, "internal"),
  "503 busy": failure(503, "busy"),
  "400 invalid_request": failure(400, "invalid_request"),
  "500 of somebody": proxy(500),
  "502 of a proxy": proxy(502),
  "404 of another server": proxy(404),
  "429 of a proxy": proxy(429),
  "403 of a firewall": proxy(403),
  "a page of a hotel": proxy(200),
  "a success that is none": () => Response.json({ success: true }),
  "JSON of something else": () => Response.json({ error: "x" }, { status: 500 }),
  "a page at 201": proxy(201),
};

for (const [what, fail] of Object.entries(ILL)) {
  test(`${what} that lasts is told after so many tries, also over restarts, and tried again all the same`, async () => {
    const server = new Ill(fail);
    const store = memoryStore();
    const options = { store, maxFailures: 3 };
    let phone = await device(server, options);
    await phone.create("tasks", { name: "Milk" });
    const states = [];
    for (let round = 0; round < 4; round += 1) {
      states.push((await phone.sync()).state);
      if (round === 1) {
        await phone.close();
        phone = await device(server, options);
      }
    }
    assert.deepEqual(states, ["offline", "offline", "stopped", "stopped"]);
    const { problem, pending, retryAt } = phone.status;
    assert.ok(problem.lasting && pending === 1 && retryAt > phone.clock.now + 7 * 60_000);
    assert.match(problem.message, /4 times in a row. \w/);
    server.mended = true;
    assert.equal((await phone.sync()).state, "saved");
    server.mended = false;
    assert.equal((await phone.sync()).state, "offline");
  });
}

test("without a network nobody is told, however long that lasts", async () => {
  const phone = await device(new Ill(lost), { maxFailures: 2 });
  for (let round = 0; round < 9; round += 1) assert.equal((await phone.sync()).state, "offline");
});

const LASTING = [
  [400, "invalid_json"],
  [401, "unauthenticated"],
  [403, "forbidden"],
  [405, "method_not_allowed"],
  [409, "clock_ahead"],
  [415, "unsupported_media_type"],
  [422, "unknown_model"],
  [422, "unknown_field"],
  [422, "constraint"],
  [418, "something_new"],
];

for (const [status, code] of LASTING) {
  test(`${status} ${code} that was mended on the server is found out by itself`, async () => {
    const server = new Ill(failure(status, code));
    const phone = await device(server, { ...AUTOMATIC, longWait: 40 });
    await phone.create("tasks", { name: "Milk" });
    await until(() => phone.status.problem?.code === code, "it is told");
    assert.equal(phone.status.state, "stopped");
    server.mended = true;
    await until(() => phone.status.state === "saved" && phone.status.pending === 0, "it has tried again");
    await phone.close();
  });

  for (const occasion of ["online", "focus", "visibilitychange", "a change"]) {
    test(`${status} ${code} is tried again at once at an occasion (${occasion}), and seldom without`, async () => {
      const server = new Ill(failure(status, code, { "Retry-After": "3600" }));
      const phone = await device(server, AUTOMATIC);
      await until(() => phone.status.problem?.code === code && phone.status.state === "stopped", "it is told");
      const before = server.requests;
      await pause(60);
      assert.equal(server.requests, before);
      server.mended = true;
      if (occasion === "a change") await phone.create("tasks", { name: "Milk" });
      else happens(occasion);
      await until(() => phone.status.state === "saved", "it has tried again");
      await phone.close();
    });
  }
}

test("a network that comes back is an occasion while it waits for a server, and ends what another one asked for", async () => {
  for (const fail of [proxy(503, { "Retry-After": "3600" }), failure(503, "busy", { "Retry-After": "3600" }), lost]) {
    const server = new Ill(fail);
    const phone = await device(server, { ...AUTOMATIC, firstWait: 60_000 });
    await until(() => phone.status.retryAt !== null, "it waits");
    await phone.create("tasks", { name: "Milk" });
    await pause(30);
    assert.equal(server.requests, 1);
    server.mended = true;
    happens("online");
    await until(() => phone.status.state === "saved", "it has tried again");
    await phone.close();
  }
});

test("a request that is under way when the network changes is made again on the new one", async () => {
  const network = new Network().then(() => new Promise(() => {}), ok(1));
  const phone = await device(network, AUTOMATIC);
  await until(() => network.requests.length === 1, "it has asked");
  happens("online");
  await until(() => phone.status.state === "saved", "it has heard");
  assert.deepEqual(network.requests[1].diffs, network.requests[0].diffs);
  await phone.close();
});

test("what a server asks for is believed for some minutes at most", async () => {
  const day = 24 * 60 * 60;
  const http = (seconds) => new Date(500 + seconds * 1000).toUTCString();
  const most = 10 * 60_000;
  for (const [headers, least, greatest] of [
    [{ "Retry-After": "7" }, 7000, 7000],
    [{ "Retry-After": " 7 " }, 7000, 7000],
    [{ "Retry-After": String(day) }, most, most],
    [{ "Retry-After": "9".repeat(400) }, most, most],
    [{ "Retry-After": http(60) }, 58_000, 62_000],
    [{ "Retry-After": http(day) }, most, most],
    // By the server's own clock, whatever this device believes.
    [{ "Retry-After": http(50 * day + 90), Date: http(50 * day) }, 90_000, 90_000],
    [{ "Retry-After": http(-day) }, 500, 1500],
    [{ "Retry-After": "0" }, 500, 1500],
    [{ "Retry-After": "-5" }, 500, 1500],
    [{ "Retry-After": "soon" }, 500, 1500],
    [{ "Retry-After": "1e9" }, 500, 1500],
    [{}, 500, 1500],
  ]) {
    for (const answer of [proxy(503, headers), failure(503, "busy", headers), proxy(429, headers)]) {
      const phone = await device(new Network().then(answer));
      const { retryAt } = await phone.sync();
      const wait = retryAt - phone.clock.now;
      assert.ok(wait >= least && wait <= greatest, `${JSON.stringify(headers)}: ${wait}`);
    }
  }
});

for (const [what, jump] of Object.entries({
  "a day back": -86_400_000,
  "to 1970": -1e15,
  "a year on": 31_536_000_000,
})) {
  test(`a clock that is set ${what} during an outage stops nothing`, async () => {
    let now = 1_700_000_000_000;
    const server = new Ill(lost);
    const phone = await device(server, { ...AUTOMATIC, firstWait: 20, now: () => now });
    await phone.create("tasks", { name: "Milk" });
    await until(() => phone.status.retryAt !== null, "it waits");
    now = Math.max(0, now + jump);
    const before = server.requests;
    await until(() => server.requests > before + 1, "it has tried again");
    server.mended = true;
    await until(() => phone.status.state === "saved" && phone.status.pending === 0, "all is saved");
    await phone.update("tasks", (await phone.read("tasks"))[0].id, { name: "Oat milk" });
    await until(() => phone.status.pending === 0, "that, too");
    await phone.close();
  });
}
