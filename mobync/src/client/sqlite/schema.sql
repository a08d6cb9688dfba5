-- One device of one account. `record` is what the person sees: it can be queried, and indexed, by
-- json_extract(record, '$.name').
CREATE TABLE IF NOT EXISTS mobync_objects (
    model TEXT NOT NULL,
    id TEXT NOT NULL,
    record TEXT,
    -- As the server has acknowledged it; an empty text where that is the same.
    acknowledged TEXT,
    changed_at INTEGER NOT NULL,
    -- As it has been fetched once more since the app was updated; an empty text where it is as acknowledged.
    beside TEXT,
    PRIMARY KEY (model, id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS mobync_pending (
    seq INTEGER PRIMARY KEY,
    sent INTEGER NOT NULL,
    diff TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS mobync_refused (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    diff_id TEXT NOT NULL UNIQUE,
    refused TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS mobync_overridden (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    diff_id TEXT NOT NULL UNIQUE,
    overridden TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS mobync_state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    state TEXT NOT NULL
);
