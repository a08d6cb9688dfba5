//! The necessary work of a server, in the simplest way: serde's owned structs, one statement.

use std::hint::black_box;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::{PgPool, SqlitePool, postgres::PgPoolOptions, sqlite::SqlitePoolOptions};

use super::What;
use crate::{Database, Result, body, body::Ids, places, transactions::TICK};

/// The limit of the library's servers.
pub(super) const MAX_BODY_BYTES: usize = mobync::http::DEFAULT_MAX_BODY_BYTES;

#[derive(Deserialize)]
pub(super) struct Request {
    logical_clock: i64,
    diffs: Vec<Diff>,
}

#[derive(Serialize, Deserialize)]
struct Diff {
    id: String,
    owner: String,
    logical_clock: i64,
    utc_timestamp: i64,
    #[serde(rename = "type")]
    operation: String,
    model: String,
    json_data: String,
}

#[derive(Serialize)]
pub(super) struct Answer {
    success: bool,
    message: String,
    logical_clock: i64,
    diffs: Vec<Diff>,
}

/// A task as the tables have it.
type Row = (String, Option<String>, Option<String>, Option<bool>, Option<i32>);

/// A task as devices have it.
#[derive(Serialize)]
struct Task<'r> {
    id: &'r str,
    name: Option<&'r str>,
    note: Option<&'r str>,
    done: Option<bool>,
    position: Option<i32>,
}

/// The data of a bare server.
pub(super) enum Bare {
    Nothing,
    Clocks(PgPool),
    Records(Vec<Map<String, Value>>),
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Bare {
    /// For rows in memory, `at` is how many there are.
    pub(super) async fn open(what: What, database: Database, at: &str) -> Result<Self> {
        // As many connections as the library's pools have.
        let postgres = PgPoolOptions::new().max_connections(10).test_before_acquire(false);
        let sqlite = SqlitePoolOptions::new().max_connections(10).test_before_acquire(false);
        Ok(match (what, database) {
            (What::Clock, _) => Self::Clocks(postgres.connect(at).await?),
            (What::Rows, Database::Memory) => Self::Records(records(at.parse()?)),
            (What::Rows, Database::Sqlite) => {
                Self::Sqlite(sqlite.connect_with(places::sqlite(at)).await?)
            }
            (What::Rows, Database::Postgres) => Self::Postgres(postgres.connect(at).await?),
            (What::Ours | What::Captured | What::Bare, _) => Self::Nothing,
        })
    }

    pub(super) async fn answer(&self, owner: &str, request: Request) -> Result<Answer> {
        for diff in &request.diffs {
            black_box(serde_json::from_str::<Map<String, Value>>(&diff.json_data)?);
        }
        let is_push = !request.diffs.is_empty();
        let mut clock = request.logical_clock + i64::from(is_push);
        let diffs = match self {
            Self::Nothing => Vec::new(),
            Self::Clocks(pool) => {
                clock = read_clock(pool, owner, is_push).await?;
                Vec::new()
            }
            Self::Records(records) => records.iter().map(of_record).collect::<Result<_>>()?,
            Self::Sqlite(pool) => {
                let rows = sqlx::query_as(TASKS).bind(owner).fetch_all(pool).await?;
                rows.into_iter().map(of_row).collect::<Result<_>>()?
            }
            Self::Postgres(pool) => {
                let rows = sqlx::query_as(TASKS).bind(owner).fetch_all(pool).await?;
                rows.into_iter().map(of_row).collect::<Result<_>>()?
            }
        };
        let diffs = with_owner(diffs, owner);
        Ok(Answer { success: true, message: String::new(), logical_clock: clock, diffs })
    }
}

const TASKS: &str = "SELECT id, name, note, done, position FROM tasks WHERE owner = $1";
const CLOCK: &str = "SELECT clock FROM floor_clocks WHERE owner = $1";

async fn read_clock(pool: &PgPool, owner: &str, is_push: bool) -> Result<i64> {
    let sql = if is_push { TICK } else { CLOCK };
    let clock = sqlx::query_scalar(sql).bind(owner).fetch_optional(pool).await?;
    Ok(clock.unwrap_or(0))
}

fn of_row((id, name, note, done, position): Row) -> Result<Diff> {
    let (name, note) = (name.as_deref(), note.as_deref());
    let json_data = serde_json::to_string(&Task { id: &id, name, note, done, position })?;
    Ok(create(id, json_data))
}

fn of_record(record: &Map<String, Value>) -> Result<Diff> {
    let id = record.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(create(id, serde_json::to_string(record)?))
}

/// A create as long as the library's.
fn create(id: String, json_data: String) -> Diff {
    Diff {
        id,
        owner: String::new(),
        logical_clock: 0,
        utc_timestamp: 1_700_000_000_000,
        operation: "create".to_owned(),
        model: "tasks".to_owned(),
        json_data,
    }
}

fn with_owner(mut diffs: Vec<Diff>, owner: &str) -> Vec<Diff> {
    for diff in &mut diffs {
        owner.clone_into(&mut diff.owner);
    }
    diffs
}

/// A number of tasks, each renamed four times.
fn records(count: usize) -> Vec<Map<String, Value>> {
    let mut ids = Ids::new();
    let record = |_| {
        let fields = json!({
            "id": ids.next().to_string(), "name": body::name(4),
            "note": body::NOTE, "done": false, "position": 1024,
        });
        fields.as_object().cloned().unwrap_or_default()
    };
    (0..count).map(record).collect()
}
