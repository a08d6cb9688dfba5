//! What a log costs after years: its size, and a first sync from it in pages.

use std::time::Instant;

use super::Lab;
use crate::{
    Database, Measured, Report, Result, Server, Until, What, Workload, compaction,
    drive::Crowd,
    report::{Bound, Goal, Round},
    workload::{
        Device, Newcomer, Pager,
        history::{self, Order, Owner},
    },
};

const MIB: f64 = 1024.0 * 1024.0;
/// How many devices fetch everything at the same time.
const AT_ONCE: u64 = 20;
/// How much memory a server may take for them.
const MOST_MIB: f64 = 64.0;
/// How many entries each of the tasks has that a new device fetches.
const ENTRIES: u64 = 10;

/// The size of a compacted log, and that of the rows.
pub(super) fn size(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let tasks = lab.options.scale.objects;
    let entries = lab.options.scale.entries.into_iter().max().unwrap_or_default();
    for database in on_disk(lab) {
        let past = (tasks, (entries / tasks).max(2), Order::Apart);
        let (at, _) = old(lab, database, past)?;
        let sizes = lab.client.block_on(compaction::sizes(database, &at))?;
        let mut add = |what, figure: fn(&compaction::Size) -> i64| {
            let [log, rows] = sizes.each_ref().map(figure).map(mib);
            let row = ("compacted-log", format!("{} {what}", database.name()));
            let mut goal = Goal::new(row, ("MiB", "the rows"), Bound::AtMost(1.3));
            goal.rounds.push(Round::new(rows, log, Vec::new()));
            report.add(goal);
        };
        add("columns", |size| size.columns);
        add("pages", |size| size.pages);
    }
    Ok(())
}

/// First syncs in pages: their time, and the memory of many at once.
pub(super) fn pages(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let tasks = lab.options.scale.objects * 10;
    for database in on_disk(lab) {
        for order in [Order::Together, Order::Apart] {
            let (at, owner) = old(lab, database, (tasks, ENTRIES, order))?;
            lab.client.block_on(lab.places.settle(database, &at))?;
            let subject = format!("{} {}", database.name(), order.name());
            let old = Old { database, at, owner, tasks, subject };
            let pages = old.time(lab, report)?;
            old.memory(lab, report, pages)?;
        }
    }
    Ok(())
}

/// An owner with a compacted log.
struct Old {
    database: Database,
    at: String,
    owner: Owner,
    tasks: u64,
    subject: String,
}

impl Old {
    /// Returns how many pages a first sync has.
    fn time(&self, lab: &mut Lab, report: &mut Report) -> Result<u64> {
        let Self { database, ref at, owner, tasks, ref subject } = *self;
        let server = lab.start(lab.framework(), database, What::Ours, at)?;
        let bare = lab.start(lab.framework(), database, What::Rows, at)?;
        let pages = lab.client.block_on(Pager::new(owner, tasks).count(&server.url))?;
        eprintln!("pages {subject}: a first sync has {pages}");
        let mut ours = crowd(&server, [Pager::new(owner, tasks)]);
        // The floor has no clocks.
        let mut floor = crowd(&bare, [Newcomer::new(Owner { clock: 0, ..owner }, tasks)?]);
        let figure = ("µs for all pages", "reading and writing out the rows");
        let goal = Goal::new(("pages", subject.clone()), figure, Bound::AtMost(1.5));
        lab.contest(
            goal,
            report,
            all_us,
            |lab| lab.client.block_on(floor.run(Until::requests(1), Some(&bare))),
            |lab| lab.client.block_on(ours.run(Until::requests(pages), Some(&server))),
        )?;
        Ok(pages)
    }

    fn memory(&self, lab: &Lab, report: &mut Report, pages: u64) -> Result<()> {
        let Self { database, ref at, owner, tasks, ref subject } = *self;
        let subject = format!("{subject}, {AT_ONCE} at once");
        let figure = ("MiB at the peak", "the most");
        let mut goal = Goal::new(("pages", subject), figure, Bound::AtMost(1.0));
        for _ in 0..lab.options.rounds {
            let server = lab.start(lab.framework(), database, What::Ours, at)?;
            lab.gather(&server, Workload::Idle, 8)?;
            let mut crowd = crowd(&server, (0..AT_ONCE).map(|_| Pager::new(owner, tasks)));
            let run = crowd.run(Until::requests(AT_ONCE * pages), Some(&server));
            let measured = lab.client.block_on(run)?;
            goal.rounds.push(Round::new(MOST_MIB, measured.grown_mib(), vec![measured]));
        }
        report.add(goal);
        Ok(())
    }
}

fn crowd<D: Device + 'static>(server: &Server, devices: impl IntoIterator<Item = D>) -> Crowd {
    let devices = devices.into_iter().map(|device| -> Box<dyn Device> { Box::new(device) });
    Crowd { url: server.url.clone(), devices: devices.collect() }
}

/// Makes an owner with this number of tasks and entries of each, and compacts the log.
fn old(
    lab: &mut Lab,
    database: Database,
    (tasks, each, order): (u64, u64, Order),
) -> Result<(String, Owner)> {
    let at = lab.make(database)?;
    let server = lab.start(lab.framework(), database, What::Ours, &at)?;
    let (name, order_name) = (database.name(), order.name());
    eprintln!("making {tasks} tasks with {each} entries {order_name} in {name}");
    let owner = lab.client.block_on(history::edited(&server.url, tasks, each, order))?;
    drop(server);
    let begun = Instant::now();
    let kept = lab.bare.block_on(compaction::compact(database, &at, owner.id))?;
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("compacted {} entries to {kept} in {seconds:.1} s", tasks * each);
    Ok((at, owner))
}

fn on_disk(lab: &Lab) -> Vec<Database> {
    let mut databases = lab.options.databases.clone();
    databases.retain(|&database| database != Database::Memory);
    databases
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn all_us(measured: &Measured) -> f64 {
    measured.mean_us * measured.requests as f64
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn mib(bytes: i64) -> f64 {
    bytes as f64 / MIB
}
