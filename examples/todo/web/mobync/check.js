// Is the copy right? Checksums of what is here, by model, to compare with the server's.

import { sha256 } from "./sha256.js";

/** @typedef {import("./types.js").Difference} Difference */
/** @typedef {import("./types.js").Row} Row */

/**
 * How many objects of a model there are, and exclusive ors over hashes of their ids and of their values,
 * in 16 hexadecimal digits. `defaults` are the columns', with which values are not compared.
 * @typedef {{ count: number, ids: string, values: string, defaults?: Record<string, any> }} Checksum
 */

const ENCODER = new TextEncoder();
const NOTHING = "0".repeat(16);

/** So many objects at a time; then the page may do something else. */
const AT_ONCE = 500;

/**
 * @param {{ model: string, row: Row }[]} objects
 * @param {Record<string, Checksum | null>} theirs  null if the model cannot be compared
 * @param {import("./schema.js").Schema} names
 * @returns {Promise<Difference[]>}  the models that are not the same here and on the server
 */
export async function compare(objects, theirs, names) {
  const sums = new Map(Object.entries(theirs).map(([model, sum]) => [names.model(model), sum]));
  /** @type {Map<string, Row[]>} */
  const rows = new Map([...sums.keys()].flatMap((model) => (model === undefined ? [] : [[model, []]])));
  for (const { model } of objects) rows.set(model, rows.get(model) ?? []);
  for (const { model, row } of objects) rows.get(model)?.push(row);
  /** @type {Difference[]} */
  const found = [];
  for (const [model, here] of rows) {
    const there = sums.has(model) ? sums.get(model) : { count: 0, ids: NOTHING, values: NOTHING };
    if (!there) continue;
    let [isSame, isEqual] = [false, false];
    // The server may be older than the app: then it has the names and fields of an earlier version.
    for (const version of names.versionsOf(model)) {
      const { ids, values } = await checksum(
        here.map((row) => names.earlier(version, model, row)),
        there.defaults,
      );
      isSame = here.length === there.count && ids === there.ids;
      isEqual = isSame && values === there.values;
      if (isEqual || !isSame) break;
    }
    if (!isEqual) found.push({ model, here: here.length, there: there.count, differs: isSame ? "values" : "objects" });
  }
  return found;
}

/** @param {Row[]} rows @param {Record<string, any>} [defaults] @returns {Promise<Checksum>} */
export async function checksum(rows, defaults = {}) {
  const usual = new Map(Object.entries(defaults).map(([field, value]) => [field, canonical(value)]));
  const [ids, values] = [new Sum(), new Sum()];
  for (const [place, { id, ...fields }] of rows.entries()) {
    if (place % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => setTimeout(resolve));
    ids.add(id);
    for (const [field, value] of Object.entries(fields)) {
      if (value === null) continue;
      const text = canonical(value);
      if (text !== usual.get(field)) values.add(`${id}\0${field}\0${text}`);
    }
  }
  return { count: rows.length, ids: ids.toString(), values: values.toString() };
}

/** An exclusive or over the first 64 bits of hashes. */
class Sum {
  #high = 0;
  #low = 0;

  /** @param {string} text */
  add(text) {
    const [high, low] = sha256(ENCODER.encode(text));
    this.#high ^= high;
    this.#low ^= low;
  }

  toString() {
    return [this.#high, this.#low].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

/** The one text of a value, in whatever way it was written. @param {any} value @returns {string} */
export function canonical(value) {
  if (typeof value === "string") return quoted(value);
  if (typeof value === "number") return ofNumber(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return String(value);
  const members = Object.entries(value).sort(([left], [right]) => byBytes(left, right));
  return `{${members.map(([name, part]) => `${quoted(name)}:${canonical(part)}`).join(",")}}`;
}

/** @param {string} text */
const quoted = (text) =>
  `"${text.replace(/["\\]/g, "\\$&").replace(/[\0-\x1f]/g, (mark) => `\\u${hex(mark.charCodeAt(0), 4)}`)}"`;

/** @param {number} value */
function ofNumber(value) {
  if (Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63) return BigInt(value).toString();
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return `f${hex(view.getBigUint64(0), 16)}`;
}

/** @param {number | bigint} number @param {number} digits */
const hex = (number, digits) => number.toString(16).padStart(digits, "0");

/** The order of UTF-8, which is that of code points. @param {string} left @param {string} right */
function byBytes(left, right) {
  const [a, b] = [[...left], [...right]];
  const place = a.findIndex((letter, place) => letter !== b[place]);
  if (place < 0) return a.length - b.length;
  return place >= b.length ? 1 : (a[place].codePointAt(0) ?? 0) - (b[place].codePointAt(0) ?? 0);
}
