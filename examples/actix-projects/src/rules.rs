//! What members may do to the tasks of a project.

use mobync::{Diff, Owner, Record, Refusal, Rules, View};
use serde_json::Value;

/// A task is made by its author, and assigned to members only. Owners delete any task, others their own. Each rule
/// refuses a diff alone; it is undone on its device, where the person reads the sentence.
pub(crate) struct TasksOfMembers;

impl Rules for TasksOfMembers {
    async fn create(&self, _: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        let (member, task) = (writer(diff, view)?, diff.record()?);
        require(text(&task, "author") == Some(&member), "A new task has your name on it.")?;
        require(text(&task, "title").is_some(), "A task needs a title.")?;
        // Two creates of one id become one task: whose is it?
        let there = view.find("tasks", task.id()).await?;
        let is_theirs = there.is_none_or(|there| text(&there, "author") == Some(&member));
        require(is_theirs, "The author of a task cannot be changed.")?;
        check(&task, view).await
    }

    async fn update(&self, _: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        writer(diff, view)?;
        let task = diff.record()?;
        require(task.get("author").is_none(), "The author of a task cannot be changed.")?;
        check(&task, view).await
    }

    async fn delete(&self, _: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        let member = writer(diff, view)?;
        let task = view.find("tasks", &diff.object_id()?).await?;
        let is_theirs = task.is_none_or(|task| text(&task, "author") == Some(&member));
        let role = view.find("members", &member).await?;
        let is_owner = role.is_some_and(|member| text(&member, "role") == Some("owner"));
        require(
            is_theirs || is_owner,
            "Only the owner of the project can delete the tasks of others.",
        )
    }
}

/// Who writes. Members and invitations are changed by this server alone, with the person's own data.
fn writer(diff: &Diff, view: &View<'_>) -> Result<String, Refusal> {
    match view.member() {
        Some(member) if diff.model == "tasks" => Ok(member.to_owned()),
        _ => Err(Refusal::because("Members and invitations are changed on the server.")),
    }
}

/// What holds for each field, in a new task and in a changed one.
async fn check(task: &Record, view: &mut View<'_>) -> Result<(), Refusal> {
    let has_title = task
        .get("title")
        .is_none_or(|title| title.as_str().is_some_and(|title| !title.trim().is_empty()));
    require(has_title, "A task needs a title.")?;
    let is_assignable = match text(task, "assignee") {
        Some(assignee) => view.find("members", assignee).await?.is_some(),
        None => true,
    };
    require(is_assignable, "A task can only be assigned to a member of the project.")
}

fn text<'r>(record: &'r Record, field: &str) -> Option<&'r str> {
    record.get(field).and_then(Value::as_str)
}

fn require(holds: bool, sentence: &'static str) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::because(sentence)) }
}
