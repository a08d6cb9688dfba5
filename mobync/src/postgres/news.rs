//! Notifications of new marks, by LISTEN.

use std::{sync::Arc, time::Duration};

use sqlx::{PgPool, postgres::PgListener};
use tokio::{sync::Mutex, time::sleep};

use super::clocks::{MARKS, listen};
use crate::sql::Model;

/// How long to wait after a lost connection before another one is opened.
const PAUSE: Duration = Duration::from_secs(1);

/// A connection of its own that listens, opened at the first request.
#[derive(Clone, Debug, Default)]
pub(super) struct News(Arc<Mutex<Option<PgListener>>>);

impl News {
    /// Returns when rows may have been marked.
    pub(super) async fn come(&self, pool: &PgPool, log: &Model) {
        let mut listener = self.0.lock().await;
        if let Err(error) = hear(&mut listener, pool, log).await {
            tracing::warn!(%error, "notifications of new marks are not received");
            *listener = None;
            // A notification may have been missed, so this counts as one.
            sleep(PAUSE).await;
        }
    }
}

async fn hear(
    listener: &mut Option<PgListener>,
    pool: &PgPool,
    log: &Model,
) -> Result<(), sqlx::Error> {
    let Some(listener) = listener else {
        *listener = Some(listen(pool, log).await?);
        // Marks from before this time count as news.
        return Ok(());
    };
    loop {
        match listener.try_recv().await? {
            Some(heard) if heard.payload() == MARKS => return Ok(()),
            Some(_) => {}
            None => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
        }
    }
}
