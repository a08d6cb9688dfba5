//! What members may do: a task is given to members only, and a project keeps its last member.

use mobync::{Diff, Owner, Refusal, Rules, View};
use serde_json::Value;

/// Refuses a diff alone; it is undone on its device, where the person reads the sentence.
pub(crate) struct MembersOnly;

impl Rules for MembersOnly {
    async fn create(&self, _: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        check_assignee(diff, view).await
    }

    async fn update(&self, _: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        check_assignee(diff, view).await
    }

    async fn delete(&self, _: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        if diff.model == "members" && view.read("members", &[]).await?.len() < 2 {
            return Err(Refusal::because("A project needs a member."));
        }
        Ok(())
    }
}

async fn check_assignee(diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
    let task = diff.record()?;
    let assignee = task.get("assignee").and_then(Value::as_str);
    match assignee {
        Some(user) if diff.model == "tasks" && view.find("members", user).await?.is_none() => {
            Err(Refusal::because("A task can only be given to a member of the project."))
        }
        _ => Ok(()),
    }
}
