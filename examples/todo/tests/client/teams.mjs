// A server with people and spaces: what each may see, and one request for several spaces. It merges by arrival.

import { MODELS, failure } from "./network.mjs";
import { Mobync, memoryStore } from "../../web/mobync.js";

/** The data of one owner. */
class Account {
  clock = 0;
  objects = new Map();
  known = new Set();
  /** The objects of changes that were refused. */
  undone = new Set();
  made = 0;

  constructor(owner) {
    this.owner = owner;
  }

  /** Does a change as another device would. */
  write(diffs) {
    const fresh = diffs.filter(({ id }) => !this.known.has(id));
    for (const { id, type, model, json_data } of fresh) {
      this.known.add(id);
      const data = JSON.parse(json_data);
      const key = JSON.stringify([model, data.id]);
      const before = this.objects.get(key)?.row;
      const row = type === "delete" ? undefined : type === "create" || before ? { ...before, ...data } : undefined;
      this.objects.set(key, { model, id: data.id, row, tick: this.clock });
    }
    if (fresh.length > 0) this.clock += 1;
    return fresh;
  }

  put(model, row) {
    const type = this.objects.get(JSON.stringify([model, row.id]))?.row ? "update" : "create";
    this.write([{ id: `w-${this.owner}-${(this.made += 1)}`, type, model, json_data: JSON.stringify(row) }]);
  }

  remove(model, id) {
    const json_data = JSON.stringify({ id });
    this.write([{ id: `w-${this.owner}-${(this.made += 1)}`, type: "delete", model, json_data }]);
  }

  rows(model = "tasks") {
    const all = [...this.objects.values()].filter(({ row, model: its }) => row && its === model);
    return all.map(({ row }) => row).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  sync({ logical_clock: k, diffs, limit, owner }, mayWrite) {
    if (owner && owner !== this.owner) return no(403, "other_owner");
    if (k > this.clock) return no(409, "clock_ahead");
    const named = owner !== undefined && { owner: this.owner };
    const fresh = diffs.filter(({ id }) => !this.known.has(id));
    const refused = mayWrite
      ? []
      : fresh.map(({ id }) => ({ diff_id: id, code: "forbidden", message: "Reading only." }));
    for (const diff of refused.length > 0 ? fresh : []) {
      this.known.add(diff.id);
      this.undone.add(JSON.parse(diff.json_data).id);
    }
    // What was refused goes back each time that it is sent.
    const touched = new Set(diffs.map(keyOf).filter((key) => this.undone.has(JSON.parse(key)[1])));
    if (refused.length > 0) this.clock += 1;
    else this.write(diffs);
    let news = [...this.objects].filter(([key, { tick }]) => tick >= k || touched.has(key));
    for (const key of touched) if (!this.objects.has(key)) news.push([key, { ...JSON.parse(key), ...nothing(key) }]);
    news = news.map(([, object]) => object).sort((a, b) => a.tick - b.tick);
    let [clock, more] = [this.clock, undefined];
    if (diffs.length === 0 && limit < news.length) {
      clock = news[limit - 1].tick + 1;
      news = news.filter(({ tick }) => tick < clock);
      more = clock < this.clock ? this.clock : undefined;
      if (!more) clock = this.clock;
    }
    const back = news.map(({ model, id, row, tick }) => ({
      id: `back-${this.owner}-${(this.made += 1)}`,
      owner: this.owner,
      logical_clock: Math.min(tick, clock - 1),
      utc_timestamp: 1000 + tick,
      type: row ? "create" : "delete",
      model,
      json_data: JSON.stringify(row ?? { id }),
    }));
    const is = { status: 200, success: true, message: "", logical_clock: clock, diffs: back, ...named };
    return { ...is, ...(refused.length > 0 && { refused }), ...(more && { more }) };
  }
}

const keyOf = ({ model, json_data }) => JSON.stringify([model, JSON.parse(json_data).id]);
const nothing = (key) => ({ model: JSON.parse(key)[0], id: JSON.parse(key)[1], row: undefined, tick: 0 });
/** A failure of one account. */
export const no = (status, code, more) => ({ status, success: false, message: `It is ${code}.`, code, ...more });

export class Teams {
  /** Requests in the order in which they came, each with its person. */
  requests = [];
  accounts = new Map();
  /** By space and person: true, or "reads". */
  members = new Map();
  /** How requests go wrong: called with the request, may return a Response or throw. */
  before = () => undefined;
  /** The same, after all of it was done. */
  after = () => undefined;
  most = 100;
  /** Of a version without spaces, and without names of owners: what it says to several requests in one. @type {string | false} */
  isOlder = false;

  of(owner) {
    if (!this.accounts.has(owner)) this.accounts.set(owner, new Account(owner));
    return this.accounts.get(owner);
  }

  /** The data of a space. */
  in(space) {
    return this.of(`team ${space}`);
  }

  invite(space, person, how = true) {
    this.members.set(JSON.stringify([space, person]), how);
  }

  remove(space, person) {
    this.members.delete(JSON.stringify([space, person]));
  }

  fetch = async (url, { headers, body, signal }) => {
    const person = /^Bearer (\w+)/.exec(headers.Authorization ?? "")?.[1];
    if (this.live && url.includes("/live")) return this.live(url, person, signal);
    const request = { person, ...JSON.parse(body) };
    this.requests.push(request);
    const early = await this.before(request);
    if (early) return early;
    const answer = this.#answer(request);
    return (await this.after(request)) ?? answer;
  };

  #answer({ person, syncs, ...request }) {
    if (!person || person === "nobody") return failure(401, "unauthenticated")();
    if (this.isOlder) delete request.owner;
    if (this.isOlder && syncs) return failure(400, "invalid_request", {}, { message: this.isOlder })();
    if (!syncs) {
      const { status, ...answer } = this.of(person).sync(request, true);
      return Response.json(answer, { status });
    }
    if (syncs.length > this.most) return failure(413, "payload_too_large")();
    const names = syncs.map(({ space }) => space);
    if (new Set(names).size < names.length) return failure(400, "invalid_request")();
    return Response.json({ success: true, syncs: syncs.map((member) => this.#member(person, member)) });
  }

  #member(person, { space, ...request }) {
    if (space === undefined) return this.of(person).sync(request, true);
    const how = this.members.get(JSON.stringify([space, person]));
    return how ? this.in(space).sync(request, how === true) : no(403, "no_member", { message: `Not in ${space}.` });
  }

  /** What was asked about, request by request: spaces in the order of the alphabet, and "me" for the person's own data. */
  asked() {
    return this.requests.map(({ syncs }) =>
      syncs
        ? syncs
            .map(({ space = "me" }) => space)
            .sort()
            .join(" ")
        : "me only",
    );
  }
}

/** A device of a person that syncs when it is told to. */
export async function deviceOf(server, person, { store = memoryStore(), token = person, ...options } = {}) {
  const clock = { now: 500 };
  const mobync = await Mobync.open({
    person,
    url: "https://server.test/sync",
    models: { ...MODELS, memberships: {} },
    token: (ask) => (typeof token === "function" ? token(ask) : token),
    store,
    fetch: server.fetch,
    now: () => clock.now++,
    automatic: false,
    ...options,
  });
  return Object.assign(mobync, { clock, store });
}

export const ROW = { done: false };

/** Whether the rows of a space are those of the server. */
export const same = async (space) => JSON.stringify((await space.read("tasks")).map(sorted));
export const there = (account) => JSON.stringify(account.rows().map((row) => sorted({ ...ROW, ...row })));
const sorted = (row) => Object.fromEntries(Object.entries(row).sort());
