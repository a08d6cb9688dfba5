//! Schemas that change, on the SQL databases: what is checked at start, renames while servers run, and logs
//! that were written under older names.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "`json!` is written where it is needed")]

#[path = "../support/mod.rs"]
mod support;

mod history;
mod live;
mod start;

use std::{collections::BTreeMap, future::Future, sync::Arc};

use mobync::{
    Database, Diff, Error, Mobync, Operation, SyncRequest, SyncResponse,
    postgres::Postgres,
    schema::{Schema, Step},
    sql::{Builder, Dialect, SqlDatabase, Table},
    sqlite::Sqlite,
};
use serde_json::{Map, Value, json};
use sqlx::Pool;
use support::{T0, ada, postgres::new_database};
use tempfile::TempDir;

/// A kind of SQL database, of which tests can make new ones.
trait Kind: Dialect {
    const IS_POSTGRES: bool;
    /// The names of a table's columns, by the table's name as a literal.
    const COLUMNS: &'static str;

    fn new_url() -> impl Future<Output = (String, Option<TempDir>)> + Send;
}

impl Kind for Postgres {
    const IS_POSTGRES: bool = true;
    const COLUMNS: &'static str = "SELECT column_name::text FROM information_schema.columns \
                                   WHERE table_schema = 'public' AND table_name = {}";

    async fn new_url() -> (String, Option<TempDir>) {
        (new_database().await, None)
    }
}

impl Kind for Sqlite {
    const IS_POSTGRES: bool = false;
    const COLUMNS: &'static str = "SELECT name FROM pragma_table_info({})";

    async fn new_url() -> (String, Option<TempDir>) {
        let folder = tempfile::tempdir().unwrap();
        (format!("sqlite://{}", folder.path().join("test.sqlite").display()), Some(folder))
    }
}

/// A database, and a pool of the application's own.
struct Place<D: Dialect> {
    url: String,
    pool: Pool<D::Db>,
    _folder: Option<TempDir>,
}

impl<D: Kind> Place<D> {
    async fn new() -> Self {
        let (url, folder) = D::new_url().await;
        let pool = D::default().connect(&url).await.unwrap();
        Self { url, pool, _folder: folder }
    }

    async fn run(&self, sql: &str) {
        let mut connection = self.pool.acquire().await.unwrap();
        let ran = D::script(&mut connection, sql).await;
        ran.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The texts that a statement selects.
    async fn texts(&self, sql: &str) -> Vec<String> {
        let mut connection = self.pool.acquire().await.unwrap();
        D::texts(&mut connection, sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    async fn columns(&self, table: &str) -> Vec<String> {
        let name = format!("'{}'", table.replace('\'', "''"));
        self.texts(&D::COLUMNS.replace("{}", &name)).await
    }

    /// A server process: it has a pool of its own.
    async fn server(&self, builder: Builder<D>) -> Mobync<SqlDatabase<D>> {
        let database = builder.connect(&self.url).await.unwrap();
        database.set_up().await.unwrap();
        Mobync::new(database)
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn diff(operation: Operation, model: &str, id: &str, fields: Value) -> Diff {
    let mut data = Map::from_iter([("id".to_owned(), id.into())]);
    data.extend(fields.as_object().cloned().unwrap());
    Diff {
        id: uuid::Uuid::now_v7().to_string(),
        owner: String::new(),
        logical_clock: 0,
        utc_timestamp: T0,
        operation,
        model: model.to_owned(),
        json_data: Value::Object(data).to_string(),
    }
}

/// The fields of a diff or a row, without the id.
fn fields(json_data: &str) -> BTreeMap<String, Value> {
    let mut fields: BTreeMap<String, Value> = serde_json::from_str(json_data).unwrap();
    fields.remove("id");
    fields
}

async fn sync<D: Database>(
    mobync: &Mobync<D>,
    version: u64,
    clock: i64,
    diffs: Vec<Diff>,
) -> Result<SyncResponse, Error> {
    let mut request = SyncRequest::new(clock, diffs);
    request.schema = Some(version);
    mobync.answer(&ada(), &request).await
}

/// All objects of a new device, by model and id.
async fn all<D: Database>(
    mobync: &Mobync<D>,
    version: u64,
) -> BTreeMap<(String, String), BTreeMap<String, Value>> {
    let answer = sync(mobync, version, 0, Vec::new()).await.unwrap();
    let objects = answer.diffs.into_iter().map(|diff| {
        assert_eq!(diff.operation, Operation::Create);
        let id: Value = serde_json::from_str(&diff.json_data).unwrap();
        ((diff.model, id["id"].as_str().unwrap().to_owned()), fields(&diff.json_data))
    });
    objects.collect()
}
