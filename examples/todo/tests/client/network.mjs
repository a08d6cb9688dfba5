// A network that does what a test says, and devices on it.

import { Mobync, memoryStore } from "../../web/mobync.js";

export const MODELS = { tasks: { done: false } };

/** Answers requests in turn, each as the test says, and keeps what was sent. */
export class Network {
  requests = [];
  #plans = [];

  /** Plans the next answers; each is a function from the request to a Response, or throws. */
  then(...plans) {
    this.#plans.push(...plans);
    return this;
  }

  /** Forgets what was planned and not asked for. */
  drop() {
    this.#plans = [];
  }

  fetch = async (url, { method = "GET", headers, body, signal }) => {
    const request = { url, method, headers, ...(body && JSON.parse(body)) };
    this.requests.push(request);
    const plan = this.#plans.shift();
    if (!plan) throw new Error(`no answer is planned for request ${this.requests.length}`);
    return plan(request, signal);
  };
}

export function ok(logical_clock, diffs = [], refused, members = {}) {
  return () => Response.json({ success: true, message: "", logical_clock, diffs, refused, ...members });
}

export function failure(status, code, headers = {}, more = {}) {
  return () => Response.json({ success: false, message: `It is ${code}.`, code, ...more }, { status, headers });
}

/** The request or its answer got lost. */
export function lost() {
  throw new TypeError("fetch failed");
}

/** A proxy's own words. */
export function proxy(status, headers = {}) {
  return () => new Response("<h1>Bad Gateway</h1>", { status, headers });
}

const FETCHED = { key: "state", goal: 0 };

let made = 0;

/** A diff that comes back from the server. */
export function back(type, id, fields = {}, utc_timestamp = 1000) {
  made += 1;
  const json_data = JSON.stringify({ id, ...fields });
  return { id: `back-${made}`, owner: "ada", logical_clock: 0, utc_timestamp, type, model: "tasks", json_data };
}

/**
 * A device that syncs when it is told to, and whose clock is what the test says. Unless it is new, it has
 * fetched what there was: so its first request has its changes.
 */
export async function device(network, { isNew = false, store = memoryStore(), ...options } = {}) {
  const clock = { now: 500 };
  if (!isNew) await store.write(async (tx) => (await tx.get("meta", "state")) ?? tx.put("meta", FETCHED));
  const mobync = await Mobync.open({
    url: "https://server.test/sync",
    models: MODELS,
    token: () => "ada",
    store,
    fetch: network.fetch,
    now: () => clock.now,
    automatic: false,
    ...options,
  });
  return Object.assign(mobync, { clock });
}

/** What was sent, a line each. */
export const lines = (diffs) => diffs.map(line);

export function line({ type, json_data }) {
  const { id, ...fields } = JSON.parse(json_data);
  return Object.keys(fields).length > 0 ? `${type} ${id} ${JSON.stringify(fields)}` : `${type} ${id}`;
}

/** Waits until the condition holds, which something under way must bring about. */
export async function until(condition, what) {
  const patience = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > patience) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Chance that can be repeated: the same seed, the same numbers. */
export function chance(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A server that one device syncs with: it does what is new, and remembers it. */
export class Replica {
  rows = new Map();
  known = new Set();
  clock = 0;

  fetch = async (_, { body }) => {
    const { diffs } = JSON.parse(body);
    const fresh = diffs.filter(({ id }) => !this.known.has(id));
    for (const { id, type, json_data } of fresh) {
      this.known.add(id);
      const data = JSON.parse(json_data);
      if (type === "create") this.rows.set(data.id, data);
      else if (type === "delete") this.rows.delete(data.id);
      else if (this.rows.has(data.id)) Object.assign(this.rows.get(data.id), data);
    }
    if (fresh.length > 0) this.clock += 1;
    return ok(this.clock)();
  };

  names() {
    return Object.fromEntries([...this.rows].map(([id, { name }]) => [id, name]));
  }
}
