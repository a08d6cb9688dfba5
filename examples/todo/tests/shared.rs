//! The list that two people share, in real browsers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use serde_json::json;

use self::support::{Browser, Server, until};

const ENTER: &str = "\u{e007}";

#[test]
fn two_people_share_a_list_and_nothing_else() {
    Browser::test("shared", async |browser| {
        let server = Server::start();
        let ada = browser.device(server.address()).await;
        let grace = browser.device(server.address()).await;
        ada.add("Ada's").await;
        grace.open("/?user=grace").await;
        grace.add("Grace's").await;
        for person in [&ada, &grace] {
            person.click("#lists [value=family]").await;
            until("the list is empty", async || person.names().await.is_empty()).await;
        }
        ada.add("Bread").await;
        grace.sees("Bread").await;
        grace.add("Milk").await;
        ada.sees("Milk").await;
        for (person, own) in [("ada", "Ada's"), ("grace", "Grace's")] {
            assert_eq!(server.names(person), [own]);
            until("it is on the server", async || server.family(person) == ["Bread", "Milk"]).await;
        }

        // Both rename the same task, and Grace, who does it later, also ticks off another one.
        for person in [&ada, &grace] {
            person.click("label:has(#airplane)").await;
        }
        ada.rename("Milk", "Oat milk").await;
        ada.says("Offline, 1 change waits").await;
        grace.rename("Milk", "Soy milk").await;
        grace.click_in("Bread", ".check").await;
        grace.says("Offline, 2 changes wait").await;
        grace.click("label:has(#airplane)").await;
        grace.says("All saved").await;
        ada.click("label:has(#airplane)").await;
        let notice = ada.text(".notice").await;
        assert!(notice.contains("Somebody else’s text replaced yours"), "{notice}");
        assert!(notice.contains("Oat milk → Soy milk"), "{notice}");
        ada.pictures("shared").await;
        ada.click(".notice .main").await;
        ada.has_no(".notice").await;
        for person in [&ada, &grace] {
            person.sees("Oat milk").await;
            until("it is done", async || {
                person.tasks().await.iter().any(|task| task.name == "Bread" && task.done)
            })
            .await;
        }

        // The rules of the server are those of every list, and the page says in which one it was.
        grace.rename("Oat milk", "").await;
        let notice = grace.text(".notice").await;
        assert!(notice.contains("A change in the family’s list was not accepted"), "{notice}");
        assert!(notice.contains("A task needs a title."), "{notice}");
        grace.write(".notice input", &format!("Rice milk{ENTER}")).await;
        ada.sees("Rice milk").await;
        grace.has_no(".notice").await;

        // The list is on the device: it is there without a network, and each keeps their own beside it.
        ada.network(false).await;
        ada.is_installed().await;
        ada.reload().await;
        ada.sees("Rice milk").await;
        ada.click("#lists [value=own]").await;
        ada.sees("Ada's").await;
        assert_eq!(ada.names().await, ["Ada's"]);
        ada.network(true).await;
        assert_eq!(grace.complaints().await, [""; 0]);

        // Two people side by side.
        grace.open("/people.html").await;
        let frames = "return [...document.querySelectorAll('iframe')].map((frame) =>
            [...frame.contentDocument.querySelectorAll('#tasks textarea')].map(({ value }) => value)
                .filter(Boolean).sort().join()).join('; ')";
        let both = json!("Bread,Rice milk; Bread,Rice milk");
        until("both have the list", async || grace.run(frames).await == both).await;
        grace.pictures("people").await;
    });
}
