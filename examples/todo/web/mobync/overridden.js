// What lost: values that are on the server no more, because others' values stand in their place.

import { defaultsOf } from "./changes.js";
import { canonical } from "./check.js";
import { filled, parsed } from "./diffs.js";
import { MobyncError } from "./errors.js";

/** @typedef {import("./types.js").Overridden} Overridden */
/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").Tx} Tx */

/** So many are kept for the person, the newest. */
const MOST = 1000;

/**
 * Keeps what an answer reports, before its diffs are applied: of each object one entry, with the last
 * values that were sent. A value that the person has replaced since is no loss.
 * @param {Tx} tx @param {import("./schema.js").Schema} names
 * @param {import("./answer.js").Answer["overridden"]} overridden @param {Pending[]} sent @param {number} at
 */
export async function keepOverridden(tx, names, overridden, sent, at) {
  /** @type {Map<string, Overridden>} */
  const lost = new Map();
  for (const { diff, model, id, seq } of sent) {
    const report = overridden.find(({ diff_id }) => diff_id === diff.id);
    if (!report || names.model(model) === undefined) continue; // an update of the app has removed the model
    const key = JSON.stringify([model, id]);
    const fields = { ...lost.get(key)?.fields, ...names.fields(model, report.fields) };
    for (const later of await tx.all("pending", model, id)) {
      for (const field of Object.keys(parsed(later.diff.json_data))) delete fields[field];
    }
    if (Object.keys(fields).length === 0) continue;
    const row = (await tx.get("objects", [model, id]))?.row;
    lost.set(key, { id: diff.id, model, object: id, fields, row, at, seq });
  }
  for (const entry of lost.values()) await tx.put("overridden", entry);
  const tooMany = (await tx.count("overridden")) - MOST;
  if (tooMany <= 0) return;
  const oldest = (await tx.all("overridden")).sort((a, b) => a.seq - b.seq).slice(0, tooMany);
  for (const { id } of oldest) await tx.delete("overridden", id);
}

/**
 * Makes the person's values again where what has overridden them still stands: what anybody has written
 * since stays. An object that was deleted, and is still not there, is made anew.
 * @param {Tx} tx @param {any} options @param {import("./changes.js").Changes} changes @param {string} diffId
 */
export async function putBack(tx, options, changes, diffId) {
  /** @type {Overridden | undefined} */
  const lost = await tx.get("overridden", diffId);
  if (!lost) throw new MobyncError("not_there", "This change has been looked after already.");
  await tx.delete("overridden", diffId);
  const { model, object: id, row } = lost;
  const object = await tx.get("objects", [model, id]);
  const current = object && filled(object.row, defaultsOf(options, model));
  const isAsReported = (/** @type {[string, Overridden["fields"][string]]} */ [field, { stands }]) =>
    current ? stands !== undefined && canonical(current[field]) === canonical(stands) : stands === undefined;
  const left = Object.entries(lost.fields).filter(isAsReported);
  if (left.length === 0) return;
  const mine = Object.fromEntries(left.map(([field, { sent }]) => [field, sent]));
  if (current) await changes.update(model, id, mine);
  else await changes.create(model, { ...row, ...mine, id });
}
