// Which values can be sent. The server rejects a whole request for one invalid value.

import { MobyncError } from "./errors.js";
import { bytesOf } from "./json.js";

/** The most levels of objects and arrays; the object's fields are the first. */
const DEEPEST = 127;
const LONGEST_NAME = 1024;
const [LEAST, MOST] = [-(2n ** 63n), 2n ** 63n - 1n];

/** A lone surrogate, such as half an emoji. @param {string} text */
const isBroken = (text) => /\p{Surrogate}/u.test(text);

/**
 * Checks the fields of a change, and copies them.
 * @param {any} fields
 * @returns {Record<string, any>}
 */
export function checkedFields(fields) {
  if (!isPlain(fields)) refuse(`The fields must be in an object, not ${nameOf(fields)}.`);
  try {
    return copyOf(fields, "", 1, []);
  } catch (error) {
    if (error instanceof MobyncError) throw error;
    throw new MobyncError("invalid_value", "The fields cannot be read.", error); // a getter of theirs failed
  }
}

/** @param {any} id @param {string} [what] @returns {string} */
export function checkedId(id, what = "An id") {
  const wrong = wrongName(id);
  if (wrong) refuse(`${what} is a text of 1 to 1,024 bytes; this one ${wrong}.`);
  return id;
}

/** @param {any} name @returns {string | null}  what is wrong with an id, or the name of a model or space */
export function wrongName(name) {
  if (typeof name !== "string") return `is ${nameOf(name)}`;
  if (name === "") return "is empty";
  if (name.includes("\0")) return "has a NUL in it";
  if (isBroken(name)) return "has half a character in it";
  return bytesOf(name) > LONGEST_NAME ? "is too long" : null;
}

/**
 * Copies a JSON value, and rejects anything else.
 * @param {any} value @param {string} place @param {number} depth @param {any[]} around
 * @returns {any}
 */
function copyOf(value, place, depth, around) {
  const isWrong = (/** @type {string} */ why) => refuse(`The field ${JSON.stringify(place)} ${why}.`);
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string")
    return isBroken(value) ? isWrong("has half a character in it, as half an emoji") : value;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) isWrong(`is ${value}, which is no value: use null`);
    if (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21) {
      isWrong(`has the integer ${value}, which is beyond 2^53 and not exact: write it as a string of digits`);
    }
    return value;
  }
  if (!Array.isArray(value) && !isPlain(value)) isWrong(`is ${nameOf(value)}, which is no JSON`);
  if (around.includes(value)) isWrong("has itself in it");
  if (depth > DEEPEST) isWrong("is nested too deeply");
  const inside = [...around, value];
  if (Array.isArray(value)) {
    return Array.from(value, (part) => copyOf(part, place, depth + 1, inside));
  }
  const copies = Object.entries(value).map(([key, part]) => {
    if (isBroken(key)) isWrong("has a name with half a character in it");
    return [key, copyOf(part, place || key, depth + 1, inside)];
  });
  return Object.fromEntries(copies);
}

/** Whether it is a plain object, possibly of another window. @param {any} value */
export function isPlain(value) {
  if (Object.prototype.toString.call(value) !== "[object Object]") return false;
  const parent = Object.getPrototypeOf(value);
  return parent === null || Object.getPrototypeOf(parent) === null;
}

/** The kind of value, for a sentence. @param {any} value */
function nameOf(value) {
  if (value === undefined || value === null) return String(value);
  const kind = (typeof value === "object" && value.constructor?.name) || typeof value;
  return `${/^[aeiou]/i.test(kind) ? "an" : "a"} ${kind}`;
}

/**
 * Why no server accepts this diff. It must not be in a request.
 * @param {import("./types.js").Diff} diff @param {number} bytes  of it @param {number} most
 * @returns {{ code: string, message: string } | null}
 */
export function unsendable(diff, bytes, most) {
  try {
    if (bytes > most) tooLarge(bytes, most);
    for (const [what, name] of Object.entries({ id: diff.id, model: diff.model })) {
      const wrong = wrongName(name);
      if (wrong) refuse(`The ${what} of the change ${wrong}.`);
    }
    if (!Number.isSafeInteger(diff.utc_timestamp) || diff.utc_timestamp < 0) refuse("The change has no time.");
    const data = checkedText(diff.json_data);
    checkedId(data.id);
    return null;
  } catch (error) {
    if (error instanceof MobyncError) return { code: error.code, message: error.message };
    return { code: "invalid_value", message: "The change cannot be read." };
  }
}

/** @param {number} bytes @param {number} most @returns {never} */
export function tooLarge(bytes, most) {
  const [has, takes] = [bytes, most].map((number) => number.toLocaleString("en"));
  throw new MobyncError("too_large", `This change has ${has} bytes, and at most ${takes} can be sent.`);
}

/** Checks fields in JSON, whose numbers may be larger than JavaScript's integers. @param {string} text */
function checkedText(text) {
  const data = JSON.parse(text);
  for (const [number, fraction, exponent] of text.replace(STRINGS, "").matchAll(NUMBERS)) {
    const isInteger = fraction === undefined && exponent === undefined;
    if (isInteger ? BigInt(number) < LEAST || BigInt(number) > MOST : !Number.isFinite(Number(number))) {
      refuse(`The number ${number.slice(0, 40)} is too large.`);
    }
  }
  // Integers up to 64 bits are valid in JSON, though not in JavaScript.
  const known = JSON.parse(text, (_, value) => (typeof value === "number" ? 0 : value));
  checkedFields(known);
  return data;
}

const STRINGS = /"(?:[^"\\]|\\.)*"/gs;
const NUMBERS = /-?\d+(\.\d+)?([eE][+-]?\d+)?/g;

/** @param {string} message @returns {never} */
function refuse(message) {
  throw new MobyncError("invalid_value", message);
}
