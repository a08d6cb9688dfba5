// Setting aside: a change that failed moves to the refused ones, where the person can see it.

import { fold, parsed, uuid } from "./diffs.js";
import { baseOf, dropBase } from "./state.js";

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * Keeps a change that the server has refused, or that cannot be sent.
 * @param {Tx} tx @param {Pending} entry
 * @param {{ code: string, message: string, at: number, row?: import("./types.js").Row }} why
 * @returns {Promise<Pending[]>}  the later changes that depend on it
 */
export async function keepRefused(tx, { diff, model, id, seq }, why) {
  let fields = parsed(diff.json_data);
  const followers = [];
  if (diff.type === "create") {
    // Later changes of the object go with it: a person who mends the create wants them, too.
    for (const later of await tx.all("pending", model, id)) {
      if (later.seq <= seq) continue;
      if (later.diff.type === "create") break;
      followers.push(later);
      if (later.diff.type === "delete") break;
      fields = { ...fields, ...parsed(later.diff.json_data) };
    }
  }
  const name = typeof diff.id === "string" ? diff.id : uuid();
  await tx.put("refused", { id: name, diff, ...why, fields, seq });
  return followers;
}

/**
 * Removes a change that cannot be sent from the pending ones, and undoes it, since no answer will.
 * @param {Tx} tx @param {Pending} entry
 * @param {{ code: string, message: string, at: number }} why
 * @param {Record<string, any>} [defaults]
 * @returns {Promise<Pending[]>}  the later changes that went with it
 */
export async function setAside(tx, entry, why, defaults) {
  const { model, id, diff } = entry;
  const followers = await keepRefused(tx, entry, why);
  for (const { seq } of [entry, ...followers]) await tx.delete("pending", seq);
  const left = (await tx.all("pending", model, id)).map((later) => later.diff);
  const base = await baseOf(tx, model, id);
  if (base || diff.type === "create") {
    const row = fold(base?.row, left, defaults);
    if (row) await tx.put("objects", { model, id, row });
    else await tx.delete("objects", [model, id]);
  }
  if (left.length === 0) await dropBase(tx, model, id);
  return followers;
}
