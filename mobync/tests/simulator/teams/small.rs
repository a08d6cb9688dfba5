//! Every history of a small world: Ada and Bob, one space, and one object in it, with the library's client on both
//! phones.
//!
//! Both have the space and its object at first. Then come, in every order: changes of both; Bob's requests, their
//! arrival, their answers, one of which is lost; Bob is removed, and made a member again; he leaves, and joins
//! again. Each history ends as all worlds of teams do.

use super::{
    club::Role,
    script::{Kind, Script, Settings, Step},
};
use crate::step::{self, Edit};

const ADA: usize = 0;
const BOB: usize = 1;
const SPACE: usize = 0;

/// What may happen next, and how often.
#[derive(Clone)]
struct Left {
    of_ada: usize,
    of_bob: usize,
    losses: usize,
    removals: usize,
    departures: usize,
    is_member: bool,
    /// Whether Bob's request is under way, and has arrived.
    waits: bool,
    has_arrived: bool,
    /// What was done last.
    last: Option<usize>,
}

/// All histories with so many events.
pub fn histories(events: usize) -> Vec<Script> {
    let left = Left {
        of_ada: 2,
        of_bob: 2,
        losses: 1,
        removals: 2,
        departures: 2,
        is_member: true,
        waits: false,
        has_arrived: false,
        last: None,
    };
    let mut all = Vec::new();
    go_on(&before(), &left, events, &mut all);
    all.into_iter().map(|steps| Script { settings: settings(), steps }).collect()
}

fn go_on(steps: &[Step], left: &Left, events: usize, all: &mut Vec<Vec<Step>>) {
    if events == 0 {
        all.push(steps.to_vec());
        return;
    }
    for (place, (more, next)) in left.next().into_iter().enumerate() {
        // Of two events that do not concern each other, Ada's and then Bob's, one order is enough.
        if place == 0 && left.last == Some(1) {
            continue;
        }
        let next = Left { last: Some(place), ..next };
        go_on(&[steps, &more].concat(), &next, events - 1, all);
    }
}

impl Left {
    /// The events that are possible: Ada's change is the first one, and Bob's the second.
    fn next(&self) -> Vec<(Vec<Step>, Self)> {
        let (this, phone, space) = (self.clone(), BOB, SPACE);
        let mut next = Vec::new();
        let mut may = |is_possible: bool, steps: Vec<Step>, left: Self| {
            if is_possible {
                next.push((steps, left));
            }
        };
        let of_ada = Left { of_ada: this.of_ada.saturating_sub(1), ..this.clone() };
        may(this.of_ada > 0, vec![edit(ADA, this.of_ada), Step::Sync { phone: ADA }], of_ada);
        let of_bob = Left { of_bob: this.of_bob.saturating_sub(1), ..this.clone() };
        may(this.of_bob > 0, vec![edit(BOB, 10 + this.of_bob)], of_bob);
        let sent = Left { waits: true, has_arrived: false, ..this.clone() };
        may(!this.waits, vec![Step::Send { phone, some: u64::MAX }], sent);
        let arrived = Left { has_arrived: true, ..this.clone() };
        may(this.waits && !this.has_arrived, vec![Step::Arrive { phone }], arrived);
        // It may ask once more at once.
        let heard = Left { has_arrived: false, ..this.clone() };
        may(this.waits && this.has_arrived, vec![Step::Hear { phone }], heard);
        let lost = Left { losses: 0, waits: false, has_arrived: false, ..this.clone() };
        may(this.waits && this.losses > 0, vec![Step::Lose { phone }], lost);
        let role = if this.is_member { Role::None } else { Role::Writer };
        let (removals, is_member) = (this.removals.saturating_sub(1), !this.is_member);
        let moved = Left { removals, is_member, ..this.clone() };
        let member = Step::Member { person: BOB, space, role, calls: None };
        may(this.removals > 0, vec![member], moved);
        let gone = Left { departures: this.departures.saturating_sub(1), ..this.clone() };
        may(this.departures > 0, vec![Step::Leave { phone, space }], gone.clone());
        may(this.departures > 0, vec![Step::Join { phone, space }], gone);
        next
    }
}

/// A change of the object in the space: it is created if it does not exist.
fn edit(phone: usize, value: usize) -> Step {
    Step::Edit {
        phone,
        whose: 1,
        edit: Edit { object: 0, delete: false, fields: vec![(0, value)] },
    }
}

fn before() -> Vec<Step> {
    let join = |phone| Step::Join { phone, space: SPACE };
    let sync = |phone| Step::Sync { phone };
    vec![join(ADA), join(BOB), edit(ADA, 9), sync(ADA), sync(BOB)]
}

fn settings() -> Settings {
    let server = step::Settings {
        owners: super::club::OWNERS.len(),
        devices: Vec::new(),
        max_diffs: 10_000,
        rules: false,
        constraints: false,
        batches: true,
        numbers: false,
        heads: true,
        page: None,
        page_all: None,
        restores: false,
        compacts: false,
        at_once: 1_000,
        versions: false,
    };
    let phones = vec![Kind::Ours { limit: 100 }; 2];
    let members = vec![(ADA, SPACE, Role::Writer), (BOB, SPACE, Role::Writer)];
    Settings { server, phones, people: 2, spaces: 1, members, names: true }
}
