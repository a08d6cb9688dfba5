//! The tasks on the page: what a person does with them, and sees.

use serde_json::Value;

use super::{Device, until};

impl Device {
    pub async fn add(&self, name: &str) {
        self.write("#new", &format!("{name}\u{e007}")).await;
        self.sees(name).await;
    }

    /// Types another name over that of the task.
    pub async fn rename(&self, from: &str, to: &str) {
        let id = self.id_of(from).await;
        let name = format!("[data-id='{id}'] textarea");
        self.click(&name).await;
        self.run(&format!("document.querySelector(`{name}`).select()")).await;
        let typed = if to.is_empty() { "\u{e017}" } else { to };
        self.write(&name, &format!("{typed}\u{e007}")).await;
    }

    /// Clicks a part of the task: `.check`, `.delete`.
    pub async fn click_in(&self, task: &str, part: &str) {
        let id = self.id_of(task).await;
        self.click(&format!("[data-id='{id}'] {part}")).await;
    }

    pub async fn id_of(&self, task: &str) -> String {
        self.sees(task).await;
        let tasks = self.tasks().await;
        tasks.iter().find(|one| one.name == task).unwrap().id.clone()
    }

    pub async fn tasks(&self) -> Vec<Task> {
        let script = "return [...document.querySelectorAll('#tasks li')].map((task) => ({
            id: task.dataset.id,
            name: task.querySelector('textarea').value,
            done: task.querySelector('.check').checked,
            waits: task.querySelector('.mark').classList.contains('waiting'),
        }))";
        let tasks = self.run(script).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let one = |task: &Value| Task {
            id: text(&task["id"]),
            name: text(&task["name"]),
            done: task["done"] == true,
            waits: task["waits"] == true,
        };
        tasks.as_array().unwrap().iter().map(one).collect()
    }

    pub async fn names(&self) -> Vec<String> {
        self.tasks().await.into_iter().map(|task| task.name).collect()
    }

    pub async fn sees(&self, task: &str) {
        until(&format!("{task:?} is on the page"), async || {
            self.names().await.iter().any(|name| name == task)
        })
        .await;
    }

    pub async fn sees_no(&self, task: &str) {
        until(&format!("{task:?} is not on the page any more"), async || {
            !self.names().await.iter().any(|name| name == task)
        })
        .await;
    }
}

/// A task as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub id: String,
    pub name: String,
    pub done: bool,
    pub waits: bool,
}
