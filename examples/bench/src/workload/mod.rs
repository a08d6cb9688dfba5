//! What devices do.

mod devices;
pub(crate) mod history;
mod pager;

use std::{cell::Cell, fmt, rc::Rc};

use http::Uri;
use serde::Serialize;

use self::devices::{Contender, Idler, Member, Mixed, Puller, Pusher, Repeater, Updater};
pub(crate) use self::{devices::Newcomer, pager::Pager};
use crate::{
    Result,
    connection::{Answer, Request},
};

/// What the devices of a run do, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Workload {
    /// Each request is the first of a new owner's device, and creates tasks.
    Push {
        /// How many.
        creates: u64,
    },
    /// There is nothing new on either side.
    Idle,
    /// The same, with the head of the device's history.
    IdleHead,
    /// There is nothing new in any of a person's spaces, which one request is for.
    Spaces {
        /// How many.
        spaces: usize,
    },
    /// A device receives diffs that it has not seen.
    Pull {
        /// How many.
        diffs: u64,
    },
    /// A device that has seen everything updates a task of an owner with a long log.
    Growth {
        /// Log entries: creates, each followed by four updates.
        entries: u64,
        /// How many owners are used in turn, so that the length of their logs hardly changes.
        owners: usize,
    },
    /// A new device receives everything: tasks that were created and then updated four times.
    FirstSync {
        /// How many.
        objects: u64,
    },
    /// Of twenty requests sixteen are idle, three push three creates, and one pulls fifty diffs.
    Mixed,
    /// All devices belong to one owner; each request creates a task, and pulls what the others have
    /// created.
    Contention,
    /// Each second request sends ten diffs again that the server has; the others are idle.
    Repeats,
}

/// One device: its requests, and the expected answers.
pub(crate) trait Device {
    fn next(&mut self) -> Result<Request>;

    /// Reads the body of the answer.
    ///
    /// # Errors
    /// If the answer is wrong.
    fn read(&mut self, body: &[u8]) -> Result<()> {
        self.check(Answer::read(body)?)
    }

    /// # Errors
    /// If the answer is wrong.
    fn check(&mut self, answer: Answer) -> Result<()>;

    /// Its last request, if it must check whether it has received everything.
    fn last(&mut self) -> Result<Option<Request>> {
        Ok(None)
    }

    /// # Errors
    /// If it did not.
    fn check_all(&self) -> Result<()> {
        Ok(())
    }
}

impl Workload {
    /// Its name in commands and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Push { .. } => "push",
            Self::Idle => "idle",
            Self::IdleHead => "idle-head",
            Self::Spaces { .. } => "spaces",
            Self::Pull { .. } => "pull",
            Self::Growth { .. } => "growth",
            Self::FirstSync { .. } => "first-sync",
            Self::Mixed => "mixed",
            Self::Contention => "contention",
            Self::Repeats => "repeats",
        }
    }

    /// Creates the devices, one for each connection, and the data that they need.
    pub(crate) async fn prepare(self, url: &Uri, count: usize) -> Result<Vec<Box<dyn Device>>> {
        let mut devices: Vec<Box<dyn Device>> = Vec::new();
        // Created once, for devices that do not write to it.
        let shared = match self {
            Self::Pull { diffs } => Some(history::unseen(url, diffs).await?),
            Self::Mixed => Some(history::unseen(url, 50).await?),
            Self::FirstSync { objects } => Some(history::long(url, 5 * objects).await?),
            _ => None,
        };
        let made = Rc::new(Cell::new(0));
        let owner = history::Owner::new();
        for _ in 0..count {
            let shared = shared.unwrap_or(owner);
            devices.push(match self {
                Self::Push { creates } => Box::new(Pusher::new(creates)),
                Self::Idle => Box::new(Idler::new(history::several(url, 16).await?, false)?),
                Self::IdleHead => Box::new(Idler::new(history::several(url, 16).await?, true)?),
                Self::Spaces { spaces } => {
                    Box::new(Member::new(&history::several(url, spaces).await?)?)
                }
                Self::Pull { diffs } => Box::new(Puller::new(shared, diffs)?),
                Self::Growth { entries, owners } => {
                    let mut long = Vec::new();
                    for _ in 0..owners {
                        long.push(history::long(url, entries).await?);
                    }
                    Box::new(Updater::new(long))
                }
                Self::FirstSync { objects } => Box::new(Newcomer::new(shared, objects)?),
                Self::Mixed => Box::new(Mixed::new(history::Owner::new(), shared)?),
                Self::Contention => Box::new(Contender::new(owner, Rc::clone(&made))),
                Self::Repeats => Box::new(Repeater::new(history::several(url, 1).await?)?),
            });
        }
        Ok(devices)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Push { creates: count }
            | Self::Pull { diffs: count }
            | Self::Growth { entries: count, .. }
            | Self::FirstSync { objects: count } => write!(f, "{} {count}", self.name()),
            Self::Spaces { spaces } => write!(f, "{} {spaces}", self.name()),
            _ => f.write_str(self.name()),
        }
    }
}
