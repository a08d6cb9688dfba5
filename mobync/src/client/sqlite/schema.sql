-- The devices of one person: their own data, which has an empty space, and their spaces. `record` is what the
-- person sees: it can be queried, and indexed, by json_extract(record, '$.name').
CREATE TABLE IF NOT EXISTS mobync_objects (
    space TEXT NOT NULL,
    model TEXT NOT NULL,
    id TEXT NOT NULL,
    record TEXT,
    -- As the server has acknowledged it; an empty text where that is the same.
    acknowledged TEXT,
    changed_at INTEGER NOT NULL,
    -- As it has been fetched once more since the app was updated; an empty text where it is as acknowledged.
    beside TEXT,
    PRIMARY KEY (space, model, id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS mobync_pending (
    space TEXT NOT NULL,
    seq INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    diff TEXT NOT NULL,
    PRIMARY KEY (space, seq)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS mobync_refused (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    space TEXT NOT NULL,
    diff_id TEXT NOT NULL,
    refused TEXT NOT NULL,
    UNIQUE (space, diff_id)
);

CREATE TABLE IF NOT EXISTS mobync_overridden (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    space TEXT NOT NULL,
    diff_id TEXT NOT NULL,
    overridden TEXT NOT NULL,
    UNIQUE (space, diff_id)
);

CREATE TABLE IF NOT EXISTS mobync_state (
    space TEXT PRIMARY KEY,
    state TEXT NOT NULL
) WITHOUT ROWID;
