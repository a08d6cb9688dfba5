//! A model of the person's own data that lists their spaces.

use std::{collections::BTreeMap, time::Duration};

use mobync::{
    Change, Owner, Record,
    client::{Client, Device, LocalStore, MemoryStore},
};

use tokio::time::sleep;

use super::town::{Fate, REFUSAL, Town, Wire, add, device, failure};

fn follows(wire: &Wire, device: &Device<MemoryStore>) -> Client<MemoryStore, Wire> {
    wire.client(device).follow("memberships", "list")
}

async fn write(town: &Town, person: &str, changes: impl IntoIterator<Item = Change>) {
    town.mobync.write(&Owner::new(person).unwrap(), changes).await.unwrap();
}

fn listed(space: &str) -> Change {
    Change::create("memberships", Record::new(format!("in {space}")).with("list", space))
}

fn unlisted(space: &str) -> Change {
    Change::delete("memberships", format!("in {space}"))
}

/// The names of the spaces, and whether each is joined.
async fn spaces<S: LocalStore>(device: &Device<S>) -> BTreeMap<String, bool> {
    let spaces = device.spaces().await.unwrap();
    spaces.into_iter().map(|space| (space.name, space.left.is_none())).collect()
}

fn map<const N: usize>(spaces: [(&str, bool); N]) -> BTreeMap<String, bool> {
    spaces.into_iter().map(|(name, is_joined)| (name.to_owned(), is_joined)).collect()
}

#[tokio::test(start_paused = true)]
async fn spaces_are_joined_and_left_by_the_list_with_one_sync() {
    let town = Town::new();
    for space in ["a", "b", "c"] {
        town.join(space, "ada");
        write(&town, &format!("space {space}"), [Change::create("tasks", Record::new(space))])
            .await;
    }
    write(&town, "ada", [listed("a"), listed("b")]).await;
    let ada = device();
    let client = follows(&town.wire("ada"), &ada);
    client.sync().await.unwrap();
    assert_eq!(spaces(&ada).await, map([("a", true), ("b", true)]));
    assert_eq!(ada.space("a").all("tasks").await.unwrap().len(), 1);

    add(&ada.space("b"), "unsent").await;
    write(&town, "ada", [unlisted("b"), listed("c")]).await;
    let synced = client.sync().await.unwrap();
    assert_eq!(spaces(&ada).await, map([("a", true), ("b", false), ("c", true)]));
    assert_eq!(ada.space("c").all("tasks").await.unwrap().len(), 1);
    assert!(ada.space("b").all("tasks").await.unwrap().is_empty());
    // What was pending went out with the request that brought the news.
    assert!(synced.spaces.contains_key("c"));

    write(&town, "ada", [listed("b")]).await;
    client.sync().await.unwrap();
    assert_eq!(spaces(&ada).await, map([("a", true), ("b", true), ("c", true)]));
    assert_eq!(ada.space("b").all("tasks").await.unwrap(), town.tasks("space b"));
}

/// What is joined by hand is left by hand.
#[tokio::test(start_paused = true)]
async fn the_list_does_not_leave_what_it_has_not_joined() {
    let town = Town::new();
    town.join("a", "ada");
    let ada = device();
    ada.join("a").await.unwrap();
    write(&town, "ada", [listed("a"), listed("b")]).await;
    let client = follows(&town.wire("ada"), &ada);
    client.sync().await.unwrap();
    write(&town, "ada", [unlisted("a"), unlisted("b")]).await;
    client.sync().await.unwrap();
    assert!(spaces(&ada).await["a"]);
}

/// While the list comes in pages, or comes once more, nothing is left that it does not have yet.
#[tokio::test(start_paused = true)]
async fn a_list_that_is_not_complete_is_not_followed() {
    let town = Town::new();
    let names: Vec<String> = (0..40).map(|number| format!("s{number:02}")).collect();
    for name in &names {
        town.join(name, "ada");
        write(&town, "ada", [listed(name)]).await;
        for filler in 0..30 {
            let task = Record::new(format!("{name} {filler}"));
            write(&town, "ada", [Change::create("tasks", task)]).await;
        }
    }
    let ada = device();
    let wire = town.wire("ada");
    let client = follows(&wire, &ada);
    client.sync().await.unwrap();
    for name in &names {
        add(&ada.space(name), "t1").await;
    }
    ada.begin_anew().await.unwrap();
    // Cut off behind the first page.
    let request = ada.request(100).await.unwrap();
    let mut body = request.body().clone();
    body.limit = Some(50);
    let owner = Owner::new("ada").unwrap();
    let page = town.mobync.answer(&owner, &body).await.unwrap();
    ada.take(&request, &page).await.unwrap();
    assert!(ada.has_more().await.unwrap());
    for again in [false, true] {
        wire.fate(super::town::Fate::RequestLost);
        let client = if again { follows(&wire, &ada) } else { client.clone() };
        client.sync_now().await.unwrap_err();
        assert_eq!(spaces(&ada).await.values().filter(|is_joined| **is_joined).count(), 40);
    }
    client.sync().await.unwrap();
    for name in names {
        assert_eq!(town.tasks(&format!("space {name}")).len(), 1, "{name}");
    }
}

/// The list still names it, but the server says no.
#[tokio::test(start_paused = true)]
async fn a_space_that_says_no_is_asked_again_when_the_list_changes_or_with_a_new_client() {
    let town = Town::new();
    write(&town, "ada", [listed("a")]).await;
    let ada = device();
    let wire = town.wire("ada");
    let client = follows(&wire, &ada);
    client.sync().await.unwrap();
    let told = ada.spaces().await.unwrap();
    assert_eq!(told[0].left.as_deref(), Some(REFUSAL));
    wire.heard();
    for _ in 0..3 {
        client.sync().await.unwrap();
    }
    let heard = wire.heard();
    assert!(heard.iter().flatten().all(|(space, _)| space.is_empty()), "{heard:?}");

    let asks = |heard: Vec<Vec<(String, usize)>>| heard.into_iter().flatten().any(|it| it.0 == "a");
    write(&town, "ada", [listed("b")]).await;
    client.sync().await.unwrap();
    assert!(asks(wire.heard()), "the list has changed");
    follows(&wire, &ada).sync().await.unwrap();
    assert!(asks(wire.heard()), "the app has started again");
    town.join("a", "ada");
    follows(&wire, &ada).sync().await.unwrap();
    assert_eq!(spaces(&ada).await, map([("a", true), ("b", false)]));
}

/// A person makes a list and a membership on the way; the server learns of the membership first.
#[tokio::test(start_paused = true)]
async fn a_space_that_is_new_waits_for_the_changes_that_make_the_person_a_member() {
    let town = Town::new();
    let ada = device();
    let wire = town.wire("ada");
    let client = follows(&wire, &ada);
    client.sync().await.unwrap();
    wire.heard();
    ada.record([listed("new")]).await.unwrap();
    ada.join("new").await.unwrap();
    add(&ada.space("new"), "t1").await;
    town.join("new", "ada");
    client.sync().await.unwrap();
    let heard = wire.heard();
    assert_eq!(heard[0], [(String::new(), 1)], "{heard:?}");
    assert_eq!(town.tasks("space new").len(), 1);

    // The person's own data cannot be synced now, so that the space stays as it is.
    ada.record([listed("newer")]).await.unwrap();
    ada.join("newer").await.unwrap();
    add(&ada.space("newer"), "t1").await;
    for fate in [Fate::RequestLost, Fate::Says(503, None, failure("busy", "Later."))] {
        wire.fate(fate);
        client.sync_now().await.unwrap_err();
        assert!(spaces(&ada).await["newer"]);
        assert!(ada.space("newer").has_pending().await.unwrap());
    }
    town.join("newer", "ada");
    client.sync().await.unwrap();
    assert_eq!(town.tasks("space newer").len(), 1);
}

/// A change that the server will never accept makes nobody a member.
#[tokio::test(start_paused = true)]
async fn a_space_that_is_new_does_not_wait_for_changes_that_wait_for_the_person() {
    let town = Town::new();
    town.join("first", "ada");
    town.join("second", "ada");
    let ada = device();
    let wire = town.wire("ada");
    let client = wire.client(&ada);
    client.sync().await.unwrap();
    ada.record([Change::create("no such model", Record::new("x"))]).await.unwrap();
    ada.join("first").await.unwrap();
    add(&ada.space("first"), "t1").await;
    client.sync_now().await.unwrap_err();
    assert_eq!(town.tasks("space first").len(), 1);

    // Nor while a client that runs pauses.
    let pause = Duration::from_mins(30);
    let client = client.pauses(pause, pause);
    let running = tokio::spawn(async move { client.run(Duration::from_hours(9), |_| {}).await });
    sleep(Duration::from_mins(1)).await;
    ada.join("second").await.unwrap();
    add(&ada.space("second"), "t1").await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(town.tasks("space second").len(), 1);
    running.abort();
}

/// The list has the same names as before, and yet it is another one.
#[tokio::test(start_paused = true)]
async fn a_space_that_is_removed_from_the_list_and_added_again_is_asked_again() {
    let town = Town::new();
    town.join("a", "ada");
    write(&town, "ada", [listed("a"), listed("b")]).await;
    let ada = device();
    let client = follows(&town.wire("ada"), &ada);
    client.sync().await.unwrap();
    town.remove("a", "ada");
    client.sync().await.unwrap();
    assert_eq!(spaces(&ada).await, map([("a", false), ("b", false)]));

    town.join("a", "ada");
    let again = Change::create("memberships", Record::new("in a again").with("list", "a"));
    write(&town, "ada", [unlisted("a"), again]).await;
    client.sync().await.unwrap();
    assert_eq!(spaces(&ada).await, map([("a", true), ("b", false)]));
}
