// Random histories of several people with spaces, on a network and a server that fail in every way.

import assert from "node:assert/strict";
import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { chance, failure, lost, proxy } from "./network.mjs";
import { Teams, deviceOf, same, there } from "./teams.mjs";

const PEOPLE = ["ada", "grace"];
const SPACES = ["family", "club", "work"];
const LIST = { spaces: { model: "memberships", field: "project" } };

/** Everything that is stored for a space, as text. */
const stored = (store, space, tables) =>
  store.read(async (tx) => JSON.stringify(await Promise.all(tables.map((table) => tx.of(space).all(table)))));

/** The number of changes that wait for the server. */
const pending = ({ store }) =>
  store.read(async (tx) => {
    const counts = await Promise.all(["", ...SPACES].map((space) => tx.of(space).count("pending")));
    return counts.reduce((sum, count) => sum + count);
  });

class World {
  server = new Teams();
  devices = [];
  made = 0;
  /** The objects that were created on a device: where, and on which. */
  created = [];
  deleted = new Set();
  /** The objects of each account that the server has ever had. */
  ever = new Map();

  constructor(seed) {
    this.random = chance(seed);
    const { random, server } = this;
    server.most = 2 + random(3);
    this.trouble = random(4);
    server.before = () => {
      const kind = random(40);
      if (kind < this.trouble) return lost();
      if (kind === 10) return failure(503, "busy", { "Retry-After": "1" })();
      if (kind === 11) return proxy(502)();
    };
    server.after = () => (this.look(), random(40) < this.trouble ? lost() : undefined);
  }

  /** What the server has is remembered: an object may be deleted later. */
  look() {
    for (const [owner, { objects }] of this.server.accounts) {
      const ever = this.ever.get(owner) ?? new Set();
      for (const { id } of objects.values()) ever.add(id);
      this.ever.set(owner, ever);
    }
  }

  async open(person, store = memoryStore()) {
    const options = { ...(this.isListed && LIST), maxDiffs: 1 + this.random(4), fold: this.random(2) === 1 };
    const device = await deviceOf(this.server, person, { store, ...options });
    return Object.assign(device, { person });
  }

  async start() {
    this.isListed = this.random(2) === 1;
    for (const person of [...PEOPLE, PEOPLE[0]]) this.devices.push(await this.open(person));
    for (const space of SPACES) for (const person of PEOPLE) if (this.random(2)) this.invite(space, person);
  }

  invite(space, person) {
    this.server.invite(space, person, this.random(4) ? true : "reads");
    if (this.isListed) this.server.of(person).put("memberships", { id: `${space}-of-${person}`, project: space });
  }

  remove(space, person) {
    this.server.remove(space, person);
    if (this.isListed && this.random(2)) this.server.of(person).remove("memberships", `${space}-of-${person}`);
  }

  async step() {
    const { random, server, devices } = this;
    const place = random(devices.length);
    const device = devices[place];
    const name = SPACES[random(SPACES.length)];
    const space = random(4) ? device.space(name) : device;
    const where = space === device ? device.person : name;
    const rows = await space.read("tasks");
    const row = rows[random(rows.length || 1)];
    const kind = random(20);
    if (kind < 5) {
      const id = `${where}-${(this.made += 1)}`;
      await space.create("tasks", { id, name: `n${this.made}` });
      this.created.push({ id, device: device.store, where, owner: space === device ? where : `team ${name}` });
    } else if (kind < 8 && row) await space.update("tasks", row.id, { name: `n${(this.made += 1)}` });
    else if (kind === 8 && row) this.deleted.add((await space.delete("tasks", row.id)).id);
    else if (kind === 9 && !this.isListed) await device.join(name);
    else if (kind === 10 && !this.isListed) await device.leave(name);
    else if (kind === 11) this.invite(name, PEOPLE[random(2)]);
    else if (kind === 12) this.remove(name, PEOPLE[random(2)]);
    else if (kind === 13) server.in(name).put("tasks", { id: `${name}-${(this.made += 1)}`, name: "x" });
    else if (kind === 14) {
      await device.close();
      devices[place] = await this.open(device.person, device.store);
    } else if (kind === 15) await space.sync();
    else if (kind === 16) await space.refetch();
    else if (kind === 17)
      await Promise.all([device.sync(), random(2) && device.leave(name).then(() => device.join(name))]);
    else await device.sync();
    await this.holds();
  }

  /** What is always so: nothing of one space is in another, and nothing but what was set aside in one that was left. */
  async holds() {
    for (const [owner, ids] of this.ever) {
      const name = owner.replace("team ", "");
      for (const id of ids) assert.ok(id.startsWith(`${name}-`) || id.endsWith(`-of-${name}`), `${id} at ${owner}`);
    }
    for (const device of this.devices) {
      for (const { space, joined } of await device.spaces()) {
        const all = ["objects", "beside", "pending", "overridden"];
        if (!joined) assert.equal(await stored(device.store, space, all), "[[],[],[],[]]");
      }
    }
  }

  /** Nothing fails any more, and everybody syncs until all is quiet. */
  async end() {
    const { server, devices } = this;
    server.before = () => undefined;
    server.after = () => this.look();
    if (!this.isListed) for (const device of devices) for (const space of SPACES) await device.join(space);
    for (let round = 0; round < 60; round += 1) {
      for (const device of devices) await device.sync();
      const left = await Promise.all(devices.map(pending));
      if (round > 4 && left.every((count) => count === 0)) break;
      assert.ok(round < 59, `${left}`);
    }
    for (const device of devices) await device.sync();
  }
}

for (let seed = 1; seed <= 40; seed += 1) {
  test(`whoever joins, leaves and is removed, each device has what its person may see, and loses nothing (${seed})`, async () => {
    const world = new World(seed);
    await world.start();
    for (let step = 0; step < 100; step += 1) {
      await world.step().catch((error) => {
        if (!/^(no_member|not_there|exists)$/.test(error.code)) throw error;
      });
    }
    await world.end();
    const { server } = world;
    for (const device of world.devices) {
      const { person } = device;
      assert.equal(await same(device), there(server.of(person)));
      const joined = new Map((await device.spaces()).map(({ space, joined }) => [space, joined]));
      for (const space of SPACES) {
        const isMember = server.members.has(JSON.stringify([space, person]));
        const isListed =
          !world.isListed ||
          server
            .of(person)
            .rows("memberships")
            .some(({ project }) => project === space);
        if (!isMember || !isListed) assert.notEqual(joined.get(space), true, `${person} is in ${space}`);
        if (joined.get(space))
          assert.equal(await same(device.space(space)), there(server.in(space)), `${person} ${space}`);
        else assert.deepEqual(await device.space(space).read("tasks"), []);
      }
    }
    for (const { id, device, where, owner } of world.created) {
      // The server tells only once what it has refused; that answer may have got lost.
      const isRefused = server.of(owner).undone.has(id);
      if (world.ever.get(owner)?.has(id) || world.deleted.has(id) || isRefused) continue;
      const refused = await stored(device, PEOPLE.includes(where) ? "" : where, ["refused"]);
      assert.ok(refused.includes(`"${id}"`), `${id} is lost`);
    }
  });
}
