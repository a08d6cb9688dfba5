// The types of the client, for editors and type checkers.

/**
 * A change on its way, as the protocol has it.
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
 * A change that the server has not acknowledged; seq is its place in the order made.
 * @typedef {{ seq: number, model: string, id: string, diff: Diff }} Pending
 */

/**
 * A change that did not pass, and that is undone here. `fields` is what it wanted: of a create also
 * what was changed of the object afterwards.
 * @typedef {object} Refused
 * @property {string} id  of the diff
 * @property {Diff} diff
 * @property {string} code  of the server: forbidden, invalid_value, constraint; or why it cannot be
 *   sent: too_large, payload_too_large, invalid_value, invalid_diff
 * @property {string} message  a sentence for the person
 * @property {Record<string, any>} fields
 * @property {number} at  when it was heard of
 * @property {number} seq  its place in the order made
 */

/**
 * Why the last sync failed: a code of the protocol, or `no_answer`, `no_token`, `other_owner`,
 * `answer_too_large`, `storage_full`, `storage_failed`; and a sentence. `lasting` says that it will
 * hardly go away by itself: somebody is needed.
 * @typedef {{ code: string, message: string, diffId?: string, lasting: boolean }} Problem
 */

/**
 * How it stands.
 * @typedef {object} Status
 * @property {"offline" | "syncing" | "stopped" | "waiting" | "saved"} state  in one word; `stopped`
 *   needs somebody. Both `offline` and `stopped` are tried again by themselves, the latter seldom
 * @property {number} pending  changes that the server has not acknowledged
 * @property {number} refused  changes that did not pass and that nobody has looked after
 * @property {Problem | null} problem
 * @property {number} clock
 * @property {number | null} syncedAt  when the last sync went well
 * @property {number | null} retryAt  when the next one is tried, if one failed
 * @property {boolean} live  whether this database hears of news at once
 */

/**
 * What `Mobync.open` takes. An option that is undefined is as if it were not there. Times are
 * milliseconds.
 * @typedef {object} Options
 * @property {string} [person]  whose database it is: any name that stays, as a user's id. A database
 *   that was opened for another person is refused
 * @property {string} [name]  of the local database; that of the person unless set
 * @property {string} url  where to sync; redirects are not followed
 * @property {string} [live]  where the stream of live updates is
 * @property {Record<string, Record<string, any>>} models  each model with its columns' defaults
 * @property {(ask: { rejected: boolean, signal: AbortSignal }) => Token | Promise<Token>} [token]
 *   the token, or nothing while nobody is signed in; asked with `rejected` when the server did not take
 *   the last one. It may throw: then it is asked again later. Without this option no token is sent
 * @property {Store} [store]  instead of IndexedDB
 * @property {typeof globalThis.fetch} [fetch]
 * @property {() => number} [now]  the time of day
 * @property {() => number} [monotonic]  a time that nobody sets; by which it waits
 * @property {boolean} [automatic]  sync by itself; true unless set
 * @property {number} [maxDiffs]  the most diffs in one request; 500 unless set
 * @property {number} [maxBytes]  about the most bytes in one request of several diffs; 256 KiB unless set
 * @property {number} [maxChange]  the most bytes of one change on its way; a little less than the
 *   servers' 16 MiB unless set
 * @property {number} [maxAnswer]  the most bytes of an answer; 256 MiB unless set
 * @property {number} [maxFailures]  after how many failures of the server in a row it counts as
 *   `stopped`; 20 unless set, which takes about an hour
 * @property {number} [debounce]  from a change to its sync; 250 unless set
 * @property {number} [firstWait]  after the first failure, and twice as long each time; 1,000 unless set
 * @property {number} [longWait]  between tries while it is stopped; 15 minutes unless set
 * @property {number} [timeout]  of silence after which there is no answer, or no token; 30,000 unless
 *   set, and longer after each such failure. A transfer that moves may take as long as it takes
 * @property {number} [silence]  after which a silent live stream is dead; 45,000 unless set
 * @property {number} [poll]  between syncs while there is no live stream; 60,000 unless set
 */

/** @typedef {string | null | undefined} Token */

/**
 * A local database with transactions. `objects` has {model, id, row}; `pending` and `refused` have
 * those types; `meta` has whatever else, by `key`.
 * @typedef {object} Store
 * @property {string} name
 * @property {<T>(work: (tx: Tx) => Promise<T>) => Promise<T>} read
 * @property {<T>(work: (tx: Tx) => Promise<T>, durable?: boolean) => Promise<T>} write  all or
 *   nothing, one after another; `durable` survives a loss of power
 * @property {() => void} close
 */

/** @typedef {"objects" | "pending" | "refused" | "meta"} Table */

/**
 * A transaction. `work` may await nothing but its methods.
 * @typedef {object} Tx
 * @property {(table: Table, key: any) => Promise<any>} get
 * @property {(table: Table, model?: string, id?: string) => Promise<any[]>} all  in order of their keys
 * @property {(table: Table, count: number) => Promise<any[]>} first
 * @property {(table: Table) => Promise<number>} count
 * @property {(table: Table, value: any) => Promise<void>} put  a pending change without seq gets the next
 * @property {(table: Table, key: any) => Promise<void>} delete
 */

/**
 * What a device knows of its server: its clock, the seq of the last change that was in a request
 * without an answer, when a sync last went well, objects (model, id) to be deleted if they come back,
 * whose it is (as the application and as the server say), how often in a row the server failed, and
 * by which token it was known.
 * @typedef {object} State
 * @property {"state"} key
 * @property {number} clock
 * @property {number} unanswered
 * @property {number | null} syncedAt
 * @property {[string, string][]} deleted
 * @property {string | null} person
 * @property {string | null} owner
 * @property {number} failures
 * @property {number | null} token  a mark of the one of the last answer
 */

export {};
