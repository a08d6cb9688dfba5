//! Requests per second, against those of servers and databases that do less.

use super::Lab;
use crate::{
    Database, Measured, Report, Result, Server, What, Workload, drive,
    report::{Bound, Goal},
    transactions,
};

const PUSH: Workload = Workload::Push { creates: 10 };

pub(super) fn push_memory(lab: &mut Lab, report: &mut Report) -> Result<()> {
    behind_frameworks(lab, report, "push-memory", Database::Memory, PUSH, What::Bare, 0.7)
}

pub(super) fn idle_memory(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let idle = Workload::Idle;
    behind_frameworks(lab, report, "idle-memory", Database::Memory, idle, What::Bare, 0.9)
}

pub(super) fn idle_postgres(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let idle = Workload::Idle;
    behind_frameworks(lab, report, "idle-postgres", Database::Postgres, idle, What::Clock, 0.8)
}

/// Compares idle syncs with the probe of a head to those without.
pub(super) fn idle_head(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let framework = lab.framework();
    for database in Database::ALL {
        if !lab.has(database) {
            continue;
        }
        let row = ("idle-head", database.name().to_owned());
        let goal = Goal::new(row, ("requests/s", "without a head"), Bound::AtLeast(0.97));
        lab.contest(
            goal,
            report,
            per_second,
            |lab| lab.try_on(framework, database, What::Ours, Workload::Idle, 8),
            |lab| lab.try_on(framework, database, What::Ours, Workload::IdleHead, 8),
        )?;
    }
    Ok(())
}

/// Compares pushes with those of another build of the library.
pub(super) fn builds(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let Some(other) = lab.options.other.clone() else { return Ok(()) };
    let framework = lab.framework();
    for database in lab.options.databases.clone() {
        let row = ("builds", format!("{} push", database.name()));
        let goal = Goal::new(row, ("requests/s", "the other build"), Bound::AtLeast(1.0));
        lab.contest(
            goal,
            report,
            per_second,
            |lab| {
                let at = lab.make(database)?;
                let server = Server::start(&other, framework, database, What::Ours, &at)?;
                let run = drive(&server.url, Some(&server), PUSH, 8, lab.until());
                lab.client.block_on(run)
            },
            |lab| lab.try_on(framework, database, What::Ours, PUSH, 8),
        )?;
    }
    Ok(())
}

/// Compares each framework with a plain handler of the same framework.
fn behind_frameworks(
    lab: &mut Lab,
    report: &mut Report,
    row: &'static str,
    database: Database,
    workload: Workload,
    floor: What,
    at_least: f64,
) -> Result<()> {
    if !lab.has(database) {
        return Ok(());
    }
    for framework in lab.options.frameworks.clone() {
        let beside = if floor == What::Bare { "a bare server" } else { "a lookup of the clock" };
        let subject = framework.name().to_owned();
        let goal = Goal::new((row, subject), ("requests/s", beside), Bound::AtLeast(at_least));
        lab.contest(
            goal,
            report,
            per_second,
            |lab| lab.try_on(framework, database, floor, workload, 8),
            |lab| lab.try_on(framework, database, What::Ours, workload, 8),
        )?;
    }
    Ok(())
}

pub(super) fn push_postgres(lab: &mut Lab, report: &mut Report) -> Result<()> {
    push(lab, report, "push-postgres", Database::Postgres, 8, 0.7)
}

pub(super) fn push_sqlite(lab: &mut Lab, report: &mut Report) -> Result<()> {
    push(lab, report, "push-sqlite", Database::Sqlite, 8, 1.0)?;
    push(lab, report, "push-sqlite", Database::Sqlite, 32, 1.0)
}

/// Compares pushes to tables whose changes by others are marked with those to tables where they are not.
pub(super) fn push_captured(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let framework = lab.framework();
    for database in [Database::Postgres, Database::Sqlite] {
        if !lab.has(database) {
            continue;
        }
        let row = ("push-captured", database.name().to_owned());
        let goal = Goal::new(row, ("requests/s", "without capture"), Bound::AtLeast(0.9));
        lab.contest(
            goal,
            report,
            per_second,
            |lab| lab.try_on(framework, database, What::Ours, PUSH, 8),
            |lab| lab.try_on(framework, database, What::Captured, PUSH, 8),
        )?;
    }
    Ok(())
}

/// Compares pushes with the same rows in as many transactions.
fn push(
    lab: &mut Lab,
    report: &mut Report,
    row: &'static str,
    database: Database,
    connections: usize,
    at_least: f64,
) -> Result<()> {
    if !lab.has(database) {
        return Ok(());
    }
    let figure = ("requests/s", "bare transactions/s");
    let subject = format!("{connections} connections");
    let goal = Goal::new((row, subject), figure, Bound::AtLeast(at_least));
    let framework = lab.framework();
    lab.contest(
        goal,
        report,
        per_second,
        |lab| {
            let (at, until) = (lab.make(database)?, lab.until());
            lab.bare.block_on(async {
                match database {
                    Database::Postgres => transactions::postgres(&at, connections, until).await,
                    _ => transactions::sqlite(&at, connections, until).await,
                }
            })
        },
        |lab| lab.try_on(framework, database, What::Ours, PUSH, connections),
    )
}

fn per_second(measured: &Measured) -> f64 {
    measured.per_second
}
