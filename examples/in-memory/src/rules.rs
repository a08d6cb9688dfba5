//! What the application allows, diff by diff: a task must not lose its name.

use mobync::{Diff, Owner, Refusal, Rules, View};
use serde_json::Value;

/// Refuses a task whose name is blank. Only this diff is refused. The device undoes it and shows the
/// message.
pub(crate) struct TasksHaveNames;

impl Rules for TasksHaveNames {
    async fn create(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        check_name(diff)
    }

    async fn update(&self, _: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        check_name(diff)
    }
}

fn check_name(diff: &Diff) -> Result<(), Refusal> {
    let task = diff.record()?;
    // An update may be of other fields, and a name may be null.
    let name = task.get("name").and_then(Value::as_str);
    if diff.model == "tasks" && name.is_some_and(|name| name.trim().is_empty()) {
        return Err(Refusal::because("A task needs a name."));
    }
    Ok(())
}
