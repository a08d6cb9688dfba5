//! What is measured against what.

mod compacted;
mod footprint;
mod growth;
mod lab;
mod requests;
mod servers;
mod spaces;

use std::{path::PathBuf, time::Duration};

pub(crate) use self::lab::Lab;
use crate::{Database, Framework, Places, Report, Result};

/// A row of the goals, or the plain table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Row {
    /// Pushes on memory, against a bare server of the framework.
    PushMemory,
    /// Idle syncs on memory, against a bare server of the framework.
    IdleMemory,
    /// Pushes on PostgreSQL, against its bare transactions.
    PushPostgres,
    /// Pushes on SQLite, against its bare transactions.
    PushSqlite,
    /// Pushes on databases that mark what others than syncs change, against those that do not.
    PushCaptured,
    /// Idle syncs on PostgreSQL, against a lookup by primary key in a server of the framework.
    IdlePostgres,
    /// Idle syncs of devices that send a head, against those of devices that do not.
    IdleHead,
    /// One request for many idle spaces, against as many idle requests.
    IdleSpaces,
    /// Pushes and idle syncs, against those of another build of this program.
    Builds,
    /// Updates with a long log, against those with a short one.
    Growth,
    /// A first sync, against reading and writing out the rows.
    FirstSync,
    /// First syncs in pages from a compacted log: their time against reading and writing out the rows, and
    /// the memory for many at once.
    Pages,
    /// The bytes of a compacted log, against those of the rows.
    CompactedLog,
    /// The memory for a large sync, against the bytes of its request and answer.
    Memory,
    /// The server's memory after a million requests, against that after a tenth of them.
    Million,
    /// Every workload on every server.
    Servers,
}

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// This program, to start servers with.
    pub program: PathBuf,
    /// Another build of it, for the row that compares the two.
    pub other: Option<PathBuf>,
    /// What to measure.
    pub rows: Vec<Row>,
    /// The servers.
    pub frameworks: Vec<Framework>,
    /// The databases.
    pub databases: Vec<Database>,
    /// How often a floor and the library are measured, alternately.
    pub rounds: usize,
    /// How long each measurement takes.
    pub time: Duration,
    /// How large everything is.
    pub scale: Scale,
}

/// How large everything is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// The greatest number of requests of one measurement.
    pub requests: u64,
    /// The lengths of logs, from the shortest to the longest.
    pub entries: [u64; 4],
    /// How many tasks a first sync returns, and a large push creates.
    pub objects: u64,
    /// After how many requests the server's memory is measured.
    pub repeats: [u64; 2],
}

impl Default for Scale {
    fn default() -> Self {
        Self {
            requests: u64::MAX,
            entries: [1_000, 10_000, 100_000, 1_000_000],
            objects: 10_000,
            repeats: [100_000, 1_000_000],
        }
    }
}

impl Row {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::PushMemory,
        Self::IdleMemory,
        Self::PushPostgres,
        Self::PushSqlite,
        Self::PushCaptured,
        Self::IdlePostgres,
        Self::IdleHead,
        Self::IdleSpaces,
        Self::Builds,
        Self::Growth,
        Self::FirstSync,
        Self::Pages,
        Self::CompactedLog,
        Self::Memory,
        Self::Million,
        Self::Servers,
    ];

    /// Its name in commands and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::PushMemory => "push-memory",
            Self::IdleMemory => "idle-memory",
            Self::PushPostgres => "push-postgres",
            Self::PushSqlite => "push-sqlite",
            Self::PushCaptured => "push-captured",
            Self::IdlePostgres => "idle-postgres",
            Self::IdleHead => "idle-head",
            Self::IdleSpaces => "idle-spaces",
            Self::Builds => "builds",
            Self::Growth => "growth",
            Self::FirstSync => "first-sync",
            Self::Pages => "pages",
            Self::CompactedLog => "compacted-log",
            Self::Memory => "memory",
            Self::Million => "million",
            Self::Servers => "servers",
        }
    }

    fn measure(self, lab: &mut Lab, report: &mut Report) -> Result<()> {
        match self {
            Self::PushMemory => requests::push_memory(lab, report),
            Self::IdleMemory => requests::idle_memory(lab, report),
            Self::PushPostgres => requests::push_postgres(lab, report),
            Self::PushSqlite => requests::push_sqlite(lab, report),
            Self::PushCaptured => requests::push_captured(lab, report),
            Self::IdlePostgres => requests::idle_postgres(lab, report),
            Self::IdleHead => requests::idle_head(lab, report),
            Self::IdleSpaces => spaces::idle_spaces(lab, report),
            Self::Builds => requests::builds(lab, report),
            Self::Growth => growth::growth(lab, report),
            Self::FirstSync => growth::first_sync(lab, report),
            Self::Pages => compacted::pages(lab, report),
            Self::CompactedLog => compacted::size(lab, report),
            Self::Memory => footprint::memory(lab, report),
            Self::Million => footprint::million(lab, report),
            Self::Servers => servers::servers(lab, report),
        }
    }
}

/// Measures the rows, one after another, and calls `keep` with the report after each.
///
/// # Errors
/// If a server does not start, or gives a wrong answer.
pub fn measure(options: Options, mut keep: impl FnMut(&Report) -> Result<()>) -> Result<Report> {
    let cores = std::thread::available_parallelism()?.get();
    let mut report = Report { cores, ..Report::default() };
    let rows = options.rows.clone();
    let mut lab = Lab::new(options, Places::new()?)?;
    for row in rows {
        row.measure(&mut lab, &mut report)?;
        keep(&report)?;
    }
    Ok(report)
}
