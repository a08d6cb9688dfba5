//! The page in real browsers: two people share a project.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use serde_json::json;

use self::support::{Browser, Device, Server, until};

const ENTER: &str = "\u{e007}";

/// What a person does on the page, and sees.
struct Person(Device);

impl Person {
    async fn signs_in(browser: &mut Browser, server: &Server, name: &str) -> Self {
        let device = browser.device(server.address()).await;
        device.write("#name", &format!("{name}{ENTER}")).await;
        let person = Self(device);
        person.sees("#who", &name.to_lowercase()).await;
        person
    }

    /// Waits until the text of such an element has these words.
    async fn sees(&self, selector: &str, words: &str) {
        let mut seen = json!(null);
        let script = format!("return document.querySelector(`{selector}`)?.innerText ?? ''");
        let sees = async || {
            seen = self.0.run(&script).await;
            seen.as_str().unwrap().contains(words)
        };
        until(&format!("{selector} has {words:?}"), sees).await;
    }

    /// The titles of the tasks, sorted, each with `*` if it is done and `↑` if it is not on the server.
    async fn tasks(&self) -> Vec<String> {
        let script = "return [...document.querySelectorAll('#tasks li')].map((row) =>
            row.querySelector('.title').value + (row.querySelector('.done').checked ? '*' : '')
                + row.querySelector('.mark').textContent).sort()";
        serde_json::from_value(self.0.run(script).await).unwrap()
    }

    async fn sees_tasks(&self, tasks: &[&str]) {
        until(&format!("the tasks are {tasks:?}"), async || self.tasks().await == tasks).await;
    }

    async fn adds(&self, title: &str) {
        self.0.write("#new", &format!("{title}{ENTER}")).await;
        until("it is there", async || self.tasks().await.concat().contains(title)).await;
    }

    /// The selector of a part of the task with that title.
    async fn part(&self, title: &str, part: &str) -> String {
        let script = format!(
            "return [...document.querySelectorAll('#tasks li')]
                .find((row) => row.querySelector('.title').value === '{title}').dataset.id"
        );
        format!("[data-id='{}'] {part}", self.0.run(&script).await.as_str().unwrap())
    }

    async fn renames(&self, from: &str, to: &str) {
        let title = self.part(from, ".title").await;
        self.0.click(&title).await;
        self.0.run(&format!("document.querySelector(`{title}`).select()")).await;
        self.0.write(&title, &format!("{to}{ENTER}")).await;
    }

    async fn chooses(&self, selector: &str, value: &str) {
        let script = format!(
            "const choice = document.querySelector(`{selector}`);
            choice.value = '{value}'; choice.dispatchEvent(new Event('change'))"
        );
        self.0.find(selector).await;
        self.0.run(&script).await;
    }

    /// Switches airplane mode on, or off.
    async fn airplane(&self) {
        self.0.click("#airplane").await;
    }
}

#[test]
fn two_people_share_a_project_until_one_of_them_is_removed() {
    Browser::test("projects", async |browser| {
        let server = Server::start();
        let ada = Person::signs_in(browser, &server, "ada").await;
        let bob = Person::signs_in(browser, &server, "Bob").await;

        // She invites him, and his page knows it by itself.
        ada.0.write("#new-project", &format!("Garden{ENTER}")).await;
        ada.sees("#title", "Garden").await;
        ada.0.write("#guest", &format!("bob{ENTER}")).await;
        ada.sees("[data-person=bob]", "invited").await;
        bob.sees("#invitations", "ada invites you to “Garden”").await;
        bob.0.click("#invitations .main").await;
        bob.0.click("#projects button").await;
        bob.sees("#title", "Garden").await;
        ada.0.find("[data-person=bob] select").await;

        ada.adds("Rake").await;
        ada.adds("Water").await;
        bob.sees_tasks(&["Rake", "Water"]).await;
        bob.0.has_no(&format!("{}:not([hidden])", bob.part("Rake", ".delete").await)).await;

        // Both work without a network, and converge.
        ada.airplane().await;
        bob.airplane().await;
        bob.renames("Rake", "Rake leaves").await;
        bob.0.click(&bob.part("Water", ".done").await).await;
        ada.chooses(&ada.part("Rake", ".assignee").await, "bob").await;
        bob.adds("Prune").await;
        bob.0.says("Offline, 3 changes are waiting").await;
        ada.sees_tasks(&["Rake↑", "Water"]).await;
        bob.airplane().await;
        ada.airplane().await;
        for person in [&ada, &bob] {
            person.sees_tasks(&["Prune", "Rake leaves", "Water*"]).await;
            person.0.says("All saved").await;
            let assignee = person.part("Rake leaves", ".assignee").await;
            let script = format!("return document.querySelector(`{assignee}`).value");
            until("it is Bob's", async || person.0.run(&script).await == "bob").await;
        }

        // What the rules refuse is undone, and the person reads why.
        bob.renames("Prune", " ").await;
        bob.sees("#notices", "A task needs a title.").await;
        bob.sees_tasks(&["Prune", "Rake leaves", "Water*"]).await;
        bob.0.click("#notices button").await;
        bob.0.has_no(".notice").await;
        bob.0.pictures("projects").await;

        // Readers are offered nothing to change.
        ada.chooses("[data-person=bob] select", "reader").await;
        bob.sees("#role", "can read").await;
        bob.0.has_no("#add:not([hidden])").await;
        ada.chooses("[data-person=bob] select", "editor").await;
        bob.sees("#role", "can edit").await;

        // He is removed while he works without a network: nothing of it is sent, nothing is lost.
        bob.airplane().await;
        bob.adds("Secret").await;
        ada.0.click("[data-person=bob] button").await;
        ada.0.has_no("[data-person=bob]").await;
        bob.airplane().await;
        bob.sees("#notices", "You have no access to “Garden” any more").await;
        bob.sees("#notices", "Secret").await;
        bob.0.has_no("#projects button").await;
        bob.0.has_no("#project:not([hidden])").await;
        bob.0.pictures("removed").await;
        bob.0.reload().await;
        bob.sees("#notices", "Secret").await;
        bob.0.click("#notices button").await;
        bob.0.has_no(".notice").await;
        ada.sees_tasks(&["Prune", "Rake leaves", "Water*"]).await;

        // Who leaves by himself is told nothing.
        ada.0.write("#guest", &format!("bob{ENTER}")).await;
        bob.0.click("#invitations .main").await;
        bob.0.click("#projects button").await;
        bob.sees_tasks(&["Prune", "Rake leaves", "Water*"]).await;
        bob.0.click("#leave").await;
        bob.0.has_no("#projects button").await;
        ada.0.has_no("[data-person=bob]").await;
        bob.0.says("All saved").await;
        bob.0.has_no(".notice").await;

        // Signing out tells what is not sent, and deletes everything.
        ada.airplane().await;
        ada.adds("Late").await;
        ada.0.click("#sign-out").await;
        ada.sees("#unsent", "1 change is not on the server yet").await;
        ada.0.click("#destroy").await;
        ada.0.find("#welcome:not([hidden])").await;
        let left = "return (await indexedDB.databases()).length + localStorage.length";
        until("nothing is left", async || ada.0.run(left).await == 0).await;
        for person in [&ada, &bob] {
            assert_eq!(person.0.complaints().await, [""; 0]);
        }
    });
}
