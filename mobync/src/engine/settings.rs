//! The settings of an application.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::schema::{Schema, View};

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) diffs_model: String,
    /// In milliseconds.
    pub(crate) allowed_drift: i64,
    pub(crate) max_diffs: usize,
    /// The greatest number of log entries in a page.
    pub(crate) max_page: u64,
    /// Whether requests that do not ask for a page also get one.
    pub(crate) page_all: bool,
    pub(crate) all_or_nothing: bool,
    pub(crate) time: Time,
    /// How long a sync may take, if set. Otherwise the database decides.
    pub(crate) time_limit: Option<Duration>,
    /// How many syncs of one owner may run or wait.
    pub(crate) max_waiting: usize,
    pub(crate) schema: Schema,
    /// The least version of the schema that a device may have.
    pub(crate) min_schema: u64,
    /// The version of devices that do not say one.
    pub(crate) silent_schema: u64,
    /// How often to check for changes outside of syncs.
    pub(crate) watch_every: Duration,
    /// About how many entries a compaction reads in one unit of work.
    pub(crate) compacts_at_once: usize,
}

/// Where the time comes from, in milliseconds since 1970.
#[derive(Clone)]
pub(crate) struct Time(pub(crate) Arc<dyn Fn() -> i64 + Send + Sync>);

impl Settings {
    pub(crate) fn now(&self) -> i64 {
        self.time.now()
    }

    /// What a device has that says that version of the schema, or none.
    pub(super) fn view(&self, said: Option<u64>) -> View<'_> {
        self.schema.view(said.unwrap_or(self.silent_schema))
    }
}

impl Time {
    pub(crate) fn now(&self) -> i64 {
        (self.0)().max(0)
    }
}

impl Default for Time {
    fn default() -> Self {
        Self(Arc::new(system_time))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            diffs_model: "diffs".to_owned(),
            allowed_drift: 5 * 60 * 1000,
            max_diffs: 10_000,
            max_page: 10_000,
            page_all: false,
            all_or_nothing: false,
            time: Time::default(),
            time_limit: None,
            max_waiting: 100,
            schema: Schema::default(),
            min_schema: 1,
            silent_schema: 1,
            watch_every: Duration::from_secs(1),
            compacts_at_once: 1_000,
        }
    }
}

fn system_time() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::Settings;

    #[test]
    fn the_time_is_the_systems_unless_another_is_set() {
        let now = Settings::default().now();
        let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(now).unwrap());
        let apart = SystemTime::now().duration_since(now).unwrap();
        assert!(apart < Duration::from_mins(1), "{apart:?}");
    }
}
