// The options of a client, with their defaults.

import { MobyncError } from "./errors.js";
import { Schema } from "./schema.js";

const MIB = 1024 * 1024;

/** Times, sizes and counts. */
const NUMBERS = {
  maxDiffs: 500,
  maxBytes: MIB / 4,
  // A request with one change must fit into the 16 MiB that servers accept.
  maxChange: 16 * MIB - 1024,
  maxAnswer: 256 * MIB,
  maxFailures: 20,
  debounce: 250,
  firstWait: 1000,
  longWait: 15 * 60 * 1000,
  timeout: 30_000,
  silence: 45_000,
  poll: 60_000,
};

/**
 * @param {import("./types.js").Options} given
 * @returns {any}  with the defaults of what is missing
 */
export function complete(given) {
  const set = Object.fromEntries(Object.entries(given ?? {}).filter(([, value]) => value !== undefined));
  /** @type {Record<string, any>} */
  const options = {
    fetch: globalThis.fetch?.bind(globalThis),
    now: Date.now,
    monotonic: () => performance.now(),
    automatic: true,
    fold: true,
    recover: false,
    otherOwner: "keep",
    ...NUMBERS,
    ...set,
  };
  for (const name of Object.keys(NUMBERS)) {
    const least = name === "debounce" ? 0 : Number.MIN_VALUE;
    if (typeof options[name] !== "number" || !(options[name] >= least)) refuse(name, "a number greater than zero");
  }
  if (!Number.isInteger(options.maxDiffs)) refuse("maxDiffs", "a whole number");
  for (const name of ["automatic", "fold", "recover"]) {
    if (typeof options[name] !== "boolean") refuse(name, "true or false");
  }
  for (const name of ["fetch", "now", "monotonic"]) {
    if (typeof options[name] !== "function") refuse(name, "a function");
  }
  for (const name of ["person", "name", "live"]) {
    if (name in set && (typeof set[name] !== "string" || set[name] === "")) refuse(name, "a text, and not empty");
  }
  if (!/^(string|object)$/.test(typeof options.url) || !options.url) refuse("url", "the address to sync with");
  if (typeof options.models !== "object" || !options.models) refuse("models", "an object, with each model");
  if ("token" in set && typeof set.token !== "function") refuse("token", "a function that gives the token");
  if (!set.store && !set.name && !set.person) {
    refuse("person", "the person's name or id (or else give a `name`), so that no two people share a database");
  }
  const { spaces, otherOwner } = options;
  if ("spaces" in set && ![spaces?.model, spaces?.field].every((name) => typeof name === "string")) {
    refuse("spaces", "{ model, field }: the model that lists the person's spaces, and its field with their names");
  }
  if (!/^(keep|forget)$/.test(otherOwner) && typeof otherOwner !== "function") {
    refuse("otherOwner", "keep, forget, or a function that gives one of them");
  }
  options.names = new Schema(given?.schema);
  // It is sent if the application has declared one.
  options.schema = given.schema && options.names.version;
  options.models = options.names.declared(options.models);
  return options;
}

/** @param {string} name @param {string} what @returns {never} */
function refuse(name, what) {
  throw new MobyncError("invalid_option", `The option \`${name}\` must be ${what}.`);
}
