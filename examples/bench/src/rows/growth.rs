//! Time and bytes, depending on the amount of an owner's data.

use super::Lab;
use crate::{
    Database, Measured, Report, Result, Until, What, Workload,
    drive::Crowd,
    report::{Bound, Goal, Line, Round},
    workload::{Device, Newcomer, history},
};

/// The greatest number of updates of one measurement: the short log must stay short.
const UPDATES: u64 = 1_000;

pub(super) fn growth(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let [short, middle, long @ ..] = lab.options.scale.entries;
    // Ten owners share the updates of a measurement.
    let short = Workload::Growth { entries: short, owners: 10 };
    let alone = |entries| Workload::Growth { entries, owners: 1 };
    for database in lab.options.databases.clone() {
        let framework = lab.framework();
        let at = lab.make(database)?;
        let server = lab.start(framework, database, What::Ours, &at)?;
        let until = lab.until();
        let until = Until { requests: until.requests.min(UPDATES), ..until };

        let workload = alone(middle);
        let mut crowd = lab.gather(&server, workload, 1)?;
        let measured = lab.measure(&mut crowd, &server, until)?;
        report.servers.push(Line { framework, database, workload, connections: 1, measured });

        for entries in long {
            // Right after the bulk load: PostgreSQL may not have analysed the tables yet.
            eprintln!("growth {}: making a log of {entries} entries", database.name());
            let mut crowd = lab.gather(&server, alone(entries), 1)?;
            let figure = ("µs with a long log", "with a short one");
            let subject = format!("{} {entries}", database.name());
            let goal = Goal::new(("growth", subject), figure, Bound::AtMost(1.3));
            lab.contest(
                goal,
                report,
                mean_us,
                |lab| {
                    let mut crowd = lab.gather(&server, short, 1)?;
                    lab.measure(&mut crowd, &server, until)
                },
                |lab| lab.measure(&mut crowd, &server, until),
            )?;
        }
    }
    Ok(())
}

pub(super) fn first_sync(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let objects = lab.options.scale.objects;
    for database in lab.options.databases.clone() {
        let framework = lab.framework();
        let at = lab.make(database)?;
        let server = lab.start(framework, database, What::Ours, &at)?;
        let owner = lab.client.block_on(history::long(&server.url, 5 * objects))?;
        lab.client.block_on(lab.places.settle(database, &at))?;
        // The floor reads the same tables; in memory it has records of its own.
        let at = if database == Database::Memory { objects.to_string() } else { at };
        let bare = lab.start(framework, database, What::Rows, &at)?;
        let newcomer = |owner| -> Result<Vec<Box<dyn Device>>> {
            Ok(vec![Box::new(Newcomer::new(owner, objects)?)])
        };
        let mut ours = Crowd { url: server.url.clone(), devices: newcomer(owner)? };
        // The floor has no clocks.
        let owner = history::Owner { clock: 0, ..owner };
        let mut floor = Crowd { url: bare.url.clone(), devices: newcomer(owner)? };

        let figure = ("µs", "reading and writing out the rows");
        let subject = database.name().to_owned();
        let goal = Goal::new(("first-sync", subject), figure, Bound::AtMost(2.0));
        let until = lab.until();
        lab.contest(
            goal,
            report,
            mean_us,
            |lab| lab.measure(&mut floor, &bare, until),
            |lab| lab.measure(&mut ours, &server, until),
        )?;
        if let Some(goal) = bytes(database, report.goals.last()) {
            report.add(goal);
        }
    }
    Ok(())
}

/// The goal for the answer's size, from the measurements for its time.
fn bytes(database: Database, time: Option<&Goal>) -> Option<Goal> {
    let rounds = time?.rounds.iter().filter_map(|round| {
        let [floor, ours] = &*round.measured else { return None };
        Some(Round::new(floor.answer_bytes, ours.answer_bytes, Vec::new()))
    });
    let subject = database.name().to_owned();
    let figure = ("bytes", "the rows as creates");
    let mut goal = Goal::new(("first-sync", subject), figure, Bound::AtMost(1.1));
    goal.rounds = rounds.collect();
    Some(goal)
}

fn mean_us(measured: &Measured) -> f64 {
    measured.mean_us
}
