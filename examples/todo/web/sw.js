// Caches the page's own files, so that it loads without a network. It does not handle syncs.

const CACHE = "todo-VERSION_OF_THE_FILES";

const FILES = [
  "/",
  "/app.css",
  "/app.js",
  "/airplane.js",
  "/drawer.js",
  "/list.js",
  "/mobync.js",
  "/mobync/anew.js",
  "/mobync/answer.js",
  "/mobync/applying.js",
  "/mobync/aside.js",
  "/mobync/beside.js",
  "/mobync/carrier.js",
  "/mobync/changes.js",
  "/mobync/check.js",
  "/mobync/client.js",
  "/mobync/diffs.js",
  "/mobync/errors.js",
  "/mobync/folding.js",
  "/mobync/forgetting.js",
  "/mobync/holding.js",
  "/mobync/identity.js",
  "/mobync/json.js",
  "/mobync/link.js",
  "/mobync/live.js",
  "/mobync/options.js",
  "/mobync/outbox.js",
  "/mobync/overridden.js",
  "/mobync/pace.js",
  "/mobync/schedule.js",
  "/mobync/schema.js",
  "/mobync/sha256.js",
  "/mobync/settling.js",
  "/mobync/space.js",
  "/mobync/spaces.js",
  "/mobync/standing.js",
  "/mobync/state.js",
  "/mobync/store-indexeddb.js",
  "/mobync/store-memory.js",
  "/mobync/sync.js",
  "/mobync/syncing.js",
  "/mobync/tabs.js",
  "/mobync/telling.js",
  "/mobync/tokens.js",
  "/mobync/transport.js",
  "/mobync/turns.js",
  "/mobync/types.js",
  "/mobync/updating.js",
  "/mobync/values.js",
  "/mobync/waiting.js",
  "/notices.js",
  "/status.js",
  "/schema.json",
  "/devices.html",
  "/people.html",
  "/devices.css",
  "/manifest.webmanifest",
  "/icons/icon.svg",
  "/icons/icon-192.png",
];

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(
    caches.open(CACHE).then((cache) => cache.addAll(FILES.map((path) => new Request(path, { cache: "reload" })))),
  );
});

addEventListener("activate", (event) => {
  const forgetOld = async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("todo-") && name !== CACHE) await caches.delete(name);
    }
    await clients.claim();
  };
  event.waitUntil(forgetOld());
});

addEventListener("fetch", (event) => {
  const { origin, pathname } = new URL(event.request.url);
  if (event.request.method !== "GET" || origin !== location.origin || !FILES.includes(pathname)) return;
  const answer = async () => (await caches.match(pathname, { cacheName: CACHE })) ?? fetch(event.request);
  event.respondWith(answer());
});
