//! The devices of each workload.

use std::{cell::Cell, rc::Rc};

use super::{Device, history::Owner};
use crate::{
    Result,
    body::{Body, Ids},
    connection::{Answer, Request},
};

/// Each time the new device of a new owner.
pub(super) struct Pusher {
    owners: Ids,
    ids: Ids,
    creates: u64,
}

impl Pusher {
    pub(super) fn new(creates: u64) -> Self {
        Self { owners: Ids::new(), ids: Ids::new(), creates }
    }
}

impl Device for Pusher {
    fn next(&mut self) -> Result<Request> {
        let mut body = Body::at(0);
        for _ in 0..self.creates {
            body.create(self.ids.next(), self.ids.next());
        }
        Request::new(self.owners.next(), body.finish())
    }

    fn check(&mut self, answer: Answer) -> Result<()> {
        expect(answer, Answer { clock: 1, diffs: 0 })
    }
}

/// Devices that are up to date, one after another.
pub(super) struct Idler {
    requests: Vec<Request>,
    turn: usize,
    clock: i64,
}

impl Idler {
    /// Of owners at the same clock, perhaps with the head of their last push.
    pub(super) fn new(owners: Vec<Owner>, have_heads: bool) -> Result<Self> {
        let clock = owners.first().map_or(0, |owner| owner.clock);
        let request = |owner: Owner| {
            let head = owner.diffs.nth(owner.count);
            let body = if have_heads { Body::with_head(clock, head) } else { Body::at(clock) };
            Request::new(owner.id, body.finish())
        };
        Ok(Self {
            requests: owners.into_iter().map(request).collect::<Result<_>>()?,
            turn: 0,
            clock,
        })
    }
}

impl Device for Idler {
    fn next(&mut self) -> Result<Request> {
        self.turn = (self.turn + 1) % self.requests.len();
        Ok(self.requests.get(self.turn).ok_or("nobody is idle")?.clone())
    }

    fn check(&mut self, answer: Answer) -> Result<()> {
        expect(answer, Answer { clock: self.clock, diffs: 0 })
    }
}

/// The device of a member of several spaces, that is up to date in all of them.
pub(super) struct Member {
    request: Request,
    clocks: Vec<i64>,
}

impl Member {
    /// Of spaces with these owners.
    pub(super) fn new(spaces: &[Owner]) -> Result<Self> {
        let devices = spaces.iter().map(|it| (it.id, it.clock, it.diffs.nth(it.count)));
        let request = Request::new(Ids::new().next(), Body::of_spaces(devices))?;
        Ok(Self { request, clocks: spaces.iter().map(|it| it.clock).collect() })
    }
}

impl Device for Member {
    fn next(&mut self) -> Result<Request> {
        Ok(self.request.clone())
    }

    fn read(&mut self, body: &[u8]) -> Result<()> {
        let answers = Answer::read_several(body)?;
        if answers.len() != self.clocks.len() {
            return Err(format!("{} spaces are answered", answers.len()).into());
        }
        let expected = self.clocks.iter().map(|clock| Answer { clock: *clock, diffs: 0 });
        answers.into_iter().zip(expected).try_for_each(|(answer, it)| expect(answer, it))
    }

    fn check(&mut self, _: Answer) -> Result<()> {
        Err("one answer for several spaces".into())
    }
}

/// A device that never stores what it received.
pub(super) struct Puller {
    request: Request,
    answer: Answer,
}

impl Puller {
    /// A device at clock 1, with a number of later diffs.
    pub(super) fn new(owner: Owner, diffs: u64) -> Result<Self> {
        let request = Request::new(owner.id, Body::at(1).finish())?;
        let answer = Answer { clock: owner.clock, diffs: usize::try_from(diffs)? };
        Ok(Self { request, answer })
    }
}

impl Device for Puller {
    fn next(&mut self) -> Result<Request> {
        Ok(self.request.clone())
    }

    fn check(&mut self, answer: Answer) -> Result<()> {
        expect(answer, self.answer)
    }
}

/// Devices that rename their owners' tasks, one after another.
pub(super) struct Updater {
    owners: Vec<Owner>,
    renamed: u64,
}

impl Updater {
    pub(super) fn new(owners: Vec<Owner>) -> Self {
        Self { owners, renamed: 0 }
    }

    fn owner(&mut self) -> Result<&mut Owner> {
        let turn = usize::try_from(self.renamed)? % self.owners.len().max(1);
        self.owners.get_mut(turn).ok_or_else(|| "there is no owner".into())
    }
}

impl Device for Updater {
    fn next(&mut self) -> Result<Request> {
        self.renamed += 1;
        let renamed = self.renamed;
        let owner = self.owner()?;
        // In large steps, so that not only the newest tasks are renamed.
        let object = owner.objects.nth(1 + renamed * 7_919 % owner.count.max(1));
        let mut body = Body::at(owner.clock);
        body.update(owner.diffs.next(), object, 4 + renamed);
        Request::new(owner.id, body.finish())
    }

    fn check(&mut self, answer: Answer) -> Result<()> {
        let owner = self.owner()?;
        owner.clock += 1;
        expect(answer, Answer { clock: owner.clock, diffs: 0 })
    }
}

/// Each time a new device of the same owner.
pub(crate) struct Newcomer(Puller);

impl Newcomer {
    pub(crate) fn new(owner: Owner, objects: u64) -> Result<Self> {
        let request = Request::new(owner.id, Body::at(0).finish())?;
        let answer = Answer { clock: owner.clock, diffs: usize::try_from(objects)? };
        Ok(Self(Puller { request, answer }))
    }
}

impl Device for Newcomer {
    fn next(&mut self) -> Result<Request> {
        self.0.next()
    }

    fn check(&mut self, answer: Answer) -> Result<()> {
        self.0.check(answer)
    }
}

/// A typical mix: mostly idle, sometimes a push, rarely a pull.
pub(super) struct Mixed {
    owner: Owner,
    puller: Puller,
    turn: u64,
}

impl Mixed {
    pub(super) fn new(owner: Owner, others: Owner) -> Result<Self> {
        Ok(Self { owner, puller: Puller::new(others, 50)?, turn: 0 })
    }

    /// What the current request is: a pull, a push, or neither.
    fn is(&self) -> (bool, bool) {
        (self.turn.is_multiple_of(20), matches!(self.turn % 20, 5 | 10 | 15))
    }
}

impl Device for Mixed {
    fn next(&mut self) -> Result<Request> {
        self.turn += 1;
        match self.is() {
            (true, _) => self.puller.next(),
            (_, true) => self.owner.creates(3),
            _ => Request::new(self.owner.id, Body::at(self.owner.clock).finish()),
        }
    }

    fn check(&mut self, answer: Answer) -> Result<()> {
        match self.is() {
            (true, _) => return self.puller.check(answer),
            (_, true) => self.owner.clock += 1,
            _ => {}
        }
        expect(answer, Answer { clock: self.owner.clock, diffs: 0 })
    }
}

/// One of the devices of one owner. At the end each device must have what all devices have created.
pub(super) struct Contender {
    owner: Owner,
    /// What all devices made.
    made: Rc<Cell<usize>>,
    /// What this device has created or received.
    has: usize,
}

impl Contender {
    pub(super) fn new(owner: Owner, made: Rc<Cell<usize>>) -> Self {
        let owner = Owner { objects: Ids::new(), diffs: Ids::new(), ..owner };
        Self { owner, made, has: 0 }
    }
}

impl Device for Contender {
    fn next(&mut self) -> Result<Request> {
        self.made.set(self.made.get() + 1);
        self.has += 1;
        self.owner.creates(1)
    }

    fn check(&mut self, answer: Answer) -> Result<()> {
        self.has += answer.diffs;
        if answer.clock < self.owner.clock {
            return Err(format!("the clock goes back: {answer:?}").into());
        }
        self.owner.clock = answer.clock;
        Ok(())
    }

    fn last(&mut self) -> Result<Option<Request>> {
        Request::new(self.owner.id, Body::at(self.owner.clock).finish()).map(Some)
    }

    fn check_all(&self) -> Result<()> {
        let made = self.made.get();
        if self.has == made {
            return Ok(());
        }
        Err(format!("of {made} tasks a device has {}", self.has).into())
    }
}

/// A device that never receives an answer to its diffs.
pub(super) struct Repeater {
    requests: [Request; 2],
    turn: usize,
}

impl Repeater {
    pub(super) fn new(owners: Vec<Owner>) -> Result<Self> {
        let owner = owners.into_iter().next().ok_or("there is no owner")?;
        let idle = Request::new(owner.id, Body::at(1).finish())?;
        // The same ids as the first time, from the same clock.
        let mut same = Owner {
            objects: owner.objects.again(),
            diffs: owner.diffs.again(),
            count: 0,
            clock: 0,
            ..owner
        };
        Ok(Self { requests: [idle, same.creates(10)?], turn: 0 })
    }
}

impl Device for Repeater {
    fn next(&mut self) -> Result<Request> {
        self.turn += 1;
        let [idle, push] = &self.requests;
        Ok(if self.turn.is_multiple_of(2) { idle } else { push }.clone())
    }

    fn check(&mut self, answer: Answer) -> Result<()> {
        expect(answer, Answer { clock: 1, diffs: 0 })
    }
}

fn expect(answer: Answer, expected: Answer) -> Result<()> {
    if answer == expected {
        return Ok(());
    }
    Err(format!("answered {answer:?}, which should be {expected:?}").into())
}
