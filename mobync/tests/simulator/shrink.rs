//! From a failing script to the shortest one that still fails.

use super::{
    hand::Transaction,
    step::{Edit, Script, Step},
    world::Failure,
};

/// The shortest script found for which `fails` still returns a failure, and that failure.
///
/// In memory, a world depends only on its seed. Other databases choose the order of two simultaneous requests
/// themselves, so a failing script may succeed when repeated. This is then reported, and nothing is reduced.
pub fn shrink(
    mut script: Script,
    Failure(first): Failure,
    fails: impl Fn(&Script) -> Option<Failure>,
) -> (Script, Failure) {
    let Some(mut failure) = (0..20).find_map(|_| fails(&script)) else {
        return (script, Failure(format!("{first}\n\nIt did not fail again in 20 times.")));
    };
    loop {
        let length = script.steps.len();
        let mut piece = length.max(1);
        while piece > 0 {
            let mut from = 0;
            while from < script.steps.len() {
                let mut shorter = script.clone();
                let to = (from + piece).min(shorter.steps.len());
                shorter.steps.drain(from..to);
                match fails(&shorter) {
                    Some(found) => (script, failure) = (shorter, found),
                    None => from += piece,
                }
            }
            piece /= 2;
        }
        for place in 0..script.steps.len() {
            for simpler in simpler(&script.steps[place]) {
                let mut other = script.clone();
                other.steps[place] = simpler;
                if let Some(found) = fails(&other) {
                    (script, failure) = (other, found);
                    break;
                }
            }
        }
        if script.steps.len() == length {
            return (script, failure);
        }
    }
}

/// The same step, reduced.
fn simpler(step: &Step) -> Vec<Step> {
    let less = |edit: &Edit| {
        let without = (0..edit.fields.len()).map(|place| {
            let mut less = edit.clone();
            less.fields.remove(place);
            less
        });
        without.collect::<Vec<_>>()
    };
    match step {
        Step::Edit { device, edit } => {
            less(edit).into_iter().map(|edit| Step::Edit { device: *device, edit }).collect()
        }
        Step::Write { owner, edit } => {
            less(edit).into_iter().map(|edit| Step::Write { owner: *owner, edit }).collect()
        }
        Step::Resubmit { device, edit } => {
            less(edit).into_iter().map(|edit| Step::Resubmit { device: *device, edit }).collect()
        }
        Step::Hand { transaction } => {
            fewer(transaction).map(|transaction| Step::Hand { transaction }).collect()
        }
        Step::HandIn { transaction, .. } => {
            fewer(transaction).map(|transaction| Step::Hand { transaction }).collect()
        }
        Step::Compact { owner, calls: Some(_) } => {
            vec![Step::Compact { owner: *owner, calls: None }]
        }
        Step::SyncTogether { devices, .. } => {
            devices.iter().map(|device| Step::Sync { device: *device }).collect()
        }
        Step::DeliverTogether { requests, .. } => {
            requests.iter().map(|request| Step::Deliver { request: *request }).collect()
        }
        _ => Vec::new(),
    }
}

/// The same transaction without one of its statements.
fn fewer(transaction: &Transaction) -> impl Iterator<Item = Transaction> {
    (0..transaction.statements.len()).map(|place| {
        let mut fewer = transaction.clone();
        fewer.statements.remove(place);
        fewer
    })
}

impl Script {
    /// The steps, one per line.
    pub fn lines(&self) -> String {
        let lines = self.steps.iter().map(|step| format!("  {step:?}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}
