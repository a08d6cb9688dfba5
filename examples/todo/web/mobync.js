/**
 * Offline-first sync for the browser: a client of the Mobync protocol (see PROTOCOL.md).
 *
 * Changes are written to a local database at once, with or without a network, and synced when there is
 * one. It has no dependencies and no build step, and also runs in Node, with `memoryStore()`.
 *
 * ```js
 * import { Mobync } from "./mobync.js";
 *
 * const mobync = await Mobync.open({
 *   person: user.id,                               // each person has a separate local database
 *   url: "/sync",
 *   live: "/sync/live",                            // if the server has it
 *   models: { tasks: { done: false } },            // the defaults of the server's columns
 *   schema: steps,                                 // what has changed since the first version; the server has it, too
 *   token: async () => localStorage.token,
 * });
 * mobync.subscribe("tasks", ({ records, pending }) => draw(records, pending));
 * mobync.addEventListener("status", () => show(mobync.status));
 *
 * const task = await mobync.create("tasks", { name: "Milk" });
 * await mobync.update("tasks", task.id, { done: true });
 * ```
 *
 * Data that several people share are spaces, in the same local database:
 *
 * ```js
 * await mobync.join("family");
 * await mobync.space("family").create("tasks", { name: "Bread" });
 * ```
 *
 * Values are JSON. JavaScript cannot represent integers beyond 2^53 exactly: write them as strings of digits.
 *
 * @module mobync
 */

export { Mobync } from "./mobync/client.js";
export { MobyncError } from "./mobync/errors.js";
export { settle } from "./mobync/settling.js";
export { indexedDBStore } from "./mobync/store-indexeddb.js";
export { memoryStore } from "./mobync/store-memory.js";
