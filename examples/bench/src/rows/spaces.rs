//! One request for many spaces, against a request for each.

use super::Lab;
use crate::{
    Database, Measured, Report, Result, What, Workload,
    report::{Bound, Goal, Round},
};

/// How many spaces the person is a member of.
const SPACES: u32 = 30;

/// Compares the time of one request for all spaces with that of idle requests of as many owners, one after
/// another on one connection.
pub(super) fn idle_spaces(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let framework = lab.framework();
    let spaces = Workload::Spaces { spaces: usize::try_from(SPACES)? };
    for database in Database::ALL {
        if !lab.has(database) {
            continue;
        }
        let at = lab.make(database)?;
        let server = lab.start(framework, database, What::Ours, &at)?;
        let mut apart = lab.gather(&server, Workload::IdleHead, 1)?;
        let mut together = lab.gather(&server, spaces, 1)?;
        let figure = ("ms for 30 spaces at once", "one by one");
        let row = ("idle-spaces", database.name().to_owned());
        let mut goal = Goal::new(row, figure, Bound::AtMost(0.2));
        let until = lab.until();
        for _ in 0..lab.options.rounds {
            let floor = lab.measure(&mut apart, &server, until)?;
            let ours = lab.measure(&mut together, &server, until)?;
            goal.rounds.push(round(floor, ours));
        }
        report.add(goal);
    }
    Ok(())
}

/// Requests of one space each, and requests of all of them.
fn round(apart: Measured, together: Measured) -> Round {
    let each = f64::from(SPACES);
    let (floor, ours) = (each * apart.mean_us / 1e3, together.mean_us / 1e3);
    let cpu = apart.server_cpu_us.zip(together.server_cpu_us);
    let cpu_ratio = cpu.map(|(apart, together)| together / (each * apart));
    Round { floor, ours, ratio: ours / floor, cpu_ratio, measured: vec![apart, together] }
}
