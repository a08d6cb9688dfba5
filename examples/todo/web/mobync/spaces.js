// Which spaces a person has: joining and leaving them, and following a list of them.

import { keepRefused } from "./aside.js";
import { filled, uuid } from "./diffs.js";
import { NEW_DEVICE, baseOf, stateOf } from "./state.js";
import { wrongName } from "./values.js";

/** @typedef {import("./types.js").Tx} Tx */

/** @type {import("./types.js").Table[]} */
export const TABLES = ["objects", "beside", "pending", "refused", "overridden", "meta"];

/**
 * The names of all spaces that are joined or that the person should hear of; those of the list that is followed,
 * and what it was.
 * @param {Tx} tx
 * @returns {Promise<{ key: "spaces", names: string[], listed: string[], list: string }>}
 */
const known = async (tx) => (await tx.get("meta", "spaces")) ?? { key: "spaces", names: [], listed: [], list: "" };

/** @param {Tx} tx @returns {Promise<string[]>} */
export const spacesOf = async (tx) => (await known(tx)).names;

/** @param {Tx} tx @returns {Promise<import("./types.js").SpaceEntry[]>} */
export async function listed(tx) {
  const list = [];
  for (const space of await spacesOf(tx)) {
    const of = tx.of(space);
    const { joined, left } = await stateOf(of);
    list.push(joined ? { space, joined } : { space, joined, message: left ?? "", refused: await of.count("refused") });
  }
  return list;
}

/** The number of changes that are not on the server, with those set aside when a space was left. @param {Tx} tx */
export async function unsent(tx) {
  let count = 0;
  for (const space of ["", ...(await spacesOf(tx))]) {
    const of = tx.of(space);
    const refused = await of.all("refused");
    count += (await of.count("pending")) + refused.filter(({ code }) => code === "no_member").length;
  }
  return count;
}

/**
 * Adds a space, as a new device. What was set aside when it was left stays so.
 * @param {Tx} tx @param {string} space @param {number} version  of the schema
 */
export async function join(tx, space, version) {
  const [all, of] = [await known(tx), tx.of(space)];
  if ((await stateOf(of)).joined) return;
  for (const table of TABLES) if (table !== "refused") await of.clear(table);
  await of.put("meta", { ...NEW_DEVICE, joined: true, life: uuid() });
  await of.put("meta", { key: "schema", version, copy: null });
  if (!all.names.includes(space)) await tx.put("meta", { ...all, names: [...all.names, space] });
}

/**
 * Removes what the device has of a space, and sets aside what is not sent. The person hears of it unless they
 * wanted it, and nothing was set aside.
 * @param {Tx} tx @param {string} space @param {{ message: string, at: number }} why @param {boolean} [isWanted]
 */
export async function leave(tx, space, why, isWanted = false) {
  const of = tx.of(space);
  if (!(await stateOf(of)).joined) return;
  const gone = new Set();
  for (const entry of await of.all("pending")) {
    const { seq, model, id } = entry;
    if (gone.has(seq)) continue;
    // The fields that were changed may not tell which object it was.
    const { row } = (await of.get("objects", [model, id])) ?? (await baseOf(of, model, id)) ?? {};
    for (const later of await keepRefused(of, entry, { code: "no_member", ...why, row })) gone.add(later.seq);
  }
  for (const table of TABLES) if (table !== "refused") await of.clear(table);
  if (isWanted && (await of.count("refused")) === 0) return forget(tx, space);
  await of.put("meta", { ...NEW_DEVICE, left: why.message });
}

/**
 * The person has seen why a space is gone, or what was set aside. What is joined stays, and the person's own data ("").
 * @param {Tx} tx @param {string} space
 */
export async function forget(tx, space) {
  const [all, of] = [await known(tx), tx.of(space)];
  await of.clear("refused");
  await of.clear("overridden");
  if (space === "" || (await stateOf(of)).joined) return;
  await of.clear("meta");
  await tx.put("meta", { ...all, names: all.names.filter((name) => name !== space) });
}

/**
 * The list that is followed, as text and as names, as the server has acknowledged it; and whether it is whole: while
 * pages come, more may be on its way.
 * @param {Tx} tx @param {any} options
 */
async function listIn(tx, { spaces: { model, field }, models }) {
  const { clock, goal, anew } = await stateOf(tx);
  const rows = new Map((await tx.all("objects", model)).map(({ id, row }) => [id, row]));
  for (const { id } of await tx.all("pending", model)) {
    const base = await baseOf(tx, model, id);
    if (base) rows.set(id, base.row);
  }
  const entries = [...rows].filter(([, row]) => row).map(([id, row]) => [id, filled(row, models[model])[field]]);
  const list = JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  const names = [...new Set(entries.map(([, space]) => space).filter((space) => !wrongName(space)))];
  return { list, names, isWhole: clock >= goal && !anew };
}

/** Whether there is nothing to follow. @param {Tx} tx @param {any} options */
export async function isFollowed(tx, options) {
  const { list, isWhole } = await listIn(tx, options);
  return !isWhole || (await known(tx)).list === list;
}

/**
 * Joins the spaces that a model of the person's own data lists, and leaves those that it does not list any more. One
 * that has said that the person is no member is joined again when the list has changed, or the app starts.
 * @param {Tx} tx @param {any} options @param {boolean} isStart
 */
export async function follow(tx, options, isStart) {
  if (!options.spaces) return;
  const before = await known(tx);
  const { list, names, isWhole } = await listIn(tx, options);
  if (!isWhole || (!isStart && list === before.list)) return;
  for (const space of names) await join(tx, space, options.names.version);
  for (const space of before.listed.filter((name) => !names.includes(name))) {
    await leave(tx, space, { message: `You are not in ${space} any more.`, at: options.now() });
  }
  if (list !== before.list) await tx.put("meta", { ...(await known(tx)), listed: names, list });
}
