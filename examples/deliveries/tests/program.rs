//! The real program, with a browser at its admin page, phones that sync, and a server that its webhook tells.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use mobync::Record;
use serde_json::json;

use support::{Deliveries, Webhook};

#[tokio::test]
async fn what_was_there_before_comes_to_the_phones() {
    let deliveries = Deliveries::with(
        "INSERT INTO drivers VALUES ('ada', 'ada''s token'), ('bob', 'bob''s token');
         INSERT INTO rounds (id, driver, name) VALUES ('r1', 'ada', 'North');
         INSERT INTO stops (id, driver, round, address) VALUES ('s1', 'ada', 'r1', 'Mill Lane 1')",
    )
    .await;
    let phone = deliveries.phone("ada's token");
    phone.sync().await;
    assert_eq!(phone.all("rounds").await, [json!({"id": "r1", "name": "North", "open": 1})]);
    let stop = json!(
        {"id": "s1", "round": "r1", "address": "Mill Lane 1", "note": "", "delivered": false}
    );
    assert_eq!(phone.all("stops").await, [stop]);
    let other = deliveries.phone("bob's token");
    other.sync().await;
    assert!(other.all("rounds").await.is_empty());
    deliveries.phone("nobody's token").is_refused().await;
}

#[tokio::test]
async fn what_the_dispatcher_does_arrives_at_once() {
    let deliveries = Deliveries::start().await;
    let token = deliveries.add_driver("ada").await;
    let phone = deliveries.phone(&token);
    let mut live = phone.listen().await;
    deliveries.post("/rounds", &[("driver", "ada"), ("name", "North")]).await;
    live.hears_more_than(&phone).await;
    let round = phone.one("rounds").await;
    let new = [("driver", "ada"), ("round", id(&round)), ("addresses", "Mill Lane 1\nMill Lane 2")];
    deliveries.post("/stops", &new).await;
    live.hears_more_than(&phone).await;
    assert_eq!(phone.all("stops").await.len(), 2);
    // By a trigger of the application.
    assert_eq!(phone.one("rounds").await["open"], 2);

    let stop = phone.all("stops").await.remove(0);
    let edited =
        [("driver", "ada"), ("id", id(&stop)), ("address", "Mill Lane 9"), ("note", "Ring twice")];
    deliveries.post("/stops/edit", &edited).await;
    live.hears_more_than(&phone).await;
    let stop = phone.get("stops", id(&stop)).await;
    assert_eq!((&stop["address"], &stop["note"]), (&json!("Mill Lane 9"), &json!("Ring twice")));

    deliveries.post("/rounds/delete", &[("driver", "ada"), ("id", id(&round))]).await;
    live.hears_more_than(&phone).await;
    assert!(phone.all("rounds").await.is_empty());
    assert!(phone.all("stops").await.is_empty(), "by ON DELETE CASCADE");
}

#[tokio::test]
async fn a_round_that_is_handed_over_goes_from_one_phone_to_the_other() {
    let deliveries = Deliveries::start().await;
    let (ada, bob) = (deliveries.add_driver("ada").await, deliveries.add_driver("bob").await);
    let (ada, bob) = (deliveries.phone(&ada), deliveries.phone(&bob));
    deliveries.post("/rounds", &[("driver", "ada"), ("name", "North")]).await;
    ada.sync().await;
    let round = ada.one("rounds").await;
    let new = [("driver", "ada"), ("round", id(&round)), ("addresses", "Mill Lane 1")];
    deliveries.post("/stops", &new).await;
    ada.sync().await;
    let (round, stop) = (ada.one("rounds").await, ada.one("stops").await);

    let to_bob = [("driver", "ada"), ("id", id(&round)), ("to", "bob")];
    deliveries.post("/rounds/hand-over", &to_bob).await;
    for phone in [&ada, &bob] {
        phone.sync().await;
    }
    assert!(ada.all("rounds").await.is_empty() && ada.all("stops").await.is_empty());
    assert_eq!((bob.one("rounds").await, bob.one("stops").await), (round, stop));
}

#[tokio::test]
async fn what_a_driver_ticks_off_is_on_the_admin_page_and_the_webhook_hears_of_it() {
    let mut webhook = Webhook::start().await;
    let deliveries = Deliveries::telling(&webhook.url).await;
    let token = deliveries.add_driver("ada").await;
    deliveries.post("/rounds", &[("driver", "ada"), ("name", "North")]).await;
    let phone = deliveries.phone(&token);
    phone.sync().await;
    let round = phone.one("rounds").await;
    let new = [("driver", "ada"), ("round", id(&round)), ("addresses", "Mill Lane 1")];
    deliveries.post("/stops", &new).await;
    phone.sync().await;

    let stop = phone.one("stops").await;
    phone.change("stops", Record::new(id(&stop)).with("delivered", true)).await;
    phone.sync().await;
    let page = deliveries.page().await;
    assert!(page.contains("Mill Lane 1: delivered") && page.contains("North, 0 to go"), "{page}");
    // By a trigger, with the same answer.
    assert_eq!(phone.one("rounds").await["open"], 0);

    // It fails once, and is told again, under the same key.
    let told = json!({"driver": "ada", "stop": id(&stop), "address": "Mill Lane 1"});
    let (first, second) = (webhook.told().await, webhook.told().await);
    assert_eq!((&first.1, &second.1), (&told, &told));
    assert_eq!(first.0, second.0);
}

#[tokio::test]
async fn a_driver_does_nothing_but_tick_off() {
    let deliveries = Deliveries::start().await;
    let token = deliveries.add_driver("ada").await;
    deliveries.post("/rounds", &[("driver", "ada"), ("name", "North")]).await;
    let phone = deliveries.phone(&token);
    phone.sync().await;
    let round = phone.one("rounds").await;
    phone.change("rounds", Record::new(id(&round)).with("name", "South")).await;
    phone.sync().await;
    assert_eq!(phone.one("rounds").await["name"], "North");
    phone.delete("rounds", id(&round)).await;
    phone.sync().await;
    assert_eq!(phone.all("rounds").await, [round]);
    let refused = phone.refused().await;
    assert_eq!((refused.len(), &*refused[1]), (2, "Only the dispatcher can remove that."));
}

#[tokio::test]
async fn the_admin_page_is_the_admins() {
    let deliveries = Deliveries::start().await;
    for password in [None, Some(""), Some("wrong"), Some("the password of the tests, nearly")] {
        assert_eq!(deliveries.status_with(password, None).await, 401, "{password:?}");
    }
    assert_eq!(deliveries.status_with(Some(support::PASSWORD), None).await, 303);
    let from = async |site| deliveries.status_with(Some(support::PASSWORD), Some(site)).await;
    assert_eq!((from("cross-site").await, from("same-site").await), (403, 403));
    assert_eq!(from("same-origin").await, 303);
}

#[tokio::test]
async fn names_are_no_html() {
    let deliveries = Deliveries::start().await;
    let name = r#""><script>alert('&')</script>"#;
    let token = deliveries.add_driver(name).await;
    deliveries.post("/rounds", &[("driver", name), ("name", name)]).await;
    let phone = deliveries.phone(&token);
    phone.sync().await;
    assert_eq!(phone.one("rounds").await["name"], name);
    let page = deliveries.page().await;
    assert!(!page.contains("<script>"), "{page}");
    let escaped = "&quot;&gt;&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;";
    assert!(page.contains(&format!("<h2>{escaped}</h2>")), "{page}");
}

fn id(row: &serde_json::Value) -> &str {
    row["id"].as_str().unwrap()
}

/// The README shows which lines were added to the program.
#[test]
fn the_readme_shows_all_lines_that_sync_has_added_to_the_program() {
    let readme = include_str!("../README.md");
    let shown: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix('+')).collect();
    let program: Vec<&str> = include_str!("../src/main.rs").lines().collect();
    assert!(shown.len() > 5);
    for line in &shown {
        assert!(program.contains(line), "{line}");
    }
    let is_of_sync = |line: &&&str| {
        ["sync::", "mobync", "webhook", "mod sync"].iter().any(|word| line.contains(word))
    };
    for line in program.iter().filter(is_of_sync) {
        assert!(shown.contains(line), "{line}");
    }
}

/// What the how-to guides show of this program is in it, line by line.
#[test]
fn the_guides_code_is_this_programs() {
    let guides =
        [include_str!("../../../mobync/EXISTING.md"), include_str!("../../../mobync/DATABASES.md")];
    let program = [
        include_str!("../src/sync.rs"),
        include_str!("../src/webhook.rs"),
        include_str!("../src/database.rs"),
        include_str!("../migrations/0001_tables.sql"),
    ];
    let trimmed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let program = program.map(trimmed);
    let mut blocks = 0;
    for block in guides.iter().flat_map(|guide| guide.split("```").skip(1).step_by(2)) {
        let starts = ["rust,ignore\n", "sql\nCREATE TABLE stops"];
        if starts.iter().any(|start| block.starts_with(start)) {
            let code = block.split_once('\n').unwrap().1.replace(" -- the owner", "");
            let code = trimmed(&code);
            assert!(program.iter().any(|file| file.contains(&code)), "{code}");
            blocks += 1;
        }
    }
    assert!(blocks >= 8, "{blocks}");
}

/// The crates that the guide adds are dependencies of this program.
#[test]
fn the_guides_crates_are_this_programs() {
    let guide = include_str!("../../../mobync/EXISTING.md");
    let manifest = include_str!("../Cargo.toml");
    let added: Vec<_> = guide.lines().filter_map(|line| line.strip_prefix("cargo add ")).collect();
    assert!(!added.is_empty());
    for name in added.iter().filter_map(|line| line.split(' ').next()) {
        assert!(manifest.contains(&format!("\n{name}")), "{name}");
    }
}
