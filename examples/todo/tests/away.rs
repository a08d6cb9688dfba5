//! A device that was away or is new, in a real browser: what it fetches, and what has lost meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use serde_json::{Value, json};

use self::support::{Browser, Device, Server, until};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// A phone without a network and a laptop with one both rename the same task, the laptop later.
async fn both_rename(
    server: &Server,
    [phone, laptop]: [&Device; 2],
    from: &str,
    [mine, theirs]: [&str; 2],
) {
    phone.click("label:has(#airplane)").await;
    phone.rename(from, mine).await;
    phone.says("Offline, 1 change waits").await;
    laptop.rename(from, theirs).await;
    until("the server has it", async || server.names("ada") == [theirs]).await;
    phone.click("label:has(#airplane)").await;
}

#[test]
fn a_text_that_another_device_replaced_is_shown_until_it_is_put_back_or_let_go() {
    Browser::test("overridden", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        let laptop = browser.device(server.address()).await;
        phone.add("Milk").await;
        laptop.sees("Milk").await;

        both_rename(&server, [&phone, &laptop], "Milk", ["Oat milk", "Soy milk"]).await;
        phone.sees("Soy milk").await;
        let notice = phone.text(".notice").await;
        assert!(notice.contains("Another device’s text replaced yours"), "{notice}");
        assert!(notice.contains("Oat milk → Soy milk"), "{notice}");
        phone.pictures("overridden").await;
        // It is kept until it is looked at.
        phone.reload().await;
        assert!(phone.text(".notice").await.contains("Oat milk"));

        // With the keyboard, from the top of the page.
        phone.run("document.activeElement.blur()").await;
        for _ in 0..20 {
            phone.press(TAB).await;
            if phone.run("return document.activeElement.textContent").await == "Put mine back" {
                break;
            }
        }
        phone.press(ENTER).await;
        phone.has_no(".notice").await;
        assert_eq!(phone.run("return document.activeElement.id").await, "new");
        for device in [&phone, &laptop] {
            device.sees("Oat milk").await;
        }
        until("the server has it", async || server.names("ada") == ["Oat milk"]).await;

        both_rename(&server, [&phone, &laptop], "Oat milk", ["Rice milk", "Milk"]).await;
        phone.click(".notice .actions button:last-child").await;
        phone.has_no(".notice").await;
        phone.sees("Milk").await;
        assert_eq!(server.names("ada"), ["Milk"]);
        laptop.has_no(".notice").await;
    });
}

#[test]
fn a_changed_task_that_another_device_deleted_can_be_put_back() {
    Browser::test("deleted", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        let laptop = browser.device(server.address()).await;
        phone.add("Milk").await;
        laptop.sees("Milk").await;
        phone.click("label:has(#airplane)").await;
        phone.rename("Milk", "Oat milk").await;
        phone.says("Offline, 1 change waits").await;
        laptop.click_in("Milk", ".delete").await;
        until("it is deleted", async || server.names("ada").is_empty()).await;
        phone.click("label:has(#airplane)").await;
        phone.sees_no("Oat milk").await;
        let notice = phone.text(".notice").await;
        assert!(notice.contains("Another device deleted what you changed"), "{notice}");
        assert!(notice.contains("“Oat milk”"), "{notice}");
        phone.click(".notice .main").await;
        for device in [&phone, &laptop] {
            device.sees("Oat milk").await;
        }
        phone.has_no(".notice").await;
        assert_eq!(phone.complaints().await, [""; 0]);
    });
}

/// Creates of so many tasks, for one tick of the log.
fn tasks(tick: usize, count: usize) -> Value {
    let create = |number| {
        let task = json!({"id": format!("t{tick}-{number}"), "name": format!("{tick}-{number}")});
        json!({
            "id": format!("d{tick}-{number}"), "owner": "", "logical_clock": 0, "utc_timestamp": 1,
            "type": "create", "model": "tasks", "json_data": task.to_string(),
        })
    };
    (0..count).map(create).collect()
}

#[test]
fn a_first_sync_shows_how_far_it_is_and_goes_on_after_it_was_cut_off() {
    Browser::test("progress", async |browser| {
        let server = Server::start();
        for tick in 0..3 {
            assert_eq!(server.push("grace", &tasks(tick, 600))["success"], true);
        }
        let phone = browser.device(server.address()).await;
        phone.says("All saved").await;
        assert_eq!(phone.run("return document.querySelector('#progress').hidden").await, true);
        // Of Grace's requests, the second one does not get through.
        let cut = "
            const { fetch } = globalThis;
            let syncs = 0;
            globalThis.fetch = (url, init) => {
                const isHers = init?.headers?.Authorization === 'Bearer grace' && init.method === 'POST';
                return isHers && (syncs += 1) > 1 ? new Promise(() => {}) : fetch(url, init);
            };";
        phone.run(cut).await;
        phone.click("#users [value=grace]").await;
        phone.says("Fetching…").await;
        let bar = "const { hidden, value, ariaLabel } = document.querySelector('#progress');
            return [hidden, value.toFixed(2), document.querySelectorAll('#tasks li').length];";
        let a_third = json!([false, "0.33", 600]);
        until("a third is there", async || phone.run(bar).await == a_third).await;
        phone.pictures("progress").await;

        let asked = "
            const { Mobync } = await import('/mobync.js');
            const clocks = [];
            const mobync = await Mobync.open({
                person: 'grace', name: 'todo-grace-1', url: '/sync', models: { tasks: {} }, token: () => 'grace',
                schema: await (await fetch('/schema.json')).json(), automatic: false, fetch: async (url, init) => {
                    const body = JSON.parse(init.body);
                    clocks.push((body.syncs?.[0] ?? body).logical_clock);
                    return fetch(url, init);
                },
            });
            await mobync.sync();
            const { clock, progress } = mobync.status;
            await mobync.close();
            return [clocks[0], clock, progress];";
        phone.open("/devices.css").await;
        assert_eq!(phone.run(asked).await, json!([1, 3, null]));
        phone.open("/").await;
        phone.says("All saved").await;
        let all = json!([true, "0.00", 1800]);
        until("all is there", async || phone.run(bar).await == all).await;
    });
}

#[test]
fn a_device_that_was_away_for_longer_than_the_log_goes_back_gets_all_again_and_keeps_its_changes() {
    Browser::test("too-old", async |browser| {
        let server = Server::keeping("0.00001");
        let phone = browser.device(server.address()).await;
        let laptop = browser.device(server.address()).await;
        phone.add("Milk").await;
        laptop.sees("Milk").await;
        phone.add("Tea").await;
        laptop.sees("Tea").await;
        phone.says("All saved").await;
        phone.click("label:has(#airplane)").await;
        phone.rename("Milk", "Oat milk").await;
        phone.add("Salt").await;
        phone.says("Offline, 2 changes wait").await;
        laptop.click_in("Tea", ".delete").await;
        laptop.add("Bread").await;
        let of_phone = json!({"logical_clock": 2, "diffs": []});
        let is_too_old = async || server.answer("ada", &of_phone)["code"] == "too_old";
        until("the log does not go back so far", is_too_old).await;
        phone.click("label:has(#airplane)").await;
        phone.says("All saved").await;
        for device in [&phone, &laptop] {
            for task in ["Oat milk", "Salt", "Bread"] {
                device.sees(task).await;
            }
            device.sees_no("Tea").await;
            device.has_no(".notice").await;
        }
        assert_eq!(server.names("ada"), ["Bread", "Oat milk", "Salt"]);
    });
}

#[test]
fn a_database_of_the_version_before_is_opened_with_all_that_is_in_it() {
    Browser::test("upgrade", async |browser| {
        let server = Server::start();
        assert_eq!(server.push("grace", &tasks(0, 1))["success"], true);
        let phone = browser.device(server.address()).await;
        phone.says("All saved").await;
        let old = "
            const opening = indexedDB.open('mobync:todo-grace-1', 1);
            opening.onupgradeneeded = () => {
                const made = opening.result;
                made.createObjectStore('objects', { keyPath: ['model', 'id'] });
                made.createObjectStore('pending', { keyPath: 'seq', autoIncrement: true })
                    .createIndex('object', ['model', 'id']);
                made.createObjectStore('refused', { keyPath: 'id' });
                made.createObjectStore('meta', { keyPath: 'key' });
            };
            const db = await new Promise((resolve) => (opening.onsuccess = () => resolve(opening.result)));
            const tables = db.transaction(['objects', 'pending', 'refused', 'meta'], 'readwrite');
            const put = (table, value) => tables.objectStore(table).put(value);
            const diff = (id, type, data) => ({
                id, owner: '', logical_clock: 1, utc_timestamp: Date.now(), type, model: 'tasks',
                json_data: JSON.stringify(data),
            });
            const milk = { id: 'milk', name: 'Milk' };
            put('objects', { model: 'tasks', id: 't0-0', row: { id: 't0-0', name: 'First' } });
            put('objects', { model: 'tasks', id: 'milk', row: milk });
            put('pending', { model: 'tasks', id: 'milk', diff: diff('p1', 'create', milk) });
            put('pending', { model: 'tasks', id: 't0-0', diff: diff('p2', 'update', { id: 't0-0', name: 'First' }) });
            put('refused', {
                id: 'r1', diff: diff('r1', 'update', { id: 't0-0', name: '' }), code: 'forbidden', message: 'No.',
                fields: { id: 't0-0', name: '' }, at: 1, seq: 1,
            });
            put('meta', {
                key: 'state', clock: 1, unanswered: 1, syncedAt: Date.now(), deleted: [], person: 'grace',
                owner: 'grace', failures: 0, token: null,
            });
            await new Promise((resolve) => (tables.oncomplete = resolve));
            db.close();";
        phone.run(old).await;
        phone.click("#users [value=grace]").await;
        phone.says("All saved").await;
        phone.sees("First").await;
        phone.sees("Milk").await;
        assert!(phone.text(".notice").await.contains("No."));
        until("its changes are sent", async || server.names("grace") == ["First", "Milk"]).await;
        assert_eq!(phone.complaints().await, [""; 0]);
    });
}
