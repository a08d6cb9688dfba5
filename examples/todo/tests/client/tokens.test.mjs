// The token: there may be none, it may come late or never, and it may be renewed.

import assert from "node:assert/strict";
import test from "node:test";

import { Mobync, memoryStore } from "../../web/mobync.js";
import { MODELS, Network, device, failure, ok, until } from "./network.mjs";

const AUTOMATIC = { automatic: true, debounce: 5, firstWait: 10 };
const never = () => new Promise(() => {});
const error = (name, message, more) => Object.assign(new Error(message), { name, ...more });

for (const [what, token] of Object.entries({
  undefined: undefined,
  null: null,
  "an empty text": "",
  "a number": 7,
  "an object": { token: "ada" },
  "a line break": "a\nb",
  "a line break at the end": "ada\n",
  "not ASCII": "ädä",
  "an emoji": "😀",
})) {
  test(`a token that is ${what} is none: nothing is sent, and it is asked for again`, async () => {
    const network = new Network();
    for (const give of [() => token, async () => token]) {
      const phone = await device(network, { token: give });
      await phone.create("tasks", { name: "Milk" });
      const { state, problem, pending } = await phone.sync();
      assert.deepEqual([state, problem.code, pending], ["stopped", "unauthenticated", 1]);
      assert.match(problem.message, /sign in/i);
    }
    assert.equal(network.requests.length, 0);
    let current = token;
    network.then(ok(1));
    const phone = await device(network, { token: () => current });
    await phone.sync();
    current = "ada";
    assert.equal((await phone.sync()).state, "saved");
    assert.equal(network.requests[0].headers.Authorization, "Bearer ada");
  });
}

test("an application without tokens sends none", async () => {
  const network = new Network().then(ok(1), failure(401, "unauthenticated"));
  const phone = await device(network, { token: undefined });
  assert.equal((await phone.sync()).state, "saved");
  assert.equal("Authorization" in network.requests[0].headers, false);
  assert.equal((await phone.sync()).problem.code, "unauthenticated");
});

test("a token may be a function and nothing else", async () => {
  const options = { url: "/sync", models: MODELS, store: memoryStore() };
  for (const token of ["ada", null, 7]) {
    await assert.rejects(Mobync.open({ ...options, token }), { code: "invalid_option" });
  }
});

for (const [what, failed] of Object.entries({
  "fetch of Chrome": new TypeError("Failed to fetch"),
  "fetch of Firefox": new TypeError("NetworkError when attempting to fetch resource."),
  "fetch of Safari": new TypeError("Load failed"),
  "fetch of Node": new TypeError("fetch failed"),
  "a request that took too long": error("TimeoutError", "The operation timed out."),
  "a request that was given up": new DOMException("aborted", "AbortError"),
  axios: error("AxiosError", "Network Error", { code: "ERR_NETWORK" }),
  "a library of Firebase": error("FirebaseError", "Firebase: Error (auth/network-request-failed).", {
    code: "auth/network-request-failed",
  }),
  "a name that is not found": error("Error", "getaddrinfo", { code: "ENOTFOUND" }),
})) {
  test(`a token that cannot be had for want of a network (${what}) is tried again by itself`, async () => {
    for (const give of [
      () => Promise.reject(failed),
      () => {
        throw failed;
      },
    ]) {
      let asked = 0;
      const token = () => ((asked += 1), asked < 4 ? give() : "ada");
      const network = new Network().then(ok(1));
      const phone = await device(network, { ...AUTOMATIC, token });
      const seen = new Set();
      phone.addEventListener("status", () => seen.add(`${phone.status.state} ${phone.status.problem?.code}`));
      await until(() => phone.status.state === "saved" && network.requests.length === 1, "it has synced");
      assert.ok(seen.has("offline no_token"), [...seen].join());
      assert.ok(![...seen].some((state) => /stopped|unauth/.test(state)), [...seen].join());
      await phone.close();
    }
  });
}

test("a callback that fails for another reason is asked again soon, too", async () => {
  let asked = 0;
  const token = () => ((asked += 1), asked < 3 ? Promise.reject(new Error("closed")) : "ada");
  const network = new Network().then(ok(1));
  const phone = await device(network, { ...AUTOMATIC, token });
  await until(() => phone.status.problem?.code === "unauthenticated", "it says so");
  await until(() => phone.status.state === "saved" && network.requests.length === 1, "it has synced");
  await phone.close();
});

test("a callback that hangs holds up neither this tab nor the others, and closing does not wait for it", async () => {
  const store = memoryStore();
  const network = new Network().then(ok(1));
  const [hanging, other] = [await device(network, { store, token: never }), await device(network, { store })];
  await other.create("tasks", { name: "Milk" });
  const waiting = hanging.sync();
  const begun = performance.now();
  assert.equal((await other.sync()).state, "saved");
  await hanging.close();
  await waiting;
  assert.ok(performance.now() - begun < 1000);
  assert.equal(network.requests.length, 1);
});

test("a callback that hangs is given up and asked anew, and what comes late is used", async () => {
  const given = [];
  const token = ({ signal }) => new Promise((resolve) => given.push({ resolve, signal }));
  const network = new Network().then(ok(1));
  const phone = await device(network, { ...AUTOMATIC, firstWait: 50_000, timeout: 30, token });
  await until(() => phone.status.problem?.code === "no_token", "it has given up");
  assert.equal(phone.status.state, "offline");
  assert.ok(given[0].signal.aborted);
  given[0].resolve("ada");
  await until(() => given.length === 2, "it asks again");
  given[1].resolve("ada");
  await until(() => network.requests.length === 1 && phone.status.state === "saved", "it has synced");
  await phone.close();
});

test("a callback that always hangs is told in the end", async () => {
  const phone = await device(new Network(), { ...AUTOMATIC, firstWait: 1, timeout: 5, maxFailures: 3, token: never });
  await until(() => phone.status.state === "stopped", "it has stopped");
  assert.match(phone.status.problem.message, /3 times in a row.*token/);
  await phone.close();
});

/** A server that takes one token, for syncs and for the stream. */
function strict(valid, network) {
  const headersOf = [];
  const fetch = async (url, init) => {
    headersOf.push(init.headers.Authorization);
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (init.headers.Authorization !== `Bearer ${valid()}`) return failure(401, "unauthenticated")();
    if (!url.endsWith("/live")) return ok(network.clock ?? 0)();
    return new Response(
      new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode(":\n\n")) }),
      {
        headers: { "content-type": "text/event-stream" },
      },
    );
  };
  return { fetch, headersOf };
}

for (const delay of [0, 20, 60]) {
  test(`sync and stream share one renewal of the token (which takes ${delay} ms)`, async () => {
    let current = "old";
    const asked = [];
    const token = async ({ rejected }) => {
      asked.push(rejected);
      await new Promise((resolve) => setTimeout(resolve, delay));
      // A token to renew with can be used once.
      if (rejected) current = current === "old" ? "new" : "spent";
      return current;
    };
    const server = strict(() => "new", {});
    const live = "https://server.test/sync/live";
    const phone = await device(server, { ...AUTOMATIC, live, token });
    await until(() => phone.status.state === "saved" && phone.status.live, "both have it");
    assert.equal(asked.filter((rejected) => rejected).length, 1);
    assert.equal(current, "new");
    await phone.close();
  });
}
