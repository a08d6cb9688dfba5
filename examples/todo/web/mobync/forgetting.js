// Deleting what is on this device: because the application wants it, or for another owner.

import { MobyncError } from "./errors.js";
import { uuid } from "./diffs.js";
import { TABLES, spacesOf } from "./spaces.js";
import { NEW_DEVICE, stateOf, storedSchema } from "./state.js";
import { tabsOf, tell } from "./tabs.js";

/** @typedef {import("./link.js").Link} Link */

/** Milliseconds in which other tabs hear of it, so that none of them makes the database anew. */
const HEARD = 50;

/** Deletes the database. Other tabs stop before that; if this one dies, the next to open it goes on. @param {Link} link */
export async function destroy(link) {
  await link.close();
  const { store, options } = link;
  await store.write(async (tx) => tx.put("meta", { ...(await storedSchema(tx)), isGone: true }), true);
  tell(tabsOf(store, options.names.version), { kind: "gone" });
  await new Promise((resolve) => setTimeout(resolve, HEARD));
  await store.destroy();
}

/**
 * The server has answered for another owner: asks the application, and if it wants that, begins as a new device.
 * @param {Link} link @param {import("./answer.js").Failure} failure
 * @returns {Promise<boolean>}  whether everything was forgotten
 */
export async function forgetOther({ options, store, own }, { other }) {
  const { owner } = await store.read(stateOf);
  const choose = options.otherOwner;
  const choice = typeof choose === "function" ? await choose({ owner, other }) : choose;
  if (choice !== "forget" && choice !== "keep") {
    throw new MobyncError("invalid_option", "The option `otherOwner` must give `keep` or `forget`.");
  }
  if (choice === "keep") return false;
  await own.alone(() =>
    store.write(async (tx) => {
      const state = await stateOf(tx);
      if (state.owner !== owner) return; // another tab was quicker
      const spaces = await spacesOf(tx);
      for (const space of [...spaces, ""]) for (const table of TABLES) await tx.of(space).clear(table);
      await tx.put("meta", { ...NEW_DEVICE, person: state.person, life: uuid() });
      await tx.put("meta", { key: "schema", version: options.names.version, copy: null });
    }, true),
  );
  return true;
}
