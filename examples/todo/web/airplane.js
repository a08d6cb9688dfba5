// A switch that disconnects this device only, for trying things out.

let on = false;
let flight = new AbortController();

/** A fetch that fails while the switch is on. Requests under way fail when it is switched on. */
export const fetch = async (url, init) => {
  if (on) throw new TypeError("airplane mode");
  const { signal } = flight;
  const cut = new AbortController();
  for (const reason of [signal, init.signal]) {
    if (reason.aborted) cut.abort();
    reason.addEventListener("abort", () => cut.abort(), { once: true });
  }
  return globalThis.fetch(url, { ...init, signal: cut.signal });
};

/** Switches it on or off. */
export function set(value) {
  on = value;
  if (on) {
    flight.abort();
    flight = new AbortController();
  } else {
    // A browser does the same when the network is back.
    globalThis.dispatchEvent(new Event("online"));
  }
}
