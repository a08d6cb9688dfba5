// What an answer says, and whether it answers the question that was asked.

import { parse } from "./json.js";

/** The longest `Retry-After` that is respected. */
const LONGEST_RETRY_AFTER = 10 * 60 * 1000;

/**
 * A failure. `heard` means that something has answered; `status` is set if that was the sync server. If
 * `isPassing`, it is tried again soon even though it may need a person. If `isDoubtful`, it looks like an old
 * answer, but may be a correct one to a device that was restored from a backup. If `isOlder`, the server may
 * have an older schema than the app. `minSchema` is the least version that the server accepts. If `isMember`, it is
 * about one space of several. `other` is the owner whose answer it was. If `isReplaced`, there is a newer token.
 * @typedef {{ code: string, message: string, diffId?: string, status?: number, heard?: boolean,
 *   retryAfter?: number, isPassing?: boolean, isDoubtful?: boolean, forgotten?: boolean, isOlder?: boolean,
 *   minSchema?: number, isMember?: boolean, other?: string, isReplaced?: boolean }} Failure
 */

/**
 * @typedef {object} Answer
 * @property {true} success
 * @property {number} logical_clock
 * @property {import("./types.js").Diff[]} diffs
 * @property {{ diff_id: string, code: string, message: string }[]} refused
 * @property {string} [head]
 * @property {number} [more]  the server's clock, if this is a page and there is more
 * @property {{ diff_id: string, fields: import("./types.js").Overridden["fields"] }[]} overridden
 * @property {Record<string, import("./check.js").Checksum | null>} [check]
 * @property {string} [owner]
 */

/**
 * @param {import("./transport.js").Heard | null} heard @param {any} options
 * @returns {Answer | (Failure & { success?: undefined })}
 */
export function interpret(heard, { now, maxAnswer, schema = 1 }) {
  if (!heard) return { code: "no_answer", message: "The server could not be reached." };
  const { status, headers } = heard;
  const retryAfter = readRetryAfter(headers, now());
  const answer = heard.answer ?? (heard.text === null ? undefined : parse(heard.text));
  if (status === 200 && heard.text === null) {
    const message = `The server's answer is larger than ${maxAnswer.toLocaleString("en")} bytes.`;
    return { code: "answer_too_large", message, heard: true };
  }
  if (status === 200 && isAnswer(answer)) {
    return { ...answer, refused: answer.refused ?? [], overridden: answer.overridden ?? [] };
  }
  const isFailure = answer?.success === false && typeof answer.code === "string";
  if (isFailure && (status < 200 || status > 299)) {
    const { code, message, diff_id: diffId, forgotten, min_schema: minSchema } = answer;
    const isOlder = schema > 1 && (code === "unknown_model" || code === "unknown_field");
    const more = { diffId, minSchema, forgotten: forgotten === true, isOlder, isMember: !!heard.answer };
    return { code, message: String(message), ...more, status, heard: true, retryAfter };
  }
  if (status === 413) {
    // Whether the server or a proxy said so: nothing of the request was processed.
    const message = "This change is too large for what is between this device and the server.";
    return { code: "payload_too_large", message, status, heard: true, retryAfter };
  }
  const message = `The server could not be reached: what answered (${status}) does not speak its protocol.`;
  return { code: "no_answer", message, heard: true, retryAfter };
}

/**
 * Why the answer must not be applied: it is for another owner, or an old one. Then nobody knows whether
 * the server has the diffs that were sent.
 * @param {Answer} answer
 * @param {{ owner: string | null, clock: number, heard?: number }} asked  `heard` is the clock of the answer before
 * @param {import("./types.js").Diff[]} sent
 * @returns {Failure | null}
 */
export function misfit({ logical_clock, diffs, refused, overridden, more, owner: named }, asked, sent) {
  const owner = asked.owner ?? named ?? diffs[0]?.owner;
  const other = [named ?? owner, ...diffs.map((diff) => diff.owner)].find((one) => one !== owner);
  if (other !== undefined) {
    const message =
      "The server answered for somebody else than the one whose data are in this database, and nothing was taken. " +
      "Sign in as before, or open another database.";
    return { code: "other_owner", message, heard: true, other };
  }
  const ids = new Set(sent.map(({ id }) => id));
  // Diffs always advance the clock: they are new, or were new when the device was at this clock or later.
  const isNews = sent.length > 0 || diffs.length > 0 || more !== undefined;
  const least = sent.length > 0 ? Math.max(asked.clock, asked.heard ?? 0) : asked.clock;
  const isOld = isNews ? logical_clock <= least : logical_clock < least;
  const isSent = (/** @type {{ diff_id: string }} */ { diff_id }) => ids.has(diff_id);
  const isOfThese =
    [...refused, ...overridden].every(isSent) &&
    diffs.every((diff) => !ids.has(diff.id) && diff.logical_clock < logical_clock) &&
    (more === undefined || (sent.length === 0 && more > logical_clock));
  if (!isOld && isOfThese) return null;
  const message = "The answer is an old one, as a cache on the way repeats them: nothing of it was taken.";
  const isDoubtful = isOfThese && sent.length > 0 && logical_clock === least;
  return { code: "no_answer", message, heard: true, isDoubtful };
}

/** @param {any} answer */
const isAnswer = (answer) =>
  answer?.success === true &&
  Number.isSafeInteger(answer.logical_clock) &&
  answer.logical_clock >= 0 &&
  isListOf(isDiff, answer.diffs) &&
  isListOf(isRefusal, answer.refused ?? []) &&
  isListOf(isReport, answer.overridden ?? []) &&
  [answer.head, answer.owner].every((text) => /^(string|undefined)$/.test(typeof text)) &&
  (answer.more === undefined || Number.isSafeInteger(answer.more));

/** @param {(part: any) => boolean} is @param {any} list */
const isListOf = (is, list) => Array.isArray(list) && list.every(is);

/** Whether it is something that can be applied. @param {any} diff */
function isDiff(diff) {
  const { owner, type, model, utc_timestamp, logical_clock, json_data } = diff ?? {};
  return (
    ["create", "update", "delete"].includes(type) &&
    typeof owner === "string" &&
    typeof model === "string" &&
    Number.isSafeInteger(utc_timestamp) &&
    logical_clock >= 0 &&
    typeof json_data === "string" &&
    typeof parse(json_data)?.id === "string"
  );
}

/** @param {any} refusal */
function isRefusal(refusal) {
  const { diff_id, code, message } = refusal ?? {};
  return [diff_id, code, message].every((text) => typeof text === "string");
}

/** @param {any} report */
function isReport(report) {
  const { diff_id, fields } = report ?? {};
  const isLost = (/** @type {any} */ field) => typeof field?.by === "string" && "sent" in field;
  return typeof diff_id === "string" && typeof fields === "object" && Object.values(fields ?? [0]).every(isLost);
}

/** Milliseconds to wait, from seconds or a date. @param {Headers} headers @param {number} now */
function readRetryAfter(headers, now) {
  const value = headers.get("Retry-After")?.trim();
  if (!value) return undefined;
  // Prefer the server's clock to this device's.
  const theirs = Date.parse(headers.get("Date") ?? "") || now;
  const isDate = /^[a-z]{3,9},? /i.test(value);
  const wait = isDate ? Date.parse(value) - theirs : /^\d+$/.test(value) ? Number(value) * 1000 : 0;
  return wait > 0 ? Math.min(wait, LONGEST_RETRY_AFTER) : undefined;
}
