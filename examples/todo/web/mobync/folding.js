// Folding: a value that the next change of the same object overwrites need not be sent.

import { amended, parsed } from "./diffs.js";
import { encode } from "./json.js";

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * Before an update is recorded: takes the fields that it names out of the updates of the object that stand
 * right before it and were in no request yet, and removes those that have no field left. Their times need
 * no change, since each is greater than the one before it anyway.
 * @param {Tx} tx @param {State} state @param {string} model @param {Record<string, any>} data
 * @returns {Promise<string[]>}  the ids of the updates that are left
 */
export async function foldPending(tx, { run, unanswered }, model, data) {
  if (run?.model !== model || run.id !== data.id) return [];
  const left = [];
  for (const entry of /** @type {Pending[]} */ (await tx.all("pending", model, data.id))) {
    if (!run.diffs.includes(entry.diff.id) || entry.seq <= unanswered) continue;
    const fields = Object.entries(parsed(entry.diff.json_data));
    const kept = fields.filter(([field]) => field === "id" || !Object.hasOwn(data, field));
    if (kept.length === 1) await tx.delete("pending", entry.seq);
    else left.push(entry.diff.id);
    if (kept.length === 1 || kept.length === fields.length) continue;
    await tx.put("pending", amended(entry, { ...entry.diff, json_data: encode(Object.fromEntries(kept)) }));
  }
  return left;
}
