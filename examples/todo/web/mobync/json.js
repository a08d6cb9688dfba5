// JSON as text.

const ENCODER = new TextEncoder();

/** How many bytes of UTF-8 the text has. @param {string} text */
export const bytesOf = (text) => ENCODER.encode(text).length;

/** What the text says; undefined if it is no JSON. @param {string} text */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * JSON in which a float beyond the 64-bit integers does not look like an integer.
 * @param {any} value @returns {string}
 */
export function encode(value) {
  if (Array.isArray(value)) return `[${value.map(encode).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    return `{${Object.entries(value)
      .map(([key, part]) => `${JSON.stringify(key)}:${encode(part)}`)
      .join(",")}}`;
  }
  const looksLikeOne = Number.isInteger(value) && Math.abs(value) >= 2 ** 63 && Math.abs(value) < 1e21;
  return looksLikeOne ? value.toExponential() : JSON.stringify(value);
}
