// Changes in flight: merging an answer with changes that were not in its request.

import { amended, parsed } from "./diffs.js";

/** @typedef {import("./types.js").Diff} Diff */
/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Pending} Pending */

/**
 * Merges one diff of an answer with the pending changes of its object, by the table "Changes in flight" of
 * the protocol. A delete wins. Of two values, the later one wins; on a tie the pending one.
 *
 * @param {Row | undefined} row  the object, with the pending changes applied
 * @param {Pending[]} left  the object's pending changes, in the order made
 * @param {Diff} diff  of the answer
 * @param {Record<string, any>} defaults  of the model's columns
 * @returns {{ row: Row | undefined, left: Pending[] }}  the new row, and the changes that stay pending
 */
export function settle(row, left, diff, defaults = {}) {
  const data = JSON.parse(diff.json_data);
  const is = (/** @type {string} */ type) => (/** @type {Pending} */ entry) => entry.diff.type === type;

  if (diff.type === "delete") {
    const made = left.findIndex(is("create"));
    return made < 0 ? { row: undefined, left: [] } : { row, left: left.slice(made) };
  }
  if (diff.type === "update") {
    if (left.some(is("delete")) || !row) return { row, left };
    const [won, rest] = meet(data, left, diff.utc_timestamp);
    return { row: { ...row, ...won }, left: rest };
  }
  while (left.length > 0 && is("create")(left[0]) && left.some(is("delete"))) {
    // Created and deleted before it was ever sent.
    left = left.slice(left.findIndex(is("delete")) + 1);
  }
  if (left.some(is("delete"))) return { row, left };
  const [, rest] = meet(data, left, diff.utc_timestamp);
  // The object exists now, so what is left of the pending create is an update.
  rest.forEach((entry, place) => {
    if (is("create")(entry)) rest[place] = amended(entry, { ...entry.diff, type: "update" });
  });
  const ours = rest.map((entry) => parsed(entry.diff.json_data));
  return { row: ours.reduce((made, own) => ({ ...made, ...own }), { ...defaults, ...data }), left: rest };
}

/**
 * Stores the changes that stay pending.
 * @param {import("./types.js").Tx} tx @param {Pending[]} before @param {Pending[]} after
 */
export async function keepLeft(tx, before, after) {
  const kept = new Map(after.map((entry) => [entry.seq, entry]));
  for (const entry of before) {
    const now = kept.get(entry.seq);
    if (!now) await tx.delete("pending", entry.seq);
    else if (now !== entry) await tx.put("pending", now);
  }
}

/**
 * Returns the values of the answer that win, and the pending changes without those that lose.
 * @param {Row} data
 * @param {Pending[]} left
 * @param {number} time
 * @returns {[Record<string, any>, Pending[]]}
 */
function meet(data, left, time) {
  /** @type {Map<string, number>} */
  const written = new Map();
  let last = -Infinity;
  for (const { diff } of left) {
    // The server gives the changes of one object strictly increasing times.
    last = Math.max(diff.utc_timestamp, last + 1);
    for (const field of Object.keys(parsed(diff.json_data))) written.set(field, last);
  }
  const wins = (/** @type {string} */ field) => field !== "id" && time > (written.get(field) ?? -Infinity);
  const won = Object.fromEntries(Object.entries(data).filter(([field]) => wins(field)));
  const rest = left.flatMap((entry) => {
    const fields = Object.entries(parsed(entry.diff.json_data));
    const kept = fields.filter(([field]) => !Object.hasOwn(won, field));
    if (kept.length === fields.length) return [entry];
    if (kept.length === 1) return []; // the id alone
    return [amended(entry, { ...entry.diff, json_data: JSON.stringify(Object.fromEntries(kept)) })];
  });
  return [won, rest];
}
