//! Sync, added to the application: which tables, whose they are, what phones may do, and who hears of it.

use std::error::Error;

use axum::Router;
use mobync::{
    Diff, Mobync, Owner, Refusal, Rules, View,
    http::{AuthError, Credentials},
    sql::Table,
    sqlite::SqliteDatabase,
};
use sqlx::SqlitePool;

use crate::webhook::Webhook;

pub(crate) type Sync = Mobync<SqliteDatabase, TickOff>;

/// Syncs rounds and stops with the phones of their drivers.
pub(crate) async fn start(
    pool: SqlitePool,
    webhook: Option<String>,
) -> Result<Sync, Box<dyn Error>> {
    let database = SqliteDatabase::builder()
        .table(Table::new("rounds").owner_column("driver").read_only(["name", "open"]))
        .table(Table::new("stops").owner_column("driver").read_only(["round", "address"]))
        .capture() // the application goes on writing its own SQL
        .pool(pool.clone())
        .await?;
    database.set_up().await?;
    let mobync = Mobync::new(database).rules(TickOff);
    mobync.reconcile_all(None, |_, _| {}).await?; // what was there before

    let watching = mobync.clone();
    tokio::spawn(async move { watching.watch().await });
    if let Some(url) = webhook {
        let webhook = Webhook::new(url, pool);
        let follower =
            mobync.follow("webhook", move |driver, entries| webhook.clone().tell(driver, entries));
        tokio::spawn(follower.from_now().run());
    }
    Ok(mobync)
}

/// `POST /sync` and `GET /sync/live`, for phones with the token of a driver.
pub(crate) fn router(mobync: Sync, pool: SqlitePool) -> Router {
    let auth = move |credentials| driver_of(pool.clone(), credentials);
    mobync_axum::router(mobync.clone(), auth.clone()).merge(mobync_axum::live(mobync, auth))
}

async fn driver_of(pool: SqlitePool, credentials: Credentials) -> Result<Owner, AuthError> {
    let driver: Option<String> = sqlx::query_scalar("SELECT name FROM drivers WHERE token = $1")
        .bind(credentials.token()?)
        .fetch_optional(&pool)
        .await
        .map_err(AuthError::failed)?;
    let driver = driver.ok_or(AuthError::unauthenticated("That is no driver's token."))?;
    Ok(Owner::new(driver)?)
}

/// Drivers tick stops off, and make notes. All else is for the dispatcher.
pub(crate) struct TickOff;

impl Rules for TickOff {
    async fn create(&self, _: &Owner, _: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        Err(Refusal::because("Only the dispatcher can add that."))
    }

    async fn delete(&self, _: &Owner, _: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        Err(Refusal::because("Only the dispatcher can remove that."))
    }
}
