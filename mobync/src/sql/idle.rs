//! Which devices of several owners have missed nothing, in one statement, and so from one snapshot.

use super::{
    Arg, Dialect, Model, Schema, SqlDatabase,
    session::Session,
    window::{has_head, last_entry},
};
use crate::{error::DatabaseError, unit::IdleQuery};

impl<D: Dialect> SqlDatabase<D> {
    pub(super) async fn idle_among(
        &self,
        log: &str,
        devices: &[IdleQuery<'_>],
    ) -> Result<Vec<bool>, DatabaseError> {
        let schema = self.fresh().await?.schema;
        schema.check_log(log)?;
        let log = &schema.log;
        let (places, asked): (Vec<usize>, Vec<&IdleQuery<'_>>) =
            devices.iter().enumerate().filter(|(_, device)| can_be(log, device)).unzip();
        let mut idle = vec![false; devices.len()];
        if asked.is_empty() {
            return Ok(idle);
        }
        let (sql, args) = statement::<D>(&schema, &asked);
        let found = Session::<D>::Reading(self.pool.clone()).texts(&sql, &args).await;
        for place in found.map_err(|error| D::explain(log, error))? {
            let place: usize = place.parse().map_err(DatabaseError::failed)?;
            let place = place.checked_sub(1).and_then(|place| places.get(place));
            if let Some(is_idle) = place.and_then(|place| idle.get_mut(*place)) {
                *is_idle = true;
            }
        }
        Ok(idle)
    }
}

/// Whether the log can have this owner, and this head.
fn can_be(log: &Model, device: &IdleQuery<'_>) -> bool {
    log.check_owner(device.owner).is_ok() && device.head.is_none_or(|head| log.can_have(head))
}

/// The statement that returns the places of those devices, from 1 on.
fn statement<'a, D: Dialect>(schema: &Schema, asked: &[&IdleQuery<'a>]) -> (String, Vec<Arg<'a>>) {
    let log = &schema.log;
    let (devices, args) = D::devices(asked);
    let (owner, since, head) = ("d.owner", "d.since", "d.head");
    let mut sql = format!(
        "SELECT CAST(d.place AS TEXT) FROM {devices} WHERE coalesce((SELECT CASE \
         WHEN t.logical_clock <> {since} - 1 THEN 0 WHEN {head} = '' THEN 1 ELSE {has_head} END \
         {last}), CASE WHEN {since} = 0 THEN 1 ELSE 0 END) = 1",
        has_head = has_head(log, (owner, since, head)),
        last = last_entry(log, owner)
    );
    if schema.captured().next().is_some() {
        sql += &format!(" AND NOT {}", D::is_marked(log, owner));
    }
    (sql, args)
}
