// Beginning anew: the device asks from the clock 0 again, and loses nothing that is not sent yet.

import { dropCopy } from "./beside.js";
import { fold, newDiff, uuid } from "./diffs.js";
import { NEW_DEVICE, baseOf, dropBases, dropIdleBase, keepBase, stateOf } from "./state.js";
import { forgetSent } from "./updating.js";

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * For a server that was restored from a backup: makes a new device of this one, with a create for each
 * of its objects before what is pending. If the object has a base, the create has that, and its pending changes
 * get new ids: the server may know the old ones, and what it knows comes before the create. The database as it
 * was is kept as `backup` in the table `meta`.
 * @param {Tx} tx @param {any} options @param {boolean} [isUnasked]  no person has said that it is the right server
 */
export async function resendAll(tx, { now }, isUnasked = false) {
  const state = await stateOf(tx);
  const objects = await tx.all("objects");
  await tx.put("meta", { key: "backup", at: now(), state, pending: await tx.all("pending"), objects });
  await forgetSent(tx, await tx.all("pending"));
  const deleted = await holdDeletes(tx, state.deleted);
  /** @type {Pending[]} */
  const left = await tx.all("pending");
  const begun = new Set(left.filter(({ diff }) => diff.type === "create").map(keyOf));
  for (const { seq } of left) await tx.delete("pending", seq);
  /** @type {Map<string, import("./types.js").Row>} */
  const bases = new Map();
  for (const object of left.filter((entry) => !begun.has(keyOf(entry)))) {
    const base = (await baseOf(tx, object.model, object.id))?.row;
    if (base) bases.set(keyOf(object), base);
  }
  await dropBases(tx);
  await dropCopy(tx);
  /** @type {Map<string, number>} */
  const last = new Map();
  for (const { model, id, row } of objects.filter((object) => !begun.has(keyOf(object)))) {
    const [key, utc_timestamp] = [keyOf({ model, id }), state.syncedAt ?? 0];
    last.set(key, utc_timestamp);
    await tx.put("pending", { model, id, diff: { ...newDiff("create", model, bases.get(key) ?? row), utc_timestamp } });
  }
  for (const { seq, diff, ...object } of left) {
    // The server gives the changes of one object growing times only if they are in one request.
    const key = keyOf(object);
    const utc_timestamp = Math.max(diff.utc_timestamp, (last.get(key) ?? -1) + 1);
    last.set(key, utc_timestamp);
    if (bases.has(key)) await tx.put("pending", { ...object, diff: { ...diff, id: uuid(), utc_timestamp } });
    else await tx.put("pending", { ...object, diff: seq <= state.unanswered ? diff : { ...diff, utc_timestamp } });
  }
  const { syncedAt, person, owner, token, named, joined, life } = state;
  const kept = { syncedAt, person, owner, token, named, joined, life };
  await beginAnew(tx, { ...NEW_DEVICE, ...kept, isUnasked, deleted });
}

/**
 * Fetches everything again. The objects stay until the first answer is there, which replaces them.
 * @param {Tx} tx
 */
export async function refetchAll(tx) {
  await beginAnew(tx, { ...(await stateOf(tx)), clock: 0, head: "", goal: 1 });
  await dropCopy(tx);
}

/**
 * From now on everything goes out with the clock 0: it was made without knowledge of the past.
 * @param {Tx} tx @param {State} state
 */
async function beginAnew(tx, state) {
  let latest = -1;
  for (const { diff } of await tx.all("pending")) if (diff.utc_timestamp > latest) latest = diff.utc_timestamp;
  await tx.put("meta", { ...state, anew: true, heard: 0, latest });
}

/**
 * Before a request of a device that begins anew: a delete would find nothing that the device holds. It
 * waits, and is made again if its object comes back. One that was in a request without an answer stays.
 * @param {Tx} tx @param {State} state
 * @returns {Promise<State>}
 */
export async function withDeletesHeld(tx, state) {
  const deleted = await holdDeletes(tx, state.deleted, state.unanswered);
  if (deleted.length === state.deleted.length) return state;
  const held = { ...state, deleted };
  await tx.put("meta", held);
  return held;
}

/**
 * Takes deletes, with the earlier changes of their objects, out of what is pending.
 * @param {Tx} tx @param {State["deleted"]} deleted @param {number} [after]  only those of greater seq
 * @returns {Promise<State["deleted"]>}  with the objects that do not exist here any more
 */
async function holdDeletes(tx, deleted, after = 0) {
  /** @type {Pending[]} */
  const pending = await tx.all("pending");
  const deletes = pending.filter(({ diff, seq }) => diff.type === "delete" && seq > after);
  const last = new Map(deletes.map((entry) => [keyOf(entry), entry]));
  for (const entry of pending) {
    if (entry.seq <= (last.get(keyOf(entry))?.seq ?? 0)) await tx.delete("pending", entry.seq);
  }
  const gone = [...deleted];
  for (const { model, id } of last.values()) {
    await dropIdleBase(tx, model, id);
    if (!(await tx.get("objects", [model, id]))) gone.push([model, id]);
  }
  return gone;
}

/**
 * With the answer to everything that was pending: the device has nothing else.
 * @param {Tx} tx @param {Record<string, any>} defaults  of each model
 * @param {Set<string>} models  gets those that have changed
 */
export async function empty(tx, defaults, models) {
  await dropBases(tx);
  for (const { model, id } of await tx.all("objects")) {
    models.add(model);
    await tx.delete("objects", [model, id]);
  }
  for (const { model, id, diff } of await tx.all("pending")) {
    await keepBase(tx, model, id, undefined);
    const row = fold((await tx.get("objects", [model, id]))?.row, [diff], defaults[model]);
    if (row) await tx.put("objects", { model, id, row });
    else await tx.delete("objects", [model, id]);
  }
}

/** @param {{ model: string, id: string }} object */
const keyOf = ({ model, id }) => JSON.stringify([model, id]);
