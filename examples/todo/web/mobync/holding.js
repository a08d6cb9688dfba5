// Between pages: what a page brings for an object with pending changes is held until the last page. Those
// changes were made without any knowledge of the past, so only what has become of the object counts.

import { baseOf } from "./state.js";

/** @typedef {import("./types.js").Diff} Diff */
/** @typedef {import("./types.js").Tx} Tx */

/** @param {Tx} tx @param {Diff} diff @param {string} id */
export async function hold(tx, diff, id) {
  const key = ["held", diff.model, id];
  const wasThere = (await baseOf(tx, diff.model, id))?.row !== undefined;
  const before = (await tx.get("meta", key)) ?? { wasThere, diffs: [] };
  await tx.put("meta", { ...before, key, diffs: [...before.diffs, diff] });
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
