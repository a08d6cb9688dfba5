// What a browser has and Node has not: a page that hears of the network and of being looked at.

const page = new EventTarget();
globalThis.addEventListener = page.addEventListener.bind(page);
globalThis.removeEventListener = page.removeEventListener.bind(page);
globalThis.document = Object.assign(new EventTarget(), { visibilityState: "visible" });

/** Something happens to the page: online, focus, visibilitychange. */
export function happens(event) {
  (event === "visibilitychange" ? document : page).dispatchEvent(new Event(event));
}
