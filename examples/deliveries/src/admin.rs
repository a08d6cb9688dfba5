//! The admin page: forms, and handlers with SQL of the application's own, which knows of no sync.

use std::error::Error;

use axum::{
    Form, Router,
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use sqlx::{SqlitePool, error::ErrorKind};

use crate::{
    guard::random_text,
    page::{self, Driver, Round, Stop},
};

pub(crate) fn router(pool: SqlitePool) -> Router {
    Router::new()
        .route("/", get(show))
        .route("/drivers", post(add_driver))
        .route("/rounds", post(add_round))
        .route("/rounds/hand-over", post(hand_over))
        .route("/rounds/delete", post(delete_round))
        .route("/stops", post(add_stop))
        .route("/stops/edit", post(edit_stop))
        .with_state(pool)
}

type Done = Result<Redirect, Failure>;

async fn show(State(pool): State<SqlitePool>) -> Result<Html<String>, Failure> {
    let mut transaction = pool.begin().await?;
    let drivers: Vec<Driver> = sqlx::query_as("SELECT name, token FROM drivers ORDER BY name")
        .fetch_all(&mut *transaction)
        .await?;
    let rounds: Vec<Round> =
        sqlx::query_as("SELECT id, driver, name, open FROM rounds ORDER BY driver, name, id")
            .fetch_all(&mut *transaction)
            .await?;
    let stops: Vec<Stop> = sqlx::query_as(
        "SELECT id, driver, round, address, note, delivered FROM stops ORDER BY address, id",
    )
    .fetch_all(&mut *transaction)
    .await?;
    Ok(Html(page::page(&drivers, &rounds, &stops)))
}

#[derive(Deserialize)]
struct NewDriver {
    name: String,
}

async fn add_driver(State(pool): State<SqlitePool>, Form(driver): Form<NewDriver>) -> Done {
    let insert = sqlx::query("INSERT INTO drivers (name, token) VALUES ($1, $2)");
    insert.bind(driver.name).bind(random_text()?).execute(&pool).await?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct NewRound {
    driver: String,
    name: String,
}

async fn add_round(State(pool): State<SqlitePool>, Form(round): Form<NewRound>) -> Done {
    let insert = sqlx::query("INSERT INTO rounds (id, driver, name) VALUES ($1, $2, $3)");
    insert.bind(random_text()?).bind(round.driver).bind(round.name).execute(&pool).await?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct HandOver {
    driver: String,
    id: String,
    to: String,
}

/// Gives a round to another driver, with its stops.
async fn hand_over(State(pool): State<SqlitePool>, Form(round): Form<HandOver>) -> Done {
    let update = sqlx::query("UPDATE rounds SET driver = $3 WHERE driver = $1 AND id = $2");
    update.bind(round.driver).bind(round.id).bind(round.to).execute(&pool).await?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct OldRound {
    driver: String,
    id: String,
}

async fn delete_round(State(pool): State<SqlitePool>, Form(round): Form<OldRound>) -> Done {
    let delete = sqlx::query("DELETE FROM rounds WHERE driver = $1 AND id = $2");
    delete.bind(round.driver).bind(round.id).execute(&pool).await?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct NewStops {
    driver: String,
    round: String,
    addresses: String,
}

/// One stop for each line: all of them, or none.
async fn add_stop(State(pool): State<SqlitePool>, Form(stops): Form<NewStops>) -> Done {
    let mut transaction = pool.begin().await?;
    for address in stops.addresses.lines() {
        sqlx::query("INSERT INTO stops (id, driver, round, address) VALUES ($1, $2, $3, $4)")
            .bind(random_text()?)
            .bind(&stops.driver)
            .bind(&stops.round)
            .bind(address)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct EditedStop {
    driver: String,
    id: String,
    address: String,
    note: String,
}

async fn edit_stop(State(pool): State<SqlitePool>, Form(stop): Form<EditedStop>) -> Done {
    sqlx::query("UPDATE stops SET address = $3, note = $4 WHERE driver = $1 AND id = $2")
        .bind(stop.driver)
        .bind(stop.id)
        .bind(stop.address)
        .bind(stop.note)
        .execute(&pool)
        .await?;
    Ok(Redirect::to("/"))
}

/// Why something is not done.
struct Failure(Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self.0.downcast_ref() {
            Some(sqlx::Error::Database(error)) if !matches!(error.kind(), ErrorKind::Other) => {
                let sentence =
                    "That cannot be: something is missing in it, or it is there already.";
                (StatusCode::UNPROCESSABLE_ENTITY, sentence).into_response()
            }
            _ => {
                tracing::error!(error = %self.0, "the admin page failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "The server failed.").into_response()
            }
        }
    }
}
