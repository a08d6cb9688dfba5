// What can go wrong, each with a code for programs and a sentence for people.

/**
 * Why something could not be done: `exists`, `not_there`, `unknown_model`, `invalid_value`,
 * `too_large`, `invalid_option`, `other_person`, `not_synced`, `storage_full`, `storage_failed`. Nothing was
 * changed.
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
    return new MobyncError("storage_failed", `The local database failed: ${error?.message ?? error}`, error);
  }
}

/** Failures that say nothing but that the server was not reached, or is ill. */
export const UNREACHED = new Set(["no_answer", "no_token", "internal", "busy", "invalid_request"]);

/** Failures of a device that is not on the history that the server has: it was restored, or is another one. */
export const ELSEWHERE = new Set(["clock_ahead", "other_history"]);

/** Failures that may pass by themselves, so that it is tried again soon. */
export const PASSING = new Set([...UNREACHED, "storage_full", "storage_failed"]);
