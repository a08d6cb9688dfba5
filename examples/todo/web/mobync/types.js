// The types of the client, for editors and type checkers.

/**
 * A change, as the protocol defines it.
 * @typedef {object} Diff
 * @property {string} id
 * @property {string} owner
 * @property {number} logical_clock
 * @property {number} utc_timestamp  milliseconds since 1970
 * @property {"create" | "update" | "delete"} type
 * @property {string} model
 * @property {string} json_data
 */

/** @typedef {{ id: string } & Record<string, any>} Row  One object of a model. */

/**
 * A change that the server has not acknowledged; seq is its number in the order made. If it was in a request without
 * an answer before an update of the app, `sent` is the diff as it was in that request.
 * @typedef {{ seq: number, model: string, id: string, diff: Diff, sent?: Diff }} Pending
 */

/**
 * A change that was refused or cannot be sent, and that is undone here. `fields` has its values; for a
 * create, also later changes of the object.
 * @typedef {object} Refused
 * @property {string} id  of the diff
 * @property {Diff} diff
 * @property {string} code  of the server: forbidden, invalid_value, constraint; or why it cannot be
 *   sent: too_large, payload_too_large, invalid_value, invalid_diff, no_member
 * @property {string} message  a sentence for the person
 * @property {Record<string, any>} fields
 * @property {number} at  when the client learned of it
 * @property {number} seq  its number in the order made
 * @property {Row} [row]  the object as it was here, if its space was left
 */

/**
 * A change that is on the server, but with values in whose place others' values stand now.
 * @typedef {object} Overridden
 * @property {string} id  of the diff
 * @property {string} model
 * @property {string} object  the object's id
 * @property {Record<string, { sent: any, stands?: any, by: string }>} fields  the value that was sent, the one
 *   that stands (none if the object was deleted), and the id of the diff that did it
 * @property {Row | undefined} row  the object as it was here before
 * @property {number} at  when the client learned of it
 * @property {number} seq  its number in the order made
 */

/**
 * A space of the person: joined; or left, with the reason, and the number of changes that were set aside.
 * @typedef {{ space: string, joined: true } | { space: string, joined: false, message: string, refused: number }} SpaceEntry
 */

/**
 * A model in which this device's copy is not the server's: how many objects are here and there, and
 * whether it has other `objects`, or other `values` of the same objects.
 * @typedef {{ model: string, here: number, there: number, differs: "objects" | "values" }} Difference
 */

/**
 * Why the last sync failed: a code of the protocol, or `no_answer`, `no_token`, `other_owner`,
 * `answer_too_large`, `storage_full`, `storage_failed`; and a message. `lasting` means that it
 * will hardly go away by itself and needs a person. `upgrade_required` needs a newer version of the app, with a
 * schema of `minSchema` or more. `newer_data`: a newer version in another tab has updated the data, and this one
 * has stopped: load the page again. `database_gone`: another tab has deleted it. `no_member`: the space was left.
 * `no_spaces`: the server is older than the spaces, and they wait for a newer one.
 * @typedef {{ code: string, message: string, diffId?: string, minSchema?: number, lasting: boolean }} Problem
 */

/**
 * The state of the client.
 * @typedef {object} Status
 * @property {"offline" | "syncing" | "stopped" | "waiting" | "saved"} state  `stopped`
 *   needs a person. The client tries again by itself when `offline`, and rarely when `stopped`
 * @property {number} pending  changes that the server has not acknowledged
 * @property {number} refused  changes that were refused or cannot be sent, and were not mended or dismissed
 * @property {number} overridden  changes with values that others have overridden, until they are looked at
 * @property {number | null} progress  from 0 to 1, while the device fetches in pages what it has missed
 * @property {Problem | null} problem
 * @property {number} clock
 * @property {number | null} syncedAt  when the last sync succeeded
 * @property {number | null} retryAt  when a failed sync is tried again
 * @property {boolean} live  whether this database receives live updates
 */

/**
 * The options of `Mobync.open`. An undefined option counts as missing. Times are in milliseconds.
 * @typedef {object} Options
 * @property {string} [person]  the owner of the database: any permanent name, such as a user's id. A
 *   database that was opened for another person cannot be opened
 * @property {string} [name]  of the local database; the default is `person`
 * @property {string} url  the sync endpoint; redirects are not followed
 * @property {string} [live]  the endpoint of the live updates
 * @property {Record<string, Record<string, any>>} models  each model with its columns' defaults, by the newest
 *   names. Fields and models that steps of the schema add need not be there
 * @property {Step[]} [schema]  how models and fields have changed: the same list that the server has. Data that
 *   an older version of the app has stored is updated when it is opened; data of a newer one is `newer_data`
 * @property {(ask: { rejected: boolean, signal: AbortSignal }) => Token | Promise<Token>} [token]
 *   returns the token, or null while nobody is signed in; `rejected` is true if the server has rejected
 *   the last one. It may throw: then it is called again later. Without this option no token is sent
 * @property {{ model: string, field: string }} [spaces]  a model of the person's own data that lists the spaces to join, and
 *   its field with their names. Changes of it count when the server has acknowledged them
 * @property {OtherOwner | ((who: { owner: string | null, other: string | undefined }) => OtherOwner | Promise<OtherOwner>)}
 *   [otherOwner]  what to do with the database if the account is another owner's: keep it and stop, which is the
 *   default; or forget all of it, also what is not sent, and fetch the data of the other one. A function is asked once
 * @property {Store} [store]  instead of IndexedDB
 * @property {typeof globalThis.fetch} [fetch]
 * @property {() => number} [now]  the time of day
 * @property {() => number} [monotonic]  a monotonic time, for waits
 * @property {boolean} [automatic]  sync by itself; the default is true
 * @property {boolean} [fold]  do not send a value that the next change overwrites before it was sent; the
 *   default is true. Switch it off if the server's rules depend on the steps in between
 * @property {boolean} [recover]  at `clock_ahead` and `other_history`, call `resend` without asking a person,
 *   if the account has data of this owner. Set it while the devices of a server that was restored from a
 *   backup recover; the default is false
 * @property {number} [maxDiffs]  the most diffs in one request; the default is 500. A device that begins anew
 *   sends as many as a server accepts, 10,000 and 16 MiB
 * @property {number} [maxBytes]  about the most bytes in one request of several diffs; the default is 256 KiB
 * @property {number} [maxChange]  the most bytes of one change in a request; the default is a little less than
 *   the servers' 16 MiB
 * @property {number} [maxAnswer]  the most bytes of an answer; the default is 256 MiB
 * @property {number} [maxFailures]  after how many failures of the server in a row the state is `stopped`; the
 *   default is 20, which takes about an hour
 * @property {number} [debounce]  from a change to its sync; the default is 250
 * @property {number} [firstWait]  after the first failure, and twice as long each time; the default is 1,000
 * @property {number} [longWait]  between tries while the state is `stopped`; the default is 15 minutes
 * @property {number} [timeout]  without data after which an answer or a token counts as missing; the default
 *   is 30,000, and it grows after each such failure. The total time of a transfer is not limited
 * @property {number} [silence]  without data after which a live stream is closed; the default is 45,000
 * @property {number} [poll]  between syncs while there is no live stream; the default is 60,000
 */

/** @typedef {"keep" | "forget"} OtherOwner */

/** @typedef {string | null | undefined} Token */

/**
 * One change of the schema, and the version that has it first, 2 or more. With `model` it is about a field.
 * @typedef {{ since: number, model?: string, add?: string, rename?: string, to?: string, remove?: string,
 *   default?: any }} Step
 */

/** @typedef {{ clock: number, head: string }} Copy  How far the rows are that are fetched after an update. */

/**
 * A local database with transactions. `objects` has {model, id, row}, and so has `beside`, the copy that is
 * fetched after an update of the app; `pending`, `refused` and `overridden` have those types; `meta` has everything else, by `key`.
 * @typedef {object} Store
 * @property {string} name
 * @property {<T>(work: (tx: Tx) => Promise<T>) => Promise<T>} read
 * @property {<T>(work: (tx: Tx) => Promise<T>, durable?: boolean) => Promise<T>} write  all or
 *   nothing, one after another; `durable` survives a power failure
 * @property {() => void} close
 * @property {() => Promise<void>} destroy  closes it, and deletes everything
 */

/** @typedef {"objects" | "beside" | "pending" | "refused" | "overridden" | "meta"} Table */

/**
 * A transaction. `work` may await only its methods.
 * @typedef {object} Tx
 * @property {(table: Table, key: any) => Promise<any>} get
 * @property {(table: Table, model?: string, id?: string) => Promise<any[]>} all  in order of their keys
 * @property {(table: Table, count: number) => Promise<any[]>} first
 * @property {(table: Table) => Promise<number>} count
 * @property {(table: Table, value: any) => Promise<void>} put  a pending change without seq gets the next
 * @property {(table: Table, key: any) => Promise<void>} delete
 * @property {(table: Table) => Promise<void>} clear
 * @property {(space: string) => Tx} of  the same transaction in the tables of a space; "" has the person's own data
 */

/**
 * The state of a device: its clock and head, the server's clock as far as it is known, whether the next
 * answer replaces all objects, the clock of the last answer that did not because more was to be sent first,
 * the seq of the last change in a request without an answer, when a sync last succeeded, objects (model, id)
 * to delete if they come back, the object of the last change and the ids of its updates since any other
 * change, its owner (as named by the application and by the server), how often in a row the server has
 * failed, and a mark of the token.
 * @typedef {object} State
 * @property {"state"} key
 * @property {number} clock
 * @property {string} head
 * @property {number} goal
 * @property {boolean} anew
 * @property {number} heard
 * @property {number} latest  the time of the last change, and no less than any that is pending while it begins anew
 * @property {boolean} isUnasked  it begins anew for a restored server, and no person has been asked
 * @property {number} unanswered
 * @property {number | null} syncedAt
 * @property {[string, string][]} deleted
 * @property {{ model: string, id: string, diffs: string[] } | null} run
 * @property {string | null} person
 * @property {string | null} owner
 * @property {{ id: string, model?: string, from: number, to: number } | null} mark  while the owner is unknown: a create of this
 *   device, and between which clocks the server has it
 * @property {number} failures
 * @property {number | null} token  a mark of the token of the last answer
 * @property {number | null} named  the same, if that answer has named the owner
 * @property {boolean} joined  of a space
 * @property {string} life  of a space: which time of being joined this is
 * @property {string | null} left  of a space that was left: why
 */

export {};
