//! The library's databases, with a table of tasks.

use mobync::{memory::MemoryDatabase, postgres::PostgresDatabase, sqlite::SqliteDatabase};

use crate::Result;

pub(super) fn memory() -> MemoryDatabase {
    MemoryDatabase::new().model("tasks", ["name", "note", "done", "position"])
}

pub(super) async fn sqlite(path: &str) -> Result<SqliteDatabase> {
    let url = format!("sqlite://{path}");
    let database = SqliteDatabase::builder().table("tasks").connect(&url).await?;
    database.set_up().await?;
    Ok(database)
}

pub(super) async fn postgres(url: &str) -> Result<PostgresDatabase> {
    let database = PostgresDatabase::builder().table("tasks").connect(url).await?;
    database.set_up().await?;
    Ok(database)
}
