//! From a failing script to the shortest one that still fails.

use std::fmt::Debug;

use super::{
    hand::Transaction,
    step::{Script, Step},
    world::Failure,
};

/// A history of steps each of which makes sense in any state, so that it can be made shorter.
pub trait History: Clone {
    type Step: Debug;

    fn steps(&self) -> &Vec<Self::Step>;

    fn steps_mut(&mut self) -> &mut Vec<Self::Step>;

    /// The same step, reduced in each possible way.
    fn simpler(step: &Self::Step) -> Vec<Self::Step>;

    /// What else the world depends on.
    fn settings(&self) -> String;

    /// The steps, one per line.
    fn lines(&self) -> String {
        let lines = self.steps().iter().map(|step| format!("  {step:?}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl History for Script {
    type Step = Step;

    fn steps(&self) -> &Vec<Step> {
        &self.steps
    }

    fn steps_mut(&mut self) -> &mut Vec<Step> {
        &mut self.steps
    }

    fn simpler(step: &Step) -> Vec<Step> {
        simpler(step)
    }

    fn settings(&self) -> String {
        format!("{:#?}", self.settings)
    }
}

/// The shortest script found for which `fails` still returns a failure, and that failure.
///
/// In memory, a world depends only on its seed. Other databases choose the order of two simultaneous requests
/// themselves, so a failing script may succeed when repeated. This is then reported, and nothing is reduced.
pub fn shrink<S: History>(
    mut script: S,
    Failure(first): Failure,
    fails: impl Fn(&S) -> Option<Failure>,
) -> (S, Failure) {
    let Some(mut failure) = (0..20).find_map(|_| fails(&script)) else {
        return (script, Failure(format!("{first}\n\nIt did not fail again in 20 times.")));
    };
    loop {
        let length = script.steps().len();
        let mut piece = length.max(1);
        while piece > 0 {
            let mut from = 0;
            while from < script.steps().len() {
                let mut shorter = script.clone();
                let to = (from + piece).min(shorter.steps().len());
                shorter.steps_mut().drain(from..to);
                match fails(&shorter) {
                    Some(found) => (script, failure) = (shorter, found),
                    None => from += piece,
                }
            }
            piece /= 2;
        }
        for place in 0..script.steps().len() {
            for simpler in S::simpler(&script.steps()[place]) {
                let mut other = script.clone();
                other.steps_mut()[place] = simpler;
                if let Some(found) = fails(&other) {
                    (script, failure) = (other, found);
                    break;
                }
            }
        }
        if script.steps().len() == length {
            return (script, failure);
        }
    }
}

/// The same step, reduced.
fn simpler(step: &Step) -> Vec<Step> {
    match step {
        Step::Edit { device, edit } => {
            edit.less().into_iter().map(|edit| Step::Edit { device: *device, edit }).collect()
        }
        Step::Write { owner, edit } => {
            edit.less().into_iter().map(|edit| Step::Write { owner: *owner, edit }).collect()
        }
        Step::Resubmit { device, edit } => {
            edit.less().into_iter().map(|edit| Step::Resubmit { device: *device, edit }).collect()
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
