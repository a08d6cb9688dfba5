// Updating the app: what is stored by the names of an earlier version of the schema gets those of this one.

import { beginCopy } from "./beside.js";
import { amended, parsed } from "./diffs.js";
import { MobyncError, newerData } from "./errors.js";
import { dropIdleBase, stateOf, storedSchema } from "./state.js";

/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").Store} Store */
/** @typedef {import("./types.js").Tx} Tx */

/** @param {Tx} tx @param {number} version  of the app */
async function checkVersion(tx, version) {
  const stored = await storedSchema(tx);
  if (stored.isGone) throw new MobyncError("database_gone", "What was stored on this device has been deleted.");
  if (stored.version > version) throw newerData();
  return stored;
}

/**
 * The store, but all fails with `newer_data` as soon as a newer app, in another tab, has updated the data.
 * @param {Store} store @param {number} version
 * @returns {Store}
 */
export const guarded = (store, version) => ({
  name: store.name,
  close: () => store.close(),
  destroy: () => store.destroy(),
  read: (work) => store.read(async (tx) => (await checkVersion(tx, version), work(tx))),
  write: (work, durable) => store.write(async (tx) => (await checkVersion(tx, version), work(tx)), durable),
});

/**
 * Updates what is stored, in this transaction. Ids stay: a change that the server has accepted by its old
 * names counts once.
 * @param {Tx} tx @param {any} options
 * @returns {Promise<number>}  the version that it had
 */
export async function update(tx, { names }) {
  const { version } = await checkVersion(tx, names.version);
  if (version === names.version) return version;
  const state = await stateOf(tx);
  for (const stored of await tx.all("objects")) {
    const [model, row] = [names.model(stored.model), names.fields(stored.model, stored.row)];
    if (model === stored.model && row === stored.row) continue;
    if (model !== stored.model) await tx.delete("objects", [stored.model, stored.id]);
    if (model !== undefined) await tx.put("objects", { model, id: stored.id, row });
  }
  for (const { key, ...stored } of await tx.all("meta")) {
    if (!Array.isArray(key)) continue;
    const [kind, old, id] = key;
    const model = names.model(old);
    await tx.delete("meta", key);
    if (model === undefined) continue;
    if (stored.row) stored.row = names.fields(old, stored.row);
    if (stored.diffs) stored.diffs = stored.diffs.map(names.diff.bind(names)).filter(Boolean);
    await tx.put("meta", { ...stored, key: [kind, model, id] });
  }
  for (const entry of await tx.all("pending")) await updatePending(tx, names, entry, state.unanswered);
  for (const refused of await tx.all("refused")) {
    // The person may not have seen it yet, even if nothing is left of it.
    const model = names.model(refused.diff.model);
    if (model === undefined) continue;
    const [diff, fields] = [names.diff(refused.diff), names.fields(refused.diff.model, refused.fields)];
    const row = refused.row && names.fields(refused.diff.model, refused.row);
    await tx.put("refused", { ...refused, diff: diff ?? { ...refused.diff, model }, fields, ...(row && { row }) });
  }
  for (const lost of await tx.all("overridden")) {
    const [model, fields] = [names.model(lost.model), names.fields(lost.model, lost.fields)];
    const isLeft = model !== undefined && Object.keys(fields).length > 0;
    const row = lost.row && names.fields(lost.model, lost.row);
    if (isLeft) await tx.put("overridden", { ...lost, model, fields, row });
    else await tx.delete("overridden", lost.id);
  }
  const run = state.run && { ...state.run, model: names.model(state.run.model) };
  const deleted = state.deleted.map(([model, id]) => [names.model(model), id]).filter(([model]) => model !== undefined);
  // No server shows a create of a removed model any more: it cannot tell the owner.
  let { mark } = state;
  if (mark?.model !== undefined) {
    const model = names.model(mark.model);
    mark = model === undefined ? null : { ...mark, model };
  }
  await tx.put("meta", { ...state, run: run?.model === undefined ? null : run, mark, deleted });
  await beginCopy(tx, names.version);
  return version;
}

/**
 * A change that was in a request without an answer is `sent` again as it was: the server may know it, and may be
 * older than the app. Of the others, one that nothing is left of goes.
 * @param {Tx} tx @param {import("./schema.js").Schema} names @param {Pending} entry @param {number} unanswered
 */
async function updatePending(tx, names, entry, unanswered) {
  const { seq, id, diff: before } = entry;
  const diff = names.diff(before);
  if (diff === before) return;
  const model = names.model(entry.model) ?? entry.model;
  if (seq <= unanswered) {
    const nothing = { ...before, type: /** @type {const} */ ("update"), model, json_data: JSON.stringify({ id }) };
    return tx.put("pending", { ...entry, model, diff: diff ?? nothing, sent: entry.sent ?? before });
  }
  if (diff) return tx.put("pending", { ...amended(entry, diff), model });
  await tx.delete("pending", seq);
  await dropIdleBase(tx, model, id);
}

/**
 * No request has had these changes: they go out by the names of now. One that nothing is left of goes.
 * @param {Tx} tx @param {Pending[]} pending
 */
export async function forgetSent(tx, pending) {
  for (const entry of pending) {
    if (!entry.sent) continue;
    const { seq, model, id, diff } = entry;
    const isNothing = diff.type === "update" && Object.keys(parsed(diff.json_data)).length === 1;
    if (!isNothing) await tx.put("pending", amended(entry));
    else {
      await tx.delete("pending", seq);
      await dropIdleBase(tx, model, id);
    }
  }
}
