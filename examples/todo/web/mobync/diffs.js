// Creating diffs, and applying them to a row.

import { encode, parse } from "./json.js";

/** @typedef {import("./types.js").Diff} Diff */
/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").Row} Row */

/** @param {Diff["type"]} type @param {string} model @param {any} data @returns {Diff} */
export const newDiff = (type, model, data) => ({
  id: uuid(),
  owner: "",
  logical_clock: 0,
  utc_timestamp: 0,
  type,
  model,
  json_data: encode(data),
});

/**
 * Applies diffs to an object, one after another.
 * @param {Row | undefined} row @param {Diff[]} diffs @param {Record<string, any>} [defaults]
 * @returns {Row | undefined}
 */
export function fold(row, diffs, defaults = {}) {
  for (const { type, json_data } of diffs) {
    const data = /** @type {Row} */ (parsed(json_data));
    if (type === "delete") row = undefined;
    else if (type === "create") row = { ...defaults, ...data };
    else row &&= { ...row, ...data };
  }
  return row;
}

/**
 * The pending change with another diff, which no request has had yet.
 * @param {Pending} entry @param {Diff} [diff]
 * @returns {Pending}
 */
export const amended = ({ sent: _, ...entry }, diff = entry.diff) => ({ ...entry, diff });

/**
 * The fields of a diff of this device; empty if the stored text is damaged.
 * @param {string} text
 * @returns {Record<string, any>}
 */
export const parsed = (text) => parse(text) ?? {};

/**
 * The row, with the defaults of columns that were added to the application after it was stored.
 * @param {Row} row @param {Record<string, any>} [defaults]
 * @returns {Row}
 */
export function filled(row, defaults = {}) {
  const missing = Object.entries(defaults).filter(([field]) => !Object.hasOwn(row, field));
  if (missing.length === 0) return row;
  return { ...defaults, ...structuredClone(Object.fromEntries(missing)), ...row };
}

/** A random UUID. `crypto.randomUUID` exists only over HTTPS. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
