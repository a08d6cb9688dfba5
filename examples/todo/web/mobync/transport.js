// One HTTP request. The answer may take any time as long as data arrives, but has a maximum size.

import { bytesOf } from "./json.js";
import { headersOf } from "./tokens.js";
import { Patience, abortable } from "./waiting.js";

/** Bytes per second of a slow network. Nobody tells how far an upload has come, so it gets time for its size. */
const SLOW = 1024;

/**
 * Milliseconds that growing patience gives an upload at most, 15 minutes: else a person would wait for hours for a
 * connection that is dead. Only what is so large that a slow network needs longer gets longer: the time for its size.
 */
const LONGEST_UPLOAD = 15 * 60 * 1000;

/** The most bytes that are read of an answer that can only be a failure. */
const MOST_OF_A_FAILURE = 1024 * 1024;

/**
 * @typedef {object} Heard
 * @property {number} status
 * @property {Headers} headers
 * @property {string | null} text  null if it is larger than the maximum
 * @property {number} bytes  of the text
 * @property {any} [answer]  what the text says about one space, if it is about several
 */

/**
 * @param {any} options @param {string} body @param {string | null} token
 * @param {{ silence: number, upload: number }} patience  how many times as patient as usual
 * @param {AbortSignal} closing
 * @returns {Promise<Heard | null>}  null if there was no answer
 */
export async function post({ fetch, url, timeout, maxAnswer }, body, token, { silence, upload }, closing) {
  const patience = new Patience(uploadTime(bytesOf(body), timeout, { silence, upload }), closing);
  const { signal } = patience;
  let bytes = 0;
  const moved = (/** @type {number} */ more) => {
    patience.renew(timeout * silence);
    bytes += more;
    return bytes;
  };
  try {
    const headers = { "Content-Type": "application/json", ...headersOf(token) };
    const init = { method: "POST", headers, body, cache: "no-store", redirect: "error", signal };
    const response = await abortable(fetch(url, init), signal);
    const most = response.status === 200 ? maxAnswer : Math.min(maxAnswer, MOST_OF_A_FAILURE);
    const text = await read(response, most, signal, moved);
    return { status: response.status, headers: response.headers, text, bytes };
  } catch {
    return null;
  } finally {
    patience.end();
  }
}

/**
 * How long the first byte of an answer may take, in milliseconds.
 * @param {number} bytes  of the request @param {number} timeout
 * @param {{ silence: number, upload: number }} patience
 */
export function uploadTime(bytes, timeout, { silence, upload }) {
  const usual = (bytes / SLOW) * 1000;
  return Math.max(timeout + usual, Math.min(timeout * silence + usual * upload, LONGEST_UPLOAD));
}

/**
 * @param {Response} response @param {number} most @param {AbortSignal} signal
 * @param {(more: number) => number} moved  gives how many bytes there are by now
 * @returns {Promise<string | null>}  null if it has more bytes than that
 */
async function read(response, most, signal, moved) {
  moved(0);
  const reader = response.body?.getReader();
  if (!reader) return abortable(response.text(), signal);
  // Invalid UTF-8 means that the data is damaged.
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const parts = [];
  let isOver = false;
  try {
    for (;;) {
      const { done, value } = await abortable(reader.read(), signal);
      isOver = done;
      if (done) return parts.join("") + decoder.decode();
      if (moved(value.byteLength) > most) return null;
      parts.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    if (!isOver) reader.cancel().catch(() => {});
  }
}
