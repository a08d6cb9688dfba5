//! What an owner has done before a run begins.

use http::Uri;

use crate::{
    Result,
    body::{Body, Id, Ids},
    connection::{Answer, Connection, Request},
};

/// How many diffs servers take at once.
const AT_ONCE: u64 = 10_000;
/// How many diffs clients send at once.
const A_REQUEST: u64 = 1_000;

/// A unique owner, with its history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) id: Id,
    /// The ids of its tasks, from 1 on.
    pub(crate) objects: Ids,
    pub(crate) count: u64,
    pub(crate) diffs: Ids,
    pub(crate) clock: i64,
}

impl Owner {
    pub(crate) fn new() -> Self {
        let id = Ids::new().next();
        Self { id, objects: Ids::new(), count: 0, diffs: Ids::new(), clock: 0 }
    }

    /// A request that creates a number of tasks, at the owner's clock.
    pub(crate) fn creates(&mut self, count: u64) -> Result<Request> {
        let mut body = Body::at(self.clock);
        for _ in 0..count {
            self.count += 1;
            body.create(self.diffs.next(), self.objects.next());
        }
        Request::new(self.id, body.finish())
    }

    async fn send(&mut self, connection: &mut Connection, request: Request) -> Result<()> {
        let answer = Answer::read(&connection.send(request).await?)?;
        if answer != (Answer { clock: self.clock + 1, diffs: 0 }) {
            return Err(format!("a push at clock {} is answered {answer:?}", self.clock).into());
        }
        self.clock += 1;
        Ok(())
    }
}

/// Owners that each made ten tasks, at clock 1.
pub(crate) async fn several(url: &Uri, count: usize) -> Result<Vec<Owner>> {
    let mut connection = Connection::open(url).await?;
    let mut owners = Vec::new();
    for _ in 0..count {
        let mut owner = Owner::new();
        let request = owner.creates(10)?;
        owner.send(&mut connection, request).await?;
        owners.push(owner);
    }
    Ok(owners)
}

/// An owner that has created ten tasks, and more since clock 1, ten at a time.
pub(crate) async fn unseen(url: &Uri, diffs: u64) -> Result<Owner> {
    let mut owner = several(url, 1).await?.pop().ok_or("there is no owner")?;
    let mut connection = Connection::open(url).await?;
    let mut left = diffs;
    while left > 0 {
        let some = left.min(10);
        let request = owner.creates(some)?;
        owner.send(&mut connection, request).await?;
        left -= some;
    }
    Ok(owner)
}

/// An owner with this number of log entries: of five, one creates a task and four rename it.
pub(crate) async fn long(url: &Uri, entries: u64) -> Result<Owner> {
    let mut owner = Owner::new();
    let mut left = entries / 5;
    while left > 0 {
        // The server may close connections that wait for the next request to be written.
        let mut connection = Connection::open(url).await?;
        let some = left.min(AT_ONCE / 5);
        let mut body = Body::at(owner.clock);
        let tasks = owner.count + 1..=owner.count + some;
        owner.count += some;
        for task in tasks.clone() {
            body.create(owner.diffs.next(), owner.objects.nth(task));
        }
        for edition in 1..=4 {
            for task in tasks.clone() {
                body.update(owner.diffs.next(), owner.objects.nth(task), edition);
            }
        }
        let request = Request::new(owner.id, body.finish())?;
        owner.send(&mut connection, request).await?;
        left -= some;
    }
    Ok(owner)
}

/// When the tasks of an owner were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each task has all its changes right after it was created.
    Together,
    /// All tasks are created first. Then each change is made to all tasks, and then the next one.
    Apart,
}

impl Order {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Together => "together",
            Self::Apart => "apart",
        }
    }
}

/// An owner with this number of tasks, each of which was created and renamed: so many log entries has each.
/// The requests are as long as those of clients.
pub(crate) async fn edited(url: &Uri, tasks: u64, each: u64, order: Order) -> Result<Owner> {
    let mut owner = Owner { count: tasks, ..Owner::new() };
    let mut left = 0..tasks * each;
    while !left.is_empty() {
        let mut connection = Connection::open(url).await?;
        let mut body = Body::at(owner.clock);
        for entry in left.by_ref().take(usize::try_from(A_REQUEST)?) {
            let (task, edition) = match order {
                Order::Together => (entry / each, entry % each),
                Order::Apart => (entry % tasks, entry / tasks),
            };
            let (id, object) = (owner.diffs.next(), owner.objects.nth(1 + task));
            if edition == 0 { body.create(id, object) } else { body.update(id, object, edition) }
        }
        let request = Request::new(owner.id, body.finish())?;
        owner.send(&mut connection, request).await?;
    }
    Ok(owner)
}
