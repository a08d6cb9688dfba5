// Applying an answer, in the transaction that stores its clock.

import { empty } from "./anew.js";
import { keepRefused } from "./aside.js";
import { Changes } from "./changes.js";
import { fold } from "./diffs.js";
import { hold, release } from "./holding.js";
import { keepOverridden } from "./overridden.js";
import { keepLeft, settle } from "./settling.js";
import { baseOf, dropBase, dropIdleBase, keepBase, stateOf } from "./state.js";
import { markOf } from "./tokens.js";

/** @typedef {import("./answer.js").Answer} Answer */
/** @typedef {import("./types.js").Diff} Diff */
/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * Applies the answer to a request, unless another tab was quicker, or has sent what this answer knows
 * nothing about.
 * @param {Tx} tx @param {any} options @param {Set<string>} models  gets those that have changed
 * @param {{ asked: State, sent: Pending[], isAll: boolean, answer: Answer, token: string | null }} exchange  if not
 *   `isAll`, the answer only acknowledges what was sent
 * @returns {Promise<boolean>}  whether there is more to fetch or to send
 */
export async function apply(tx, options, models, { asked, sent, isAll, answer, token }) {
  const state = await stateOf(tx);
  if (state.clock !== asked.clock || state.unanswered !== asked.unanswered) return true;
  const at = options.now();
  if (state.anew && isAll) await empty(tx, options.models, models);
  // One that is there by now was made again here.
  const [, deleted] = await parted(tx, state.deleted);

  const refusedIds = new Set(answer.refused.map(({ diff_id }) => diff_id));
  for (const { diff_id, code, message } of answer.refused) {
    const entry = sent.find(({ diff }) => diff.id === diff_id);
    if (entry) await keepRefused(tx, entry, { code, message, at });
  }
  for (const { seq, model } of sent) {
    models.add(model);
    await tx.delete("pending", seq);
  }
  await keepOverridden(tx, options.names, answer.overridden, sent, at);
  for (const entry of sent) {
    if (!refusedIds.has(entry.diff.id)) await advance(tx, options, entry.diff, entry.id);
  }
  const { logical_clock: clock, more: goal = clock } = answer;
  for (const received of isAll ? answer.diffs : []) {
    const diff = options.names.diff(received); // the server may be older than the app
    if (!diff) continue;
    models.add(diff.model);
    await applyDiff(tx, options, diff, state.clock < state.goal || clock < goal);
  }
  for (const diff of clock < goal || !isAll ? [] : await release(tx)) await applyDiff(tx, options, diff);
  for (const { model, id } of sent) await dropIdleBase(tx, model, id);

  const owner = state.owner ?? answer.owner ?? answer.diffs[0]?.owner ?? null;
  const named = answer.owner === undefined ? null : markOf(token);
  const all = { ...state, owner, named, mark: state.mark, token: markOf(token), failures: 0 };
  for (const { diff, model, id } of state.anew || owner !== null ? [] : sent) {
    const isMade = diff.type === "create" && !refusedIds.has(diff.id) && (await tx.get("objects", [model, id]));
    if (isMade) all.mark = { id: diff.id, model, from: asked.clock, to: clock };
  }
  if (!isAll) {
    await tx.put("meta", { ...all, heard: clock });
    return true;
  }
  const [back, away] = await parted(tx, deleted);
  const now = {
    ...all,
    clock,
    goal,
    anew: false,
    isUnasked: false,
    // A server that moves on and names no head knows of none: the one from before is not of this clock.
    head: answer.head ?? (clock > state.clock ? "" : state.head),
    syncedAt: goal > clock ? state.syncedAt : at,
    deleted: goal > clock ? away : [],
  };
  await tx.put("meta", now);
  const changes = new Changes(tx, options, models);
  for (const [model, id] of back) await changes.delete(model, id);
  return goal > clock || (await tx.count("pending")) > 0;
}

/**
 * @param {Tx} tx @param {State["deleted"]} objects
 * @returns {Promise<State["deleted"][]>}  those that exist here, and those that do not
 */
async function parted(tx, objects) {
  /** @type {State["deleted"][]} */
  const parts = [[], []];
  for (const object of objects) parts[(await tx.get("objects", object)) ? 0 : 1].push(object);
  return parts;
}

/** @param {Tx} tx @param {any} options @param {Diff} diff @param {boolean} [isPage]  and may have to wait */
async function applyDiff(tx, options, diff, isPage = false) {
  const { model } = diff;
  const { id } = JSON.parse(diff.json_data);
  /** @type {Pending[]} */
  const left = await tx.all("pending", model, id);
  if (isPage && left.length > 0) {
    await hold(tx, diff, id);
    return advance(tx, options, diff, id);
  }
  const before = (await tx.get("objects", [model, id]))?.row;
  const after = settle(before, left, diff, options.models[model]);
  if (after.row) await tx.put("objects", { model, id, row: after.row });
  else await tx.delete("objects", [model, id]);
  if (left.length > 0) await advance(tx, options, diff, id);
  await keepLeft(tx, left, after.left);
  if (left.length > 0 && after.left.length === 0) await dropBase(tx, model, id);
}

/**
 * The object's base, if it has one, becomes what the server has.
 * @param {Tx} tx @param {any} options @param {Diff} diff @param {string} id
 */
async function advance(tx, options, diff, id) {
  const base = await baseOf(tx, diff.model, id);
  if (base) await keepBase(tx, diff.model, id, fold(base.row, [diff], options.models[diff.model]));
}
