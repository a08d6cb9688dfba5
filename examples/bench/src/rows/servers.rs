//! Every workload on every server, once.

use super::Lab;
use crate::{Report, Result, What, Workload, report::Line};

pub(super) fn servers(lab: &mut Lab, report: &mut Report) -> Result<()> {
    let [_, entries, ..] = lab.options.scale.entries;
    let workloads = [
        (Workload::Push { creates: 10 }, 8),
        (Workload::Idle, 8),
        (Workload::Pull { diffs: 100 }, 8),
        (Workload::Growth { entries, owners: 1 }, 1),
        (Workload::FirstSync { objects: lab.options.scale.objects }, 1),
        (Workload::Mixed, 8),
        (Workload::Contention, 8),
    ];
    for (workload, connections) in workloads {
        for framework in lab.options.frameworks.clone() {
            for database in lab.options.databases.clone() {
                let measured =
                    lab.try_on(framework, database, What::Ours, workload, connections)?;
                let line = Line { framework, database, workload, connections, measured };
                let (framework, database) = (framework.name(), database.name());
                let per_second = line.measured.per_second;
                eprintln!("{workload} {framework} {database}: {per_second:.0} requests/s");
                report.servers.push(line);
            }
        }
    }
    Ok(())
}
