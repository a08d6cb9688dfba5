// For a server that was restored from a backup: it gets all that this device has.

import { newDiff } from "./diffs.js";
import { NEW_DEVICE, dropBases, stateOf } from "./state.js";

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * Makes a new device of this one, with a create for each of its objects in front of what is pending.
 * The database as it was is kept as `backup` in the table `meta`.
 * @param {Tx} tx @param {number} at
 */
export async function beginAnew(tx, at) {
  const state = await stateOf(tx);
  /** @type {Pending[]} */
  const pending = await tx.all("pending");
  const objects = await tx.all("objects");
  await tx.put("meta", { key: "backup", at, state, pending, objects });

  const object = (/** @type {{ model: string, id: string }} */ { model, id }) => JSON.stringify([model, id]);
  const deleted = new Map(pending.filter(({ diff }) => diff.type === "delete").map((entry) => [object(entry), entry]));
  const left = pending.filter((entry) => entry.seq > (deleted.get(object(entry))?.seq ?? -1));
  const begun = new Set(left.filter(({ diff }) => diff.type === "create").map(object));
  const there = new Set(objects.map(object));
  for (const { seq } of pending) await tx.delete("pending", seq);
  await dropBases(tx);
  for (const { model, id, row } of objects.filter((value) => !begun.has(object(value)))) {
    const diff = { ...newDiff("create", model, row), utc_timestamp: state.syncedAt ?? 0 };
    await tx.put("pending", { model, id, diff });
  }
  for (const { seq, ...entry } of left) await tx.put("pending", entry);
  /** @type {[string, string][]} */
  const gone = [...deleted].filter(([key]) => !there.has(key)).map(([, { model, id }]) => [model, id]);
  const { syncedAt, person, owner } = state;
  await tx.put("meta", { ...NEW_DEVICE, syncedAt, person, owner, deleted: gone });
}
