// A switch that takes the network away from this device alone, to see what happens.

let on = false;
let flight = new AbortController();

/** A fetch that fails while the switch is on, and fails what is under way when it is put on. */
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

/** Puts it on or off. */
export function set(value) {
  on = value;
  if (on) {
    flight.abort();
    flight = new AbortController();
  } else {
    // Like a browser whose network is back.
    globalThis.dispatchEvent(new Event("online"));
  }
}
