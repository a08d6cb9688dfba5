// Changes in flight: an answer meets what was recorded while it was under way.

import { parsed } from "./diffs.js";

/** @typedef {import("./types.js").Diff} Diff */
/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Pending} Pending */

/**
 * Settles one diff of an answer with the changes of its object that were not in the request: the
 * protocol's table "Changes in flight". A delete wins; of two values that of the greater time, on a
 * tie the pending one.
 *
 * @param {Row | undefined} row  the object as it is here, with the pending changes in it
 * @param {Pending[]} left  the object's pending changes, in the order made
 * @param {Diff} diff  what the answer brings
 * @param {Record<string, any>} defaults  of the model's columns
 * @returns {{ row: Row | undefined, left: Pending[] }}  what both become
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
    // Made and deleted before anybody heard of it.
    left = left.slice(left.findIndex(is("delete")) + 1);
  }
  if (left.some(is("delete"))) return { row, left };
  const [, rest] = meet(data, left, diff.utc_timestamp);
  // The object is there now: what is left of our own create is a change of it.
  rest.forEach((entry, place) => {
    if (is("create")(entry)) rest[place] = { ...entry, diff: { ...entry.diff, type: "update" } };
  });
  const ours = rest.map((entry) => parsed(entry.diff.json_data));
  return { row: ours.reduce((made, own) => ({ ...made, ...own }), { ...defaults, ...data }), left: rest };
}

/**
 * Which values of the answer win, and the pending changes without the values that lose.
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
    // The server gives the changes of one object growing times.
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
    return [{ ...entry, diff: { ...entry.diff, json_data: JSON.stringify(Object.fromEntries(kept)) } }];
  });
  return [won, rest];
}
