/**
 * Offline-first sync for the browser: a client of the Mobync protocol (see PROTOCOL.md).
 *
 * Changes are made in a local database at once, with or without a network, and exchanged with the
 * server when there is one. No dependencies and no build step; it runs in Node too, with
 * `memoryStore()`.
 *
 * ```js
 * import { Mobync } from "./mobync.js";
 *
 * const mobync = await Mobync.open({
 *   person: user.id,                               // each has a local database of their own
 *   url: "/sync",
 *   live: "/sync/live",                            // if the server has it
 *   models: { tasks: { done: false } },            // the defaults of the server's columns
 *   token: async () => localStorage.token,
 * });
 * mobync.subscribe("tasks", ({ records, pending }) => draw(records, pending));
 * mobync.addEventListener("status", () => show(mobync.status));
 *
 * const task = await mobync.create("tasks", { name: "Milk" });
 * await mobync.update("tasks", task.id, { done: true });
 * ```
 *
 * Values are JSON. Integers beyond 2^53 are beyond JavaScript: write such values as strings of digits.
 *
 * @module mobync
 */

export { Mobync } from "./mobync/client.js";
export { MobyncError } from "./mobync/errors.js";
export { settle } from "./mobync/settling.js";
export { indexedDBStore } from "./mobync/store-indexeddb.js";
export { memoryStore } from "./mobync/store-memory.js";
