// A person's changes, each written together with its diff in one transaction.

import { filled, newDiff, uuid } from "./diffs.js";
import { MobyncError } from "./errors.js";
import { foldPending } from "./folding.js";
import { bytesOf } from "./json.js";
import { keepBase, stateOf } from "./state.js";
import { checkedFields, checkedId, isPlain, tooLarge } from "./values.js";

/** @typedef {import("./types.js").Diff} Diff */
/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Tx} Tx */

/** The changes of one transaction; see `Mobync.change`. */
export class Changes {
  #tx;
  #options;
  #models;

  /** @param {Tx} tx @param {any} options @param {Set<string>} models  gets those that have changed */
  constructor(tx, options, models) {
    this.#tx = tx;
    this.#options = options;
    this.#models = models;
  }

  /** @param {string} model @param {Record<string, any>} fields @returns {Promise<Row>} */
  async create(model, fields) {
    const defaults = defaultsOf(this.#options, model);
    const id = checkedId(fields?.id === undefined ? uuid() : fields.id);
    // An undefined id counts as missing; any other undefined field is an error.
    const data = /** @type {Row} */ (checkedFields(isPlain(fields) ? { ...fields, id } : fields));
    if (await this.#tx.get("objects", [model, id])) {
      throw new MobyncError("exists", `There is an object ${id} in ${model} already.`);
    }
    // Updates of an object that has not come back after the device began anew were made to another life.
    const orphans = await this.#tx.all("pending", model, id);
    const isUpdate = (/** @type {import("./types.js").Pending} */ { diff }) => diff.type === "update";
    for (const { seq } of orphans.every(isUpdate) ? orphans : []) await this.#tx.delete("pending", seq);
    const row = filled(data, defaults);
    await this.#record("create", model, data, undefined);
    await this.#tx.put("objects", { model, id, row });
    return row;
  }

  /** @param {string} model @param {string} id @param {Record<string, any>} fields @returns {Promise<Row>} */
  async update(model, id, fields) {
    const defaults = defaultsOf(this.#options, model);
    const stored = await this.#row(model, id);
    const before = filled(stored, defaults);
    const differs = (/** @type {[string, any]} */ [field, value]) =>
      field !== "id" && JSON.stringify(before[field]) !== JSON.stringify(value);
    const changed = Object.fromEntries(Object.entries(checkedFields(fields)).filter(differs));
    if (Object.keys(changed).length === 0) return before;
    // Defaults are for the reader only: the server may have other values, which the device never got.
    const row = { ...stored, ...changed };
    await this.#record("update", model, { id, ...changed }, stored);
    await this.#tx.put("objects", { model, id, row });
    return filled(row, defaults);
  }

  /** @param {string} model @param {string} id @returns {Promise<Row>} */
  async delete(model, id) {
    const defaults = defaultsOf(this.#options, model);
    const row = await this.#row(model, id);
    await this.#record("delete", model, { id }, row);
    await this.#tx.delete("objects", [model, id]);
    return filled(row, defaults);
  }

  /** The row as it is stored. @param {string} model @param {string} id @returns {Promise<Row>} */
  async #row(model, id) {
    const found = await this.#tx.get("objects", [model, checkedId(id)]);
    if (!found) throw new MobyncError("not_there", `There is no object ${id} in ${model} any more.`);
    return found.row;
  }

  /** @param {Diff["type"]} type @param {string} model @param {any} data @param {Row | undefined} before */
  async #record(type, model, data, before) {
    const { id } = data;
    const earlier = (await this.#tx.all("pending", model, id)).at(-1)?.diff.utc_timestamp ?? -1;
    const state = await stateOf(this.#tx);
    // What goes out with the clock 0 in several requests has only its times.
    const last = state.anew ? Math.max(earlier, state.latest) : earlier;
    const utc_timestamp = Math.max(Math.floor(this.#options.now()), last + 1);
    const diff = { ...newDiff(type, model, data), logical_clock: state.clock, utc_timestamp };
    const bytes = bytesOf(JSON.stringify(diff));
    if (bytes > this.#options.maxChange) tooLarge(bytes, this.#options.maxChange);
    const isFolded = type === "update" && this.#options.fold;
    const diffs = isFolded ? [...(await foldPending(this.#tx, state, model, data)), diff.id] : [];
    await this.#tx.put("meta", { ...state, latest: utc_timestamp, run: { model, id, diffs } });
    if (earlier < 0) await keepBase(this.#tx, model, id, before);
    await this.#tx.put("pending", { model, id, diff });
    this.#models.add(model);
  }
}

/** @param {any} options @param {string} model @returns {Record<string, any>} */
export function defaultsOf({ models }, model) {
  if (Object.hasOwn(models, model)) return models[model];
  throw new MobyncError("unknown_model", `There is no model ${model} here.`);
}
