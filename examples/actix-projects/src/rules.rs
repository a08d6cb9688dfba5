//! What members may do: a task is assigned to members only, and the last member of a project cannot be
//! removed.

use mobync::{Diff, Owner, Refusal, Rules, Synchronizer, View};
use serde_json::Value;

/// Refuses single diffs. The device undoes them and shows the message.
pub(crate) struct MembersOnly;

impl<S: Synchronizer> Rules<S> for MembersOnly {
    async fn create(&self, _: &Owner, diff: &Diff, view: &mut View<'_, S>) -> Result<(), Refusal> {
        check_assignee(diff, view).await
    }

    async fn update(&self, _: &Owner, diff: &Diff, view: &mut View<'_, S>) -> Result<(), Refusal> {
        check_assignee(diff, view).await
    }

    async fn delete(&self, _: &Owner, diff: &Diff, view: &mut View<'_, S>) -> Result<(), Refusal> {
        if diff.model == "members" && view.read("members", &[]).await?.len() < 2 {
            return Err(Refusal::because("A project needs a member."));
        }
        Ok(())
    }
}

async fn check_assignee<S: Synchronizer>(
    diff: &Diff,
    view: &mut View<'_, S>,
) -> Result<(), Refusal> {
    // The library has checked that json_data is an object. The assignee may be missing.
    let data: Value = serde_json::from_str(&diff.json_data).unwrap_or_default();
    let assignee = data.get("assignee").and_then(Value::as_str);
    match assignee {
        Some(user) if diff.model == "tasks" && view.find("members", user).await?.is_none() => {
            Err(Refusal::because("A task can only be given to a member of the project."))
        }
        _ => Ok(()),
    }
}
