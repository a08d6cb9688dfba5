//! The files of the client for browsers. Other examples serve them, too.

macro_rules! files {
    ($($path:literal,)*) => {
        &[$(($path, include_str!(concat!("../web/", $path)))),*]
    };
}

/// The path of each, and what is in it.
pub(crate) const FILES: &[(&str, &str)] = files![
    "mobync.js",
    "mobync/anew.js",
    "mobync/answer.js",
    "mobync/applying.js",
    "mobync/aside.js",
    "mobync/beside.js",
    "mobync/carrier.js",
    "mobync/changes.js",
    "mobync/check.js",
    "mobync/client.js",
    "mobync/diffs.js",
    "mobync/errors.js",
    "mobync/folding.js",
    "mobync/forgetting.js",
    "mobync/holding.js",
    "mobync/identity.js",
    "mobync/json.js",
    "mobync/link.js",
    "mobync/live.js",
    "mobync/options.js",
    "mobync/outbox.js",
    "mobync/overridden.js",
    "mobync/pace.js",
    "mobync/schedule.js",
    "mobync/schema.js",
    "mobync/settling.js",
    "mobync/sha256.js",
    "mobync/space.js",
    "mobync/spaces.js",
    "mobync/standing.js",
    "mobync/state.js",
    "mobync/store-indexeddb.js",
    "mobync/store-memory.js",
    "mobync/sync.js",
    "mobync/syncing.js",
    "mobync/tabs.js",
    "mobync/telling.js",
    "mobync/tokens.js",
    "mobync/transport.js",
    "mobync/turns.js",
    "mobync/types.js",
    "mobync/updating.js",
    "mobync/values.js",
    "mobync/waiting.js",
];
