//! What the application allows, diff by diff: a task has a name.

use mobync::{Diff, Owner, Refusal, Rules, View};
use serde_json::Value;

/// Refuses a task that has no name, or would lose it. The diff alone is refused, and undone on its
/// device, where the person reads the sentence.
pub(crate) struct TasksHaveNames;

impl Rules for TasksHaveNames {
    async fn create(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        check(diff.model != "tasks" || diff.record()?.get("name").is_some_and(is_name))
    }

    async fn update(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        check(diff.model != "tasks" || diff.record()?.get("name").is_none_or(is_name))
    }
}

fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(|name| !name.trim().is_empty())
}

fn check(allowed: bool) -> Result<(), Refusal> {
    if allowed { Ok(()) } else { Err(Refusal::because("A task needs a name.")) }
}
