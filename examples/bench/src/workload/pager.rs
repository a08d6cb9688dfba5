//! A new device that fetches everything in pages.

use http::Uri;
use serde::Deserialize;

use super::{Device, history::Owner};
use crate::{
    Result,
    body::Body,
    connection::{Answer, Connection, Request},
};

/// The first page, in entries of the log.
const LIMIT: usize = 1_000;
/// What each page should have, in bytes.
const BYTES: usize = 1024 * 1024;

/// It chooses the length of its pages as clients do. After the last page it starts again.
pub(crate) struct Pager {
    owner: Owner,
    tasks: u64,
    so_far: SoFar,
}

/// What it has fetched.
struct SoFar {
    clock: i64,
    head: String,
    limit: usize,
    /// How many tasks were created.
    tasks: u64,
}

#[derive(Deserialize)]
struct Page {
    success: bool,
    logical_clock: i64,
    diffs: Vec<Diff>,
    head: Option<String>,
    more: Option<i64>,
}

#[derive(Deserialize)]
struct Diff {
    #[serde(rename = "type")]
    operation: String,
}

impl Default for SoFar {
    fn default() -> Self {
        Self { clock: 0, head: String::new(), limit: LIMIT, tasks: 0 }
    }
}

impl Pager {
    /// A device of an owner with this number of tasks.
    pub(crate) fn new(owner: Owner, tasks: u64) -> Self {
        Self { owner, tasks, so_far: SoFar::default() }
    }

    /// How many pages everything takes.
    pub(crate) async fn count(mut self, url: &Uri) -> Result<u64> {
        let mut connection = Connection::open(url).await?;
        for pages in 1.. {
            let answer = connection.send(self.next()?).await?;
            self.read(&answer)?;
            if self.so_far.clock == 0 {
                return Ok(pages);
            }
        }
        Err("there is no last page".into())
    }
}

impl Device for Pager {
    fn next(&mut self) -> Result<Request> {
        let SoFar { clock, head, limit, .. } = &self.so_far;
        Request::new(self.owner.id, Body::page(*clock, head, *limit).finish())
    }

    fn read(&mut self, body: &[u8]) -> Result<()> {
        let page: Page = serde_json::from_slice(body)?;
        if !page.success || page.logical_clock <= self.so_far.clock {
            return Err("a page brings nothing".into());
        }
        let creates = page.diffs.iter().filter(|diff| diff.operation == "create");
        let so_far = &mut self.so_far;
        so_far.tasks += creates.count() as u64;
        so_far.clock = page.logical_clock;
        so_far.head = page.head.unwrap_or_default();
        let limit = so_far.limit.saturating_mul(BYTES) / body.len().max(1);
        so_far.limit = limit.clamp(10, so_far.limit.saturating_mul(4).clamp(10, 10_000));
        if page.more.is_some() {
            return Ok(());
        }
        let last = std::mem::take(so_far);
        let (clock, tasks) = (self.owner.clock, self.tasks);
        if (last.clock, last.tasks) == (clock, tasks) {
            return Ok(());
        }
        let SoFar { clock: to, tasks: of, .. } = last;
        Err(format!("the pages lead to clock {to} of {clock} with {of} of {tasks} tasks").into())
    }

    fn check(&mut self, _: Answer) -> Result<()> {
        Err("a page is read as a whole".into())
    }
}
