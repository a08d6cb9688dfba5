// The store in memory keeps what a store promises.

import test from "node:test";

import { memoryStore } from "../../web/mobync.js";
import { promises } from "./store.mjs";

for (const [promise, keeps] of Object.entries(promises)) {
  test(promise, () => keeps(memoryStore()));
}
