//! What the application allows, diff by diff: a task has a name.

use mobync::{Diff, Owner, Refusal, Rules, View};
use serde_json::Value;

/// Refuses a task that has no name, or would lose it. The diff alone is refused, and undone on its
/// device, where the person reads the sentence.
pub(crate) struct TasksHaveNames;

impl Rules for TasksHaveNames {
    async fn create(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        check(diff.model != "tasks" || name_of(diff).is_some_and(|name| is_name(&name)))
    }

    async fn update(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        check(diff.model != "tasks" || name_of(diff).is_none_or(|name| is_name(&name)))
    }
}

fn name_of(diff: &Diff) -> Option<Value> {
    // The library has checked that json_data is an object.
    let mut data: Value = serde_json::from_str(&diff.json_data).unwrap_or_default();
    data.get_mut("name").map(Value::take)
}

fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(|name| !name.trim().is_empty())
}

fn check(allowed: bool) -> Result<(), Refusal> {
    if allowed { Ok(()) } else { Err(Refusal::because("A task needs a name.")) }
}
