// After an update of the app: the device was never sent what its old version did not have. So everything is
// fetched once more, in pages, into rows beside the device's own, while the person works and it syncs as ever.

import { canonical } from "./check.js";
import { filled, fold } from "./diffs.js";
import { encode } from "./json.js";
import { keepLeft, settle } from "./settling.js";
import { baseOf, dropBase, keepBase, stateOf, storedSchema } from "./state.js";

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Tx} Tx */
/** @typedef {import("./types.js").Copy} Copy */

/** @type {Copy} */
const EMPTY = { clock: 0, head: "" };

/** @param {Tx} tx @param {Copy | null} copy */
const put = async (tx, copy) => tx.put("meta", { ...(await storedSchema(tx)), copy });

/** @param {Tx} tx @param {Copy | null} copy */
async function restart(tx, copy) {
  for (const { model, id } of await tx.all("beside")) await tx.delete("beside", [model, id]);
  await put(tx, copy);
}

/** The data has this version from now on. @param {Tx} tx @param {number} version */
export async function beginCopy(tx, version) {
  await tx.put("meta", { ...(await storedSchema(tx)), version });
  // What is fetched from the clock 0 comes by the names of this version anyway.
  await restart(tx, (await stateOf(tx)).clock > 0 ? EMPTY : null);
}

/** The device itself begins anew. @param {Tx} tx */
export async function dropCopy(tx) {
  if ((await storedSchema(tx)).copy) await restart(tx, null);
}

/** The server does not go on from the clock of the copy. @param {Tx} tx @param {Copy} asked */
export async function copyAgain(tx, asked) {
  if ((await storedSchema(tx)).copy?.clock === asked.clock) await restart(tx, EMPTY);
}

/**
 * Applies a page to the rows beside, unless another tab was quicker. Its diffs tell the owner, if nobody knows yet.
 * @param {Tx} tx @param {any} options @param {Copy} asked @param {import("./answer.js").Answer} page
 */
export async function applyPage(tx, { models, names }, asked, { logical_clock: clock, head, diffs }) {
  if ((await storedSchema(tx)).copy?.clock !== asked.clock) return;
  for (const sent of diffs) {
    const diff = names.diff(sent);
    if (!diff) continue;
    const { model } = diff;
    const { id } = JSON.parse(diff.json_data);
    const before = (await tx.get("beside", [model, id]))?.row;
    const { row } = settle(before, [], diff, models[model]);
    if (row) await tx.put("beside", { model, id, row });
    else await tx.delete("beside", [model, id]);
  }
  const state = await stateOf(tx);
  if (state.owner === null && diffs.length > 0) await tx.put("meta", { ...state, owner: diffs[0].owner });
  await put(tx, { clock, head: head ?? (clock > asked.clock ? "" : asked.head) });
}

/**
 * Once the copy is at the device's clock, it takes the place of its rows, with what is pending done to it again.
 * @param {Tx} tx @param {any} options
 * @param {Set<string>} changed  gets the models that have changed
 */
export async function swap(tx, { models }, changed) {
  const { copy } = await storedSchema(tx);
  const { clock, goal, anew, unanswered } = await stateOf(tx);
  const [first] = await tx.first("pending", 1);
  const isAsked = (first?.seq ?? Infinity) <= unanswered; // the copy may have it
  if (copy?.clock !== clock || clock < goal || anew || isAsked) return;
  /** @type {Map<string, { model: string, id: string, row: Row | undefined }>} */
  const rows = new Map();
  for (const { model, id, row } of await tx.all("beside")) rows.set(keyOf(model, id), { model, id, row });
  /** @type {Map<string, Pending[]>} */
  const pending = new Map();
  for (const entry of await tx.all("pending")) {
    const key = keyOf(entry.model, entry.id);
    pending.set(key, [...(pending.get(key) ?? []), entry]);
  }
  for (const [key, entries] of pending) {
    const [{ model, id }] = entries;
    rows.set(key, { model, id, row: await redone(tx, entries, rows.get(key)?.row, models[model]) });
  }
  const text = (/** @type {string} */ model, /** @type {Row} */ row) => canonical(filled(row, models[model]));
  for (const { model, id, row: before } of await tx.all("objects")) {
    const key = keyOf(model, id);
    // Nothing was deleted that the device does not know of: the model of a missing row was removed on the server.
    if (!rows.has(key)) continue;
    const now = rows.get(key)?.row;
    // A field that has its default is the same to whoever reads it, but not to whoever compares with the server.
    if (!now || text(model, now) !== text(model, before)) changed.add(model);
    if (now && canonical(now) !== canonical(before)) await tx.put("objects", { model, id, row: now });
    else if (!now) await tx.delete("objects", [model, id]);
    rows.delete(key);
  }
  for (const { model, id, row } of rows.values()) {
    if (!row) continue;
    changed.add(model);
    await tx.put("objects", { model, id, row });
  }
  await restart(tx, null);
}

/**
 * The row of the copy with what is pending done to it. What the device has never seen meets it as if it had come
 * with an answer, earlier than all that is pending: another object of the same id.
 * @param {Tx} tx @param {Pending[]} pending  of the object @param {Row | undefined} copied
 * @param {Record<string, any>} defaults
 */
async function redone(tx, pending, copied, defaults) {
  const [{ model, id, diff }] = pending;
  const had = (await baseOf(tx, model, id))?.row;
  const current = (await tx.get("objects", [model, id]))?.row;
  const base = copied ?? had;
  const unseen = { ...diff, type: "create", utc_timestamp: -1, json_data: encode(base ?? { id }) };
  const diffs = pending.map((entry) => entry.diff);
  const { row, left } =
    base && !had
      ? settle(current, pending, /** @type {any} */ (unseen), defaults)
      : { row: fold(base, diffs, defaults), left: pending };
  await keepLeft(tx, pending, left);
  if (left.length > 0) await keepBase(tx, model, id, base);
  else await dropBase(tx, model, id);
  return row;
}

/** @param {string} model @param {string} id */
const keyOf = (model, id) => JSON.stringify([model, id]);
