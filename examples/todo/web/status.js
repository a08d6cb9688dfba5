// One status line for a person's own data and their spaces.

/** From the state that matters least. */
const STATES = ["saved", "waiting", "syncing", "offline", "stopped"];

/**
 * What there is to say of all of them: the state that matters most, and what waits. A space that the person has left
 * does not count.
 * @param {import("./mobync/types.js").Status[]} statuses
 */
export function together(statuses) {
  const there = statuses.filter(({ problem }) => problem?.code !== "no_member");
  const { state, problem } = there.reduce((most, one) =>
    STATES.indexOf(one.state) > STATES.indexOf(most.state) ? one : most,
  );
  const fetching = there.map(({ progress }) => progress ?? 1);
  const progress = there.some((one) => one.progress !== null) ? Math.min(...fetching) : null;
  return { state, problem, progress, pending: there.reduce((sum, one) => sum + one.pending, 0) };
}
