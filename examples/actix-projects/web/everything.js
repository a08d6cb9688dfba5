// The person's own data and all of their projects, as they come and go.

/**
 * Calls the listener now, and when there are other spaces or the status of one has changed.
 * @param {import("./mobync.js").Mobync} mobync
 * @param {(parts: any[]) => void} listener  gets the own data, and each space
 * @returns {() => void}  ends it
 */
export function watch(mobync, listener) {
  const parts = new Set([mobync]);
  const heard = () => listener([...parts]);
  const renew = async () => {
    for (const { space } of await mobync.spaces()) {
      const part = mobync.space(space);
      if (!parts.has(part)) part.addEventListener("status", heard);
      parts.add(part);
    }
    heard();
  };
  const renewed = () => void renew().catch(() => {}); // the database is closed
  mobync.addEventListener("status", heard);
  mobync.addEventListener("spaces", renewed);
  renewed();
  return () => {
    mobync.removeEventListener("spaces", renewed);
    for (const part of parts) part.removeEventListener("status", heard);
  };
}
