//! What the application allows, diff by diff: a task has a title.

use mobync::{Diff, Owner, Refusal, Rules, View};
use serde_json::Value;

/// Refuses a task that has no title, or would lose it. Rules see the newest names of fields, whatever version of
/// the app a device has. The diff alone is refused, and undone on its
/// device, where the person reads the sentence.
pub(crate) struct TasksHaveTitles;

impl Rules for TasksHaveTitles {
    async fn create(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        check(diff.model != "tasks" || diff.record()?.get("title").is_some_and(is_title))
    }

    async fn update(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        check(diff.model != "tasks" || diff.record()?.get("title").is_none_or(is_title))
    }
}

fn is_title(value: &Value) -> bool {
    value.as_str().is_some_and(|title| !title.trim().is_empty())
}

fn check(allowed: bool) -> Result<(), Refusal> {
    if allowed { Ok(()) } else { Err(Refusal::because("A task needs a title.")) }
}
