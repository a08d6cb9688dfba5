// Errors, each with a code for programs and a sentence for people.

/**
 * Why something could not be done: `exists`, `not_there`, `unknown_model`, `invalid_value`,
 * `too_large`, `invalid_option`, `other_person`, `newer_data`, `not_synced`, `storage_full`, `storage_failed`,
 * `no_member` (of a space that is not joined), `database_gone`.
 * Nothing was changed.
 */
export class MobyncError extends Error {
  /** @param {string} code @param {string} message @param {unknown} [cause] */
  constructor(code, message, cause) {
    super(message, { cause });
    this.name = "MobyncError";
    this.code = code;
  }

  /** @param {any} error */
  static of(error) {
    if (error instanceof MobyncError) return error;
    if (error?.name === "QuotaExceededError") {
      return new MobyncError("storage_full", "This device has no room left; nothing was changed.", error);
    }
    if (error?.name === "VersionError") return newerData(error);
    return new MobyncError("storage_failed", `The local database failed: ${error?.message ?? error}`, error);
  }
}

/** A newer version of the app has updated the data. @param {unknown} [cause] */
export function newerData(cause) {
  const message = "What is stored on this device is of a newer version of this app: load the page again, or update it.";
  return new MobyncError("newer_data", message, cause);
}

/** The server is older than the spaces. It is tried again soon. */
export const NO_SPACES = {
  code: "no_spaces",
  message: "The server does not know shared lists yet: what is changed in them is kept, and sent when it does.",
};

/** Failures that only mean that the server was not reached, or does not work at the moment. */
const UNREACHED = new Set(["no_answer", "no_token", "internal", "busy", "invalid_request"]);

/**
 * Whether the server was not reached, or does not work at the moment. (It may also be older than the app: while
 * a new version is rolled out, one process knows new names and another does not.)
 * @param {{ code: string, isOlder?: boolean }} failure
 */
export const isUnreached = ({ code, isOlder = false }) => isOlder || UNREACHED.has(code);

/** The device's history is not the server's: the server was restored from a backup, or is another one. */
export const ELSEWHERE = new Set(["clock_ahead", "other_history"]);

/** Failures that may go away by themselves, so the client tries again soon. */
const PASSING = new Set(["storage_full", "storage_failed"]);

/** @param {{ code: string, isOlder?: boolean }} failure */
export const isPassing = (failure) => isUnreached(failure) || PASSING.has(failure.code);
