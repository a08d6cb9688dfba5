//! Memory: of one large sync, and of very many small ones.

use super::Lab;
use crate::{
    Database, Measured, Report, Result, Server, Until, What, Workload,
    drive::Crowd,
    report::{Bound, Goal, Round},
    workload::{Newcomer, history},
};

const MIB: f64 = 1024.0 * 1024.0;

/// One large sync on a server that has only seen small ones.
pub(super) fn memory(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let databases = lab.options.databases.clone();
    let kept = databases.into_iter().filter(|&database| database != Database::Memory);
    for database in kept {
        push(lab, report, database)?;
        first_sync(lab, report, database)?;
    }
    Ok(())
}

fn push(lab: &mut Lab, report: &mut Report, database: Database) -> Result<()> {
    let mut goal = goal(format!("{} push", database.name()));
    let framework = lab.framework();
    let push = Workload::Push { creates: lab.options.scale.objects };
    for _ in 0..lab.options.rounds {
        let at = lab.make(database)?;
        let server = lab.start(framework, database, What::Ours, &at)?;
        let crowd = lab.gather(&server, push, 1)?;
        goal.rounds.push(once(lab, &server, crowd)?);
    }
    report.add(goal);
    Ok(())
}

fn first_sync(lab: &mut Lab, report: &mut Report, database: Database) -> Result<()> {
    let mut goal = goal(format!("{} first sync", database.name()));
    let (framework, objects) = (lab.framework(), lab.options.scale.objects);
    let at = lab.make(database)?;
    let server = lab.start(framework, database, What::Ours, &at)?;
    let owner = lab.client.block_on(history::long(&server.url, 5 * objects))?;
    lab.client.block_on(lab.places.settle(database, &at))?;
    drop(server);
    for _ in 0..lab.options.rounds {
        let server = lab.start(framework, database, What::Ours, &at)?;
        let newcomer = Box::new(Newcomer::new(owner, objects)?);
        let crowd = Crowd { url: server.url.clone(), devices: vec![newcomer] };
        goal.rounds.push(once(lab, &server, crowd)?);
    }
    report.add(goal);
    Ok(())
}

fn goal(subject: String) -> Goal {
    let figure = ("MiB at the peak", "request and answer");
    Goal::new(("memory", subject), figure, Bound::AtMost(3.0))
}

/// The growth of a server's memory for its first large request.
fn once(lab: &Lab, server: &Server, mut crowd: Crowd) -> Result<Round> {
    lab.gather(server, Workload::Idle, 8)?; // Many small pushes: all connections are open.
    let once = crowd.run(Until::requests(1), Some(server));
    let measured = lab.client.block_on(once)?;
    let Measured { request_bytes, answer_bytes, .. } = measured;
    let grown = measured.grown_mib();
    Ok(Round::new((request_bytes + answer_bytes) / MIB, grown, vec![measured]))
}

/// A server in memory that receives only what it already has.
pub(super) fn million(lab: &mut Lab, report: &mut Report) -> Result<()> {
    if !lab.has(Database::Memory) {
        return Ok(());
    }
    let framework = lab.framework();
    let server = lab.start(framework, Database::Memory, What::Ours, "")?;
    let mut crowd = lab.gather(&server, Workload::Repeats, 8)?;
    let [first, all] = lab.options.scale.repeats;
    let mut after = |requests| -> Result<(f64, Measured)> {
        let run = crowd.run(Until::requests(requests), Some(&server));
        let measured = lab.client.block_on(run)?;
        Ok((server.usage()?.mib, measured))
    };
    let (floor, before) = after(first)?;
    let (ours, behind) = after(all - first)?;
    let figure = ("MiB after all requests", "after a tenth of them");
    let subject = framework.name().to_owned();
    let mut goal = Goal::new(("million", subject), figure, Bound::AtMost(1.05));
    goal.rounds.push(Round::new(floor, ours, vec![before, behind]));
    report.add(goal);
    Ok(())
}
