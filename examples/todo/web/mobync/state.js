// What a device knows besides its objects: about its server, and how objects were at the last answer.

/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Tx} Tx */

/** @type {State} */
export const NEW_DEVICE = {
  key: "state",
  clock: 0,
  head: "",
  goal: 1,
  anew: false,
  heard: 0,
  latest: -1,
  isUnasked: false,
  unanswered: 0,
  syncedAt: null,
  deleted: [],
  run: null,
  person: null,
  owner: null,
  mark: null,
  failures: 0,
  token: null,
  named: null,
  joined: false,
  life: "",
  left: null,
};

/** @param {Tx} tx @returns {Promise<State>} */
export const stateOf = async (tx) => ({ ...NEW_DEVICE, ...(await tx.get("meta", "state")) });

/**
 * Counts failures in a row in which something answered. A missing network does not count.
 * @param {import("./types.js").Store} store
 * @returns {Promise<number>}
 */
export const countFailure = (store) =>
  store.write(async (tx) => {
    const state = await stateOf(tx);
    await tx.put("meta", { ...state, failures: state.failures + 1 });
    return state.failures + 1;
  });

/**
 * Whether the device fetches what it has missed, page by page, before it sends new changes.
 * @param {State} state @param {number} now
 */
export const isBehind = ({ clock, goal, syncedAt }, now) =>
  clock < goal || (clock > 0 && syncedAt !== null && Math.abs(now - syncedAt) > LONG_AWAY);

/** After that many milliseconds without a sync, the answer to new changes may be very long. */
const LONG_AWAY = 24 * 60 * 60 * 1000;

/**
 * The version of the schema that the stored data has, and how far the copy is that is fetched after an update.
 * @param {Tx} tx
 * @returns {Promise<{ key: "schema", version: number, copy: import("./types.js").Copy | null, isGone?: boolean }>}
 */
export const storedSchema = async (tx) => (await tx.get("meta", "schema")) ?? { key: "schema", version: 1, copy: null };

// An object with pending changes has a base: its row on the server, as far as this device knows. If the
// changes are set aside, the row becomes that again.

/** @param {string} model @param {string} id */
const keyOf = (model, id) => ["base", model, id];

/** @param {Tx} tx @param {string} model @param {string} id @returns {Promise<{ row: Row | undefined } | undefined>} */
export const baseOf = (tx, model, id) => tx.get("meta", keyOf(model, id));

/** @param {Tx} tx @param {string} model @param {string} id @param {Row | undefined} row */
export const keepBase = (tx, model, id, row) => tx.put("meta", { key: keyOf(model, id), row });

/**
 * Nothing is pending any more: later changes are made with knowledge of what pages have brought.
 * @param {Tx} tx @param {string} model @param {string} id
 */
export async function dropBase(tx, model, id) {
  await tx.delete("meta", keyOf(model, id));
  await tx.delete("meta", ["held", model, id]);
}

/**
 * The same, if nothing is pending any more. What pages have brought is in the base: now the person sees it.
 * @param {Tx} tx @param {string} model @param {string} id
 */
export async function dropIdleBase(tx, model, id) {
  if ((await tx.all("pending", model, id)).length > 0) return;
  if (await tx.get("meta", ["held", model, id])) {
    const row = (await baseOf(tx, model, id))?.row;
    if (row) await tx.put("objects", { model, id, row });
    else await tx.delete("objects", [model, id]);
  }
  await dropBase(tx, model, id);
}

/** @param {Tx} tx */
export async function dropBases(tx) {
  for (const { key } of await tx.all("meta")) if (Array.isArray(key)) await tx.delete("meta", key);
}
