// Folding: a value that the next change of the same object overwrites need not be sent.

import { parsed } from "./diffs.js";
import { encode } from "./json.js";

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * Before an update is recorded: takes the fields that it names out of the updates of the object that stand
 * right before it and were in no request yet, and removes those that have no field left. The times of
 * changes grow here anyway, so none has to be changed.
 * @param {Tx} tx @param {State} state @param {string} model @param {Record<string, any>} data
 * @returns {Promise<number>}  how many of these updates are left
 */
export async function foldPending(tx, { run, unanswered }, model, data) {
  const isSame = run !== null && run.model === model && run.id === data.id && run.count > 0;
  /** @type {Pending[]} */
  const last = isSame ? (await tx.all("pending", model, data.id)).slice(-run.count).reverse() : [];
  let left = 0;
  for (const entry of last) {
    if (entry.diff.type !== "update" || entry.seq <= unanswered) break;
    const fields = Object.entries(parsed(entry.diff.json_data));
    const kept = fields.filter(([field]) => field === "id" || !Object.hasOwn(data, field));
    if (kept.length === 1) await tx.delete("pending", entry.seq);
    else left += 1;
    if (kept.length === 1 || kept.length === fields.length) continue;
    await tx.put("pending", { ...entry, diff: { ...entry.diff, json_data: encode(Object.fromEntries(kept)) } });
  }
  return left;
}
