// The schema of the application: which models and fields were added, renamed and removed, and what they are
// called now. A name never gets another meaning, so any older name can be read without knowing its version.

import { MobyncError } from "./errors.js";
import { encode, parse } from "./json.js";

/** @typedef {import("./types.js").Diff} Diff */
/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Step} Step */

/**
 * A model or a field by all its names, newest first, each with the version that has it first. `added` is the
 * default of a field that was not there from the first version on.
 * @typedef {{ names: [number, string][], removed: boolean, added?: any, fields: Map<string, Line> }} Line
 */

const FIRST = 1;

export class Schema {
  /** The greatest version of its steps. */
  version = FIRST;
  /** @type {Map<string, Line>} */
  #models = new Map();

  /** @param {Step[]} [steps] */
  constructor(steps = []) {
    if (!Array.isArray(steps)) refuse("must be the list of steps");
    for (const step of [...steps].sort((a, b) => a?.since - b?.since)) this.#take(step);
  }

  /** @param {Step} step */
  #take(step) {
    const { since, model, add, rename, to, remove, default: value = null } = step ?? {};
    const wrong = (/** @type {string} */ why) => refuse(`has a step that ${why}: ${JSON.stringify(step)}`);
    const [old, name] = [rename ?? remove, add ?? to];
    const isOne = [add, rename, remove].filter((one) => one !== undefined).length === 1;
    if (!isOne || (to === undefined) !== (rename === undefined))
      wrong("has not one of add, rename with to, and remove");
    if (!Number.isSafeInteger(since) || since < 2) wrong("has no version: `since` is 2 or more");
    for (const one of [model, old, name]) {
      if (one !== undefined && (typeof one !== "string" || one === "")) wrong("has a name that is none");
      if (one === "id" && one !== model && model !== undefined) wrong("changes the id");
    }
    const above = model === undefined ? undefined : lineOf(this.#models, model);
    const lines = above?.fields ?? this.#models;
    if (name !== undefined && lines.has(name)) wrong("uses a name again, which never gets another meaning");
    const line = old === undefined ? newLine([], value) : lineOf(lines, old);
    const isGone = above?.removed || (old !== undefined && nowOf(line) !== old);
    if (isGone) wrong("changes what was renamed or removed before");
    if (name === undefined) line.removed = true;
    else {
      line.names.unshift([since, name]);
      lines.set(name, line);
    }
    this.version = since;
  }

  /** What the model is called now; undefined if it was removed. @param {string} model */
  model(model) {
    const line = this.#models.get(model);
    return line ? nowOf(line) : model;
  }

  /**
   * The fields as they are called now, without those that were removed. If nothing differs, the same object.
   * @template {Record<string, any>} T
   * @param {string} model  by any name
   * @param {T} data
   * @returns {T}
   */
  fields(model, data) {
    const lines = this.#models.get(model)?.fields;
    /** @param {string} field */
    const now = (field) => (lines?.has(field) ? nowOf(lines.get(field)) : field);
    if (Object.keys(data).every((field) => now(field) === field)) return data;
    const known = Object.entries(data).flatMap(([field, value]) => {
      const name = now(field);
      return name === undefined || (name !== field && Object.hasOwn(data, name)) ? [] : [[name, value]];
    });
    return /** @type {T} */ (Object.fromEntries(known));
  }

  /**
   * The diff by the names of now; undefined if it is about nothing that is left.
   * @param {Diff} diff
   * @returns {Diff | undefined}
   */
  diff(diff) {
    const model = this.model(diff.model);
    if (model === undefined) return undefined;
    const data = this.#models.has(diff.model) && diff.type !== "delete" ? parse(diff.json_data) : undefined;
    const fields = data && this.fields(diff.model, data);
    if (fields === data) return model === diff.model ? diff : { ...diff, model };
    const isOver = diff.type === "update" && Object.keys(fields).every((field) => field === "id");
    return isOver ? undefined : { ...diff, model, json_data: encode(fields) };
  }

  /** The versions with other fields of the model, newest first; the first one is that of now. @param {string} model */
  versionsOf(model) {
    const lines = [...(this.#models.get(model)?.fields.values() ?? [])];
    const changed = lines.flatMap(({ names }) => names.map(([since]) => since - 1));
    return [...new Set([this.version, ...changed])].filter((version) => version > 0).sort((a, b) => b - a);
  }

  /**
   * The row as an earlier version has it.
   * @param {number} version @param {string} model @param {Row} row
   */
  earlier(version, model, row) {
    const lines = this.#models.get(model)?.fields;
    const named = Object.entries(row).flatMap(([field, value]) => {
      const line = lines?.get(field);
      const name = line ? line.names.find(([since]) => since <= version)?.[1] : field;
      return name === undefined ? [] : [[name, value]];
    });
    return /** @type {Row} */ (Object.fromEntries(named));
  }

  /**
   * The models that the application declares, with the fields and models that steps add.
   * @param {Record<string, Record<string, any>>} models  by the names of now
   * @returns {Record<string, Record<string, any>>}
   */
  declared(models) {
    const all = { ...models };
    for (const [name, line] of this.#models) {
      const now = nowOf(line);
      if (name !== now && Object.hasOwn(models, name)) refuse(`has renamed or removed ${name}, which \`models\` names`);
      if (name !== now) continue;
      const [given, added] = [models[name] ?? {}, this.#added(name)];
      for (const [field, value] of Object.entries(given)) {
        const isOther = Object.hasOwn(added, field) && encode(added[field]) !== encode(value);
        if (isOther) refuse(`has another default of ${name}.${field} than \`models\``);
        const known = line.fields.get(field);
        if (known && nowOf(known) !== field) refuse(`has renamed or removed ${name}.${field}, which \`models\` names`);
      }
      all[name] = { ...added, ...given };
    }
    return all;
  }

  /** The fields that steps have added to the model, with their defaults. @param {string} model */
  #added(model) {
    const lines = [...(this.#models.get(model)?.fields ?? [])];
    const added = lines.filter(([field, line]) => nowOf(line) === field && line.added !== undefined);
    return Object.fromEntries(added.map(([field, { added }]) => [field, added]));
  }
}

/** @param {Line | undefined} line */
const nowOf = (line) => (line?.removed ? undefined : line?.names[0]?.[1]);

/** @param {Line["names"]} names @param {any} [added] @returns {Line} */
const newLine = (names, added) => ({ names, removed: false, added, fields: new Map() });

/** What has this name: since the first version, if no step has said so. @param {Map<string, Line>} lines @param {string} name */
function lineOf(lines, name) {
  const line = lines.get(name) ?? newLine([[FIRST, name]]);
  lines.set(name, line);
  return line;
}

/** @param {string} why @returns {never} */
function refuse(why) {
  throw new MobyncError("invalid_option", `The option \`schema\` ${why}.`);
}
