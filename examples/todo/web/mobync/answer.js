// What an answer says, and whether it is one to the question that was asked.

import { parse } from "./json.js";

/** The longest that a server is believed when it asks to wait. */
const LONGEST_RETRY_AFTER = 10 * 60 * 1000;

/**
 * A failure. `heard` says that somebody has answered, and `status` that the answer is about this request;
 * one that `isPassing` is tried again soon though it needs somebody.
 * @typedef {{ code: string, message: string, diffId?: string, status?: number, heard?: boolean,
 *   retryAfter?: number, isPassing?: boolean }} Failure
 */

/**
 * @typedef {object} Answer
 * @property {true} success
 * @property {number} logical_clock
 * @property {import("./types.js").Diff[]} diffs
 * @property {{ diff_id: string, code: string, message: string }[]} refused
 */

/**
 * @param {import("./transport.js").Heard | null} heard @param {any} options
 * @returns {Answer | (Failure & { success?: undefined })}
 */
export function interpret(heard, { now, maxAnswer }) {
  if (!heard) return { code: "no_answer", message: "The server could not be reached." };
  const { status, headers } = heard;
  const retryAfter = readRetryAfter(headers, now());
  const answer = heard.text === null ? undefined : parse(heard.text);
  if (status === 200 && heard.text === null) {
    const message = `The server's answer is larger than ${maxAnswer.toLocaleString("en")} bytes.`;
    return { code: "answer_too_large", message, heard: true };
  }
  if (status === 200 && isAnswer(answer)) return { ...answer, refused: answer.refused ?? [] };
  const isFailure = answer?.success === false && typeof answer.code === "string";
  if (isFailure && (status < 200 || status > 299)) {
    const { code, message, diff_id: diffId } = answer;
    return { code, message: String(message), diffId, status, heard: true, retryAfter };
  }
  if (status === 413) {
    // Whoever is on the way, nothing of the request has come through.
    const message = "This change is too large for what is between this device and the server.";
    return { code: "payload_too_large", message, status, heard: true, retryAfter };
  }
  const message = `The server could not be reached: what answered (${status}) does not speak its protocol.`;
  return { code: "no_answer", message, heard: true, retryAfter };
}

/**
 * Why the answer must not be taken: it is another one's, or one from before. None of the diffs sent is
 * on the server for certain then.
 * @param {Answer} answer @param {import("./types.js").State} asked @param {import("./types.js").Diff[]} sent
 * @returns {Failure | null}
 */
export function misfit({ logical_clock, diffs, refused }, asked, sent) {
  const owner = asked.owner ?? diffs[0]?.owner;
  if (diffs.some((diff) => diff.owner !== owner)) {
    const message =
      "The server answered for somebody else than the one whose data are in this database, and nothing was taken. " +
      "Sign in as before, or open another database.";
    return { code: "other_owner", message, heard: true };
  }
  const ids = new Set(sent.map(({ id }) => id));
  // Diffs always advance the clock: they are new, or were new when the device was at this clock.
  const isOld = sent.length > 0 ? logical_clock <= asked.clock : logical_clock < asked.clock;
  if (!isOld && refused.every(({ diff_id }) => ids.has(diff_id))) return null;
  const message = "The answer is an old one, as a cache on the way repeats them: nothing of it was taken.";
  return { code: "no_answer", message, heard: true };
}

/** @param {any} answer */
const isAnswer = (answer) =>
  answer?.success === true &&
  Number.isSafeInteger(answer.logical_clock) &&
  answer.logical_clock >= 0 &&
  Array.isArray(answer.diffs) &&
  answer.diffs.every(isDiff) &&
  (answer.refused ?? []).constructor === Array &&
  (answer.refused ?? []).every(isRefusal);

/** Whether it is something that can be applied. @param {any} diff */
function isDiff(diff) {
  const { owner, type, model, utc_timestamp, json_data } = diff ?? {};
  return (
    ["create", "update", "delete"].includes(type) &&
    typeof owner === "string" &&
    typeof model === "string" &&
    Number.isSafeInteger(utc_timestamp) &&
    typeof json_data === "string" &&
    typeof parse(json_data)?.id === "string"
  );
}

/** @param {any} refusal */
function isRefusal(refusal) {
  const { diff_id, code, message } = refusal ?? {};
  return [diff_id, code, message].every((text) => typeof text === "string");
}

/** Milliseconds to wait, from seconds or a date. @param {Headers} headers @param {number} now */
function readRetryAfter(headers, now) {
  const value = headers.get("Retry-After")?.trim();
  if (!value) return undefined;
  // The server's own clock is better than this device's, where it tells it.
  const theirs = Date.parse(headers.get("Date") ?? "") || now;
  const isDate = /^[a-z]{3,9},? /i.test(value);
  const wait = isDate ? Date.parse(value) - theirs : /^\d+$/.test(value) ? Number(value) * 1000 : 0;
  return wait > 0 ? Math.min(wait, LONGEST_RETRY_AFTER) : undefined;
}
