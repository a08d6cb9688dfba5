//! The library's databases, with a table of tasks.

use mobync::{
    memory::MemoryDatabase, postgres::PostgresDatabase, sql::Table, sqlite::SqliteDatabase,
};

use crate::Result;

pub(super) fn memory() -> MemoryDatabase {
    MemoryDatabase::new().model("tasks", ["name", "note", "done", "position"])
}

pub(crate) async fn sqlite(path: &str, captures: bool) -> Result<SqliteDatabase> {
    let url = format!("sqlite://{path}");
    let database = SqliteDatabase::builder().table(tasks(captures)).connect(&url).await?;
    database.set_up().await?;
    Ok(database)
}

pub(crate) async fn postgres(url: &str, captures: bool) -> Result<PostgresDatabase> {
    let database = PostgresDatabase::builder().table(tasks(captures)).connect(url).await?;
    database.set_up().await?;
    Ok(database)
}

fn tasks(captures: bool) -> Table {
    let tasks = Table::new("tasks");
    if captures { tasks.capture() } else { tasks }
}
