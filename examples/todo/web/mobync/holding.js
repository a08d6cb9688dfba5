// Between pages: what a page brings for an object with pending changes is held until the last page. Those
// changes were made without any knowledge of the past, so only what has become of the object counts.

import { baseOf } from "./state.js";

/** @typedef {import("./types.js").Diff} Diff */
/** @typedef {import("./types.js").Tx} Tx */

/**
 * @param {Tx} tx @param {Diff} diff @param {string} id @param {boolean} isNeeded
 * @returns {Promise<boolean>}  whether it is held, which it is after others of its object in any case
 */
export async function hold(tx, diff, id, isNeeded) {
  const key = ["held", diff.model, id];
  const before = await tx.get("meta", key);
  if (!before && !isNeeded) return false;
  const { diffs, wasThere } = before ?? { diffs: [], wasThere: (await baseOf(tx, diff.model, id))?.row !== undefined };
  await tx.put("meta", { key, wasThere, diffs: [...diffs, diff] });
  return true;
}

/**
 * Takes what was held; of lives that have begun and ended meanwhile nothing is left.
 * @param {Tx} tx
 * @returns {Promise<Diff[]>}
 */
export async function release(tx) {
  const taken = [];
  for (const { key, diffs, wasThere } of await tx.all("meta")) {
    if (key[0] !== "held") continue;
    await tx.delete("meta", key);
    const end = diffs.findLastIndex((/** @type {Diff} */ { type }) => type === "delete");
    taken.push(...diffs.slice(wasThere && end >= 0 ? end : end + 1));
  }
  return taken;
}
