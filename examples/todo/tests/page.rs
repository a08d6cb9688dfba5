//! The page in a real browser: what a person sees and does there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use serde_json::json;

use self::support::{Browser, Device, Server, until};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const RIGHT: &str = "\u{e014}";
const DOWN: &str = "\u{e015}";

#[test]
fn a_refused_change_is_undone_and_shown_with_its_reason_until_it_is_mended() {
    Browser::test("refused", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.add("Milk").await;
        phone.add("Bread").await;
        phone.says("All saved").await;
        phone.rename("Milk", "").await;
        let notice = phone.text(".notice").await;
        assert!(notice.contains("A task needs a title."), "{notice}");
        phone.sees("Milk").await;
        phone.pictures("refused").await;

        phone.write(".notice input", &format!("Oat milk{ENTER}")).await;
        phone.sees("Oat milk").await;
        phone.says("All saved").await;
        phone.has_no(".notice").await;
        assert_eq!(server.names("ada"), ["Bread", "Oat milk"]);

        phone.rename("Bread", "").await;
        phone.click(".notice form button:last-child").await;
        phone.has_no(".notice").await;
        phone.sees("Bread").await;
    });
}

#[test]
fn what_was_deleted_comes_back_by_undo_also_on_other_devices() {
    Browser::test("undo", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        let laptop = browser.device(server.address()).await;
        for name in ["Milk", "Bread"] {
            phone.add(name).await;
            laptop.sees(name).await;
        }
        phone.click_in("Milk", ".delete").await;
        laptop.sees_no("Milk").await;
        phone.has_no("#toast[hidden]").await;
        phone.click("#toast button").await;
        laptop.sees("Milk").await;
        assert_eq!(laptop.names().await, ["Bread", "Milk"]);

        phone.click_in("Milk", ".check").await;
        phone.click("#clear").await;
        laptop.sees_no("Milk").await;
        phone.has_no("#toast[hidden]").await;
        phone.click("#toast button").await;
        laptop.sees("Milk").await;
        phone.says("All saved").await;
        assert_eq!(phone.tasks().await, laptop.tasks().await);
    });
}

#[test]
fn two_people_on_one_device_see_nothing_of_each_other() {
    Browser::test("people", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.add("Ada's").await;
        phone.says("All saved").await;
        phone.click("#users [value=grace]").await;
        phone.sees_no("Ada's").await;
        phone.add("Grace's").await;
        phone.says("All saved").await;
        phone.reload().await;
        phone.sees("Grace's").await;
        assert_eq!(phone.names().await, ["Grace's"]);
        phone.click("#users [value=ada]").await;
        phone.sees("Ada's").await;
        assert_eq!(phone.names().await, ["Ada's"]);
        assert_eq!(
            (server.names("ada"), server.names("grace")),
            (vec!["Ada's".to_owned()], vec!["Grace's".to_owned()])
        );
    });
}

/// Presses Tab until the focus is there.
async fn tab_to(device: &Device, selector: &str) {
    for _ in 0..60 {
        device.press(TAB).await;
        let script = format!("return document.activeElement.matches(`{selector}`)");
        if device.run(&script).await == true {
            return;
        }
    }
    panic!("Tab does not lead to {selector}");
}

#[test]
fn everything_can_be_done_with_the_keyboard_alone() {
    Browser::test("keyboard", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.says("All saved").await;
        tab_to(&phone, "#new").await;
        for name in ["Tea", "Bread", "Milk"] {
            phone.press(&format!("{name}{ENTER}")).await;
            phone.sees(name).await;
        }
        assert_eq!(phone.names().await, ["Milk", "Bread", "Tea"]);

        tab_to(&phone, "li:nth-child(1) .grip").await;
        phone.press(DOWN).await;
        until("it has moved", async || phone.names().await == ["Bread", "Milk", "Tea"]).await;
        // The focus moves along.
        phone.press(DOWN).await;
        until("it has moved on", async || phone.names().await == ["Bread", "Tea", "Milk"]).await;

        tab_to(&phone, "li:nth-child(3) .check").await;
        phone.press(" ").await;
        until("it is done", async || phone.tasks().await[2].done).await;

        tab_to(&phone, "li:nth-child(3) textarea").await;
        phone.press(&format!(", two litres{ENTER}")).await;
        phone.sees("Milk, two litres").await;
        tab_to(&phone, "li:nth-child(3) textarea").await;
        phone.press(&format!(" or three{ESCAPE}")).await;
        tab_to(&phone, "li:nth-child(3) .due input").await;
        phone.press("31122030").await;
        until("it has its date", async || {
            phone.text("li:nth-child(3) .due").await.contains("2030")
        })
        .await;

        tab_to(&phone, "li:nth-child(3) .delete").await;
        phone.press(ENTER).await;
        phone.sees_no("Milk, two litres").await;
        tab_to(&phone, "#toast button").await;
        phone.press(ENTER).await;
        phone.sees("Milk, two litres").await;

        phone.run("document.body.focus(); document.activeElement.blur()").await;
        tab_to(&phone, "#filters input").await;
        phone.press(RIGHT).await;
        phone.sees_no("Milk, two litres").await;
        assert_eq!(phone.names().await, ["Bread", "Tea"]);

        tab_to(&phone, "#what").await;
        phone.press(ENTER).await;
        assert!(phone.text("#drawer").await.contains("sent at clock"));
        phone.press(ESCAPE).await;
        assert_eq!(phone.run("return document.activeElement.id").await, "what");
        phone.says("All saved").await;
        assert_eq!(server.names("ada"), ["Bread", "Milk, two litres", "Tea"]);
    });
}

#[test]
fn a_task_that_is_dragged_stays_where_it_was_dropped_on_all_devices() {
    Browser::test("drag", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        let laptop = browser.device(server.address()).await;
        for name in ["Tea", "Bread", "Milk"] {
            phone.add(name).await;
        }
        phone.drag("li:nth-child(1) .grip", "li:nth-child(2) .grip").await;
        for device in [&phone, &laptop] {
            until("it has moved", async || device.names().await == ["Bread", "Milk", "Tea"]).await;
        }
        phone.drag("li:nth-child(3) .grip", "li:nth-child(1) .grip").await;
        for device in [&phone, &laptop] {
            until("it is the first", async || device.names().await == ["Tea", "Bread", "Milk"])
                .await;
        }
        phone.reload().await;
        phone.sees("Tea").await;
        assert_eq!(phone.names().await, ["Tea", "Bread", "Milk"]);
    });
}

#[test]
fn a_device_without_room_says_so_and_what_was_typed_stays() {
    Browser::test("full", async |browser| {
        let server = Server::start();
        let phone = browser.small_device(server.address(), 2_000_000).await;
        phone.add("Milk").await;
        phone.says("All saved").await;
        // Of chance, so that it cannot be stored in less.
        let long = "const noise = () => crypto.getRandomValues(new Uint8Array(65_000)).join('');
            document.querySelector('#new').value = Array.from({length: 30}, noise).join('').slice(0, 4_000_000)";
        phone.run(long).await;
        phone.write("#new", ENTER).await;
        until("the page says so", async || phone.text("#toast").await.contains("no room")).await;
        let typed = "return document.querySelector('#new').value.length";
        until("the text is back", async || phone.run(typed).await == 4_000_000).await;
        assert_eq!(phone.names().await, ["Milk"]);

        phone.run("document.querySelector('#new').value = ''").await;
        phone.add("Bread").await;
        phone.says("All saved").await;
        assert_eq!(server.names("ada"), ["Bread", "Milk"]);
    });
}

#[test]
fn the_store_of_browsers_keeps_what_a_store_promises() {
    Browser::test("store", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        let promises = include_str!("client/store.mjs").replace("export ", "");
        let script = format!(
            "{promises}
            const {{ indexedDBStore }} = await import('/mobync.js');
            return [Object.keys(promises).length, await broken(indexedDBStore)];"
        );
        let kept = phone.run(&script).await;
        assert_eq!(kept, json!([9, []]));
    });
}

#[test]
fn a_database_that_the_browser_closes_is_opened_anew() {
    Browser::test("closed", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.add("Milk").await;
        phone.says("All saved").await;
        let script = "
            const { indexedDBStore } = await import('/mobync.js');
            const store = await indexedDBStore('closed');
            const put = (key) => store.write((tx) => tx.put('meta', { key }));
            const ask = (request) => new Promise((resolve, reject) => {
                request.onsuccess = () => resolve(request.result);
                request.onerror = request.onblocked = () => reject(new Error('it was not closed'));
            });
            await put('a');
            await ask(indexedDB.deleteDatabase('mobync:closed'));
            await put('b');
            const { transaction } = IDBDatabase.prototype;
            IDBDatabase.prototype.transaction = function (...how) {
                IDBDatabase.prototype.transaction = transaction;
                this.close();
                return this.transaction(...how);
            };
            await put('c');
            const keys = (await store.read((tx) => tx.all('meta'))).map(({ key }) => key);
            (await ask(indexedDB.open('mobync:closed', 9))).close();
            const newer = await put('d').then(() => 'written', ({ code }) => code);
            store.close();
            const over = await put('e').then(() => 'written', ({ code }) => code);
            return [...keys, newer, over];";
        let heard = phone.run(script).await;
        assert_eq!(heard, json!(["b", "c", "newer_data", "storage_failed"]));

        // The person clears the page's data while it is open.
        let origin = json!({"origin": server.address(), "storageTypes": "indexeddb"});
        phone.command("Storage.clearDataForOrigin", origin).await;
        phone.add("Bread").await;
        phone.says("All saved").await;
        phone.sees("Milk").await;
        assert_eq!(server.names("ada"), ["Bread", "Milk"]);
    });
}

#[test]
fn a_database_of_the_layout_before_spaces_keeps_what_it_has() {
    Browser::test("layout", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        let script = "
            const { Mobync } = await import('/mobync.js');
            const done = (request) => new Promise((resolve, reject) => {
                request.onsuccess = () => resolve(request.result);
                request.onerror = () => reject(request.error);
            });
            const opening = indexedDB.open('mobync:before', 3);
            opening.onupgradeneeded = () => {
                const make = (name, keyPath, more) => opening.result.createObjectStore(name, { keyPath, ...more });
                for (const table of ['objects', 'beside']) make(table, ['model', 'id']);
                make('pending', 'seq', { autoIncrement: true }).createIndex('object', ['model', 'id']);
                for (const table of ['refused', 'overridden']) make(table, 'id');
                make('meta', 'key');
            };
            const before = await done(opening);
            const tx = before.transaction(['objects', 'pending', 'meta'], 'readwrite');
            const json_data = JSON.stringify({ id: 't1', done: true });
            const diff = { id: 'd1', owner: '', logical_clock: 5, utc_timestamp: 1, type: 'update', model: 'tasks', json_data };
            await done(tx.objectStore('meta').put({ key: 'state', clock: 5, goal: 5, owner: 'ada', person: 'ada' }));
            await done(tx.objectStore('objects').put({ model: 'tasks', id: 't1', row: { id: 't1', name: 'Milk', done: true } }));
            await done(tx.objectStore('pending').put({ model: 'tasks', id: 't1', diff }));
            // An old tab that is open gives way.
            before.onversionchange = () => before.close();
            const options = { name: 'before', person: 'ada', url: '/sync', models: { tasks: {} }, automatic: false };
            const mobync = await Mobync.open({ ...options, token: () => 'ada' });
            const { clock, pending } = mobync.status;
            const found = [clock, pending, await mobync.read('tasks')];
            await (await mobync.join('family')).create('tasks', { id: 't1', name: 'Bread' });
            await mobync.update('tasks', 't1', { name: 'Tea' });
            const rows = [await mobync.read('tasks', 't1'), await mobync.space('family').read('tasks', 't1')];
            const unsent = await mobync.unsent();

            // Another tab gives way when all of it is deleted.
            const tab = await Mobync.open({ ...options, token: () => 'ada' });
            await mobync.destroy();
            const gone = await tab.read('tasks').then(() => 'read', ({ code }) => code);
            const left = (await indexedDB.databases()).filter(({ name }) => name === 'mobync:before');
            return [...found, ...rows.map(({ name }) => name), unsent, tab.status.problem?.code, gone, left.length];";
        let expected = json!([5, 1, [{"id": "t1", "name": "Milk", "done": true}], "Tea", "Bread", 3, "database_gone", "storage_failed", 0]);
        assert_eq!(phone.run(script).await, expected);
    });
}

#[test]
fn a_database_of_one_person_is_not_opened_for_another() {
    Browser::test("person", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.add("Ada's").await;
        phone.says("All saved").await;
        let script = "
            const { Mobync } = await import('/mobync.js');
            const schema = await (await fetch('/schema.json')).json();
            const options = { name: 'todo-ada-1', url: '/sync', models: { tasks: {} }, schema, automatic: false };
            const open = (person) => Mobync.open({ person, token: () => person, ...options });
            const ada = await open('ada');
            const seen = (await ada.read('tasks')).length;
            await ada.close();
            return [seen, await open('grace').then(() => 'opened', ({ code }) => code)];";
        assert_eq!(phone.run(script).await, json!([1, "other_person"]));
        assert_eq!(server.names("grace"), [""; 0]);
    });
}

#[test]
fn it_can_be_installed() {
    Browser::test("install", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.is_installed().await;
        let manifest = phone.command("Page.getAppManifest", json!({})).await;
        assert_eq!(manifest["errors"], json!([]));
        assert!(manifest["url"].as_str().unwrap().ends_with("/manifest.webmanifest"));
        let errors = phone.command("Page.getInstallabilityErrors", json!({})).await;
        assert_eq!(errors["installabilityErrors"], json!([]));
    });
}

#[test]
fn a_tour_leaves_the_console_silent() {
    Browser::test("tour", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.says("All saved").await;
        phone.pictures("empty").await;
        let names = [
            "Call the plumber about the tap in the kitchen, and ask what a new one would cost",
            "Return the library books",
            "Water the plants",
            "Book the train to Lisbon",
            "Buy oat milk",
        ];
        for name in names {
            phone.add(name).await;
        }
        phone.click_in("Water the plants", ".check").await;
        for (name, due) in
            [("Return the library books", "2026-01-15"), ("Book the train to Lisbon", "2031-05-02")]
        {
            let id = phone.id_of(name).await;
            let script = format!(
                "const date = document.querySelector(`[data-id='{id}'] .due input`);
                date.value = '{due}'; date.dispatchEvent(new Event('change'))"
            );
            phone.run(&script).await;
        }
        until("all is on the server", async || phone.tasks().await.iter().all(|task| !task.waits))
            .await;
        phone.says("All saved").await;
        let book = phone.id_of("Book the train to Lisbon").await;
        phone.click(&format!("[data-id='{book}'] .title textarea")).await;
        phone.press(TAB).await;
        phone.press(&format!("A seat by the window{ENTER}")).await;
        phone.run("document.activeElement.blur()").await;
        until("all is on the server", async || phone.tasks().await.iter().all(|task| !task.waits))
            .await;
        phone.pictures("tasks").await;

        phone.click("#what").await;
        phone.pictures("drawer").await;
        phone.click("#shut").await;
        phone.click("label:has([value=done])").await;
        until("one is left", async || phone.names().await == ["Water the plants"]).await;
        phone.click("label:has([value=all])").await;
        assert_eq!(phone.complaints().await, [""; 0]);

        phone.click("label:has(#airplane)").await;
        phone.click_in("Buy oat milk", ".check").await;
        phone.add("Find the spare key").await;
        phone.says("Offline, 2 changes wait").await;
        phone.click_in("Return the library books", ".delete").await;
        phone.says("Offline, 3 changes wait").await;
        phone.run("document.activeElement.blur()").await;
        phone.pictures("offline").await;
        phone.click("label:has(#airplane)").await;
        phone.says("All saved").await;

        phone.open("/devices.html").await;
        let frames = "return [...document.querySelectorAll('iframe')].map((frame) =>
            frame.contentDocument.querySelectorAll('#tasks li').length).join()";
        until("both devices have the tasks", async || phone.run(frames).await == "5,5").await;
        phone.pictures("devices").await;
        assert_eq!(phone.complaints().await, [""; 0]);
    });
}
