//! The app is updated while devices have it installed, in a real browser.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::Arc;

use serde_json::json;

use self::support::{Browser, Device, Server, until};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

/// Waits until the browser keeps the files of the newest version, as it does when a page is loaded.
async fn has_new_files(phone: &Device) {
    let script = "
        const worker = await navigator.serviceWorker.getRegistration();
        await worker.update();
        const names = await caches.keys();
        const page = await (await caches.open(names.at(-1))).match('/');
        const isWaiting = worker.installing !== null || worker.waiting !== null;
        return [names.length, isWaiting, (await page?.text())?.includes('note') ?? false]";
    until("the new files are there", async || phone.run(script).await == json!([1, false, true]))
        .await;
}

async fn note_of(phone: &Device, task: &str) -> String {
    let id = phone.id_of(task).await;
    let script = format!("return document.querySelector(`[data-id='{id}'] .note textarea`).value");
    phone.run(&script).await.as_str().unwrap().to_owned()
}

#[test]
fn an_installed_app_is_updated_offline_with_its_unsent_work_beside_one_that_is_not() {
    Browser::test("updated", async |browser| {
        let server = Server::of_version_1(0, Arc::new(tempfile::tempdir().unwrap()));
        let (port, data) = server.place();
        let phone = browser.device(server.address()).await;
        let laptop = browser.device(server.address()).await;
        phone.add("Milk").await;
        phone.add("Tea").await;
        laptop.sees("Tea").await;
        phone.says("All saved").await;
        phone.is_installed().await;
        phone.has_no(".note").await;

        // Work that is not sent yet, and then the app is updated, and the network is gone.
        phone.click("label:has(#airplane)").await;
        phone.add("Bread").await;
        phone.rename("Milk", "Oat milk").await;
        phone.says("Offline, 2 changes wait").await;
        server.kill();
        let server = Server::start_on(port, data);
        has_new_files(&phone).await;
        phone.network(false).await;
        phone.reload().await;
        phone.sees("Oat milk").await;
        assert_eq!(phone.names().await, ["Bread", "Tea", "Oat milk"]);
        phone.says("Offline, 2 changes wait").await;
        let waiting: Vec<_> = phone.tasks().await.iter().map(|task| task.waits).collect();
        assert_eq!(waiting, [true, false, true]);

        // It has the new field, and keeps what is typed.
        let bread = phone.id_of("Bread").await;
        phone.click(&format!("[data-id='{bread}'] .title textarea")).await;
        phone.press(TAB).await;
        phone.press(&format!("With seeds{ENTER}")).await;
        phone.says("Offline, 3 changes wait").await;
        phone.run("document.activeElement.blur()").await;
        phone.pictures("updated").await;

        phone.network(true).await;
        phone.click("label:has(#airplane)").await;
        phone.says("All saved").await;
        assert_eq!(server.names("ada"), ["Bread", "Oat milk", "Tea"]);

        // The laptop has the old app still.
        laptop.sees("Oat milk").await;
        laptop.has_no(".note").await;
        laptop.rename("Bread", "Rye bread").await;
        phone.sees("Rye bread").await;
        assert_eq!(note_of(&phone, "Rye bread").await, "With seeds");
        laptop.says("All saved").await;
        assert_eq!(phone.names().await, laptop.names().await);

        // Updated in its turn, it gets what its old app was never sent.
        laptop.is_installed().await;
        has_new_files(&laptop).await;
        laptop.reload().await;
        until("the note is there", async || note_of(&laptop, "Rye bread").await == "With seeds")
            .await;
        laptop.says("All saved").await;
        assert_eq!(phone.tasks().await, laptop.tasks().await);
    });
}

#[test]
fn a_tab_of_the_old_app_stops_when_the_new_one_has_updated_its_data() {
    Browser::test("old-tab", async |browser| {
        let server = Server::of_version_1(0, Arc::new(tempfile::tempdir().unwrap()));
        let (port, data) = server.place();
        let phone = browser.device(server.address()).await;
        phone.add("Milk").await;
        phone.says("All saved").await;
        phone.is_installed().await;
        server.kill();
        let server = Server::start_on(port, data);
        has_new_files(&phone).await;
        phone.says("All saved").await;

        let old = phone.new_tab().await;
        phone.sees("Milk").await;
        phone.says("All saved").await;
        let new = phone.switch_to(old).await;
        phone.says("Syncing has stopped").await;
        phone.write("#new", &format!("Lost?{ENTER}")).await;
        until("it says why", async || phone.text("#toast").await.contains("newer version")).await;
        assert_eq!(phone.names().await, ["Milk"]);
        phone.reload().await;
        phone.add("Bread").await;
        phone.says("All saved").await;
        phone.switch_to(new).await;
        phone.sees("Bread").await;
        phone.says("All saved").await;
        assert_eq!(server.names("ada"), ["Bread", "Milk"]);
    });
}

#[test]
fn data_of_a_newer_app_is_not_opened_and_the_person_is_told() {
    Browser::test("newer-data", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.add("Milk").await;
        phone.says("All saved").await;
        let newer = "
            const { Mobync } = await import('/mobync.js');
            const schema = await (await fetch('/schema.json')).json();
            schema.push({ since: 3, model: 'tasks', rename: 'title', to: 'text' });
            const mobync = await Mobync.open({
                person: 'ada', name: 'todo-ada-1', url: '/sync', models: { tasks: {} }, schema, automatic: false,
            });
            const [{ text }] = await mobync.read('tasks');
            await mobync.close();
            return text";
        assert_eq!(phone.run(newer).await, "Milk");
        phone.says("Syncing has stopped").await;
        let notice = phone.text(".notice").await;
        assert!(notice.contains("has been updated in another tab"), "{notice}");
        assert_eq!(phone.text(".notice button").await, "Load it again");
        phone.reload().await;
        until("it says why", async || phone.text("#toast").await.contains("newer version")).await;
        assert_eq!(phone.names().await, [""; 0]);
        assert_eq!(phone.run(newer).await, "Milk");
    });
}

#[test]
fn the_tables_of_an_older_client_are_kept_and_its_tabs_lose_the_database() {
    Browser::test("tables", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        let script = "
            const { indexedDBStore } = await import('/mobync.js');
            const done = (request) => new Promise((resolve, reject) => {
                request.onsuccess = () => resolve(request.result);
                request.onerror = () => reject(request.error);
            });
            const opening = indexedDB.open('mobync:old', 2);
            opening.onupgradeneeded = () => {
                const made = opening.result;
                made.createObjectStore('objects', { keyPath: ['model', 'id'] });
                made.createObjectStore('pending', { keyPath: 'seq', autoIncrement: true })
                    .createIndex('object', ['model', 'id']);
                made.createObjectStore('refused', { keyPath: 'id' });
                made.createObjectStore('meta', { keyPath: 'key' });
                made.createObjectStore('overridden', { keyPath: 'id' });
            };
            const old = await done(opening);
            let isLost = false;
            old.onversionchange = () => { isLost = true; old.close(); };
            const row = { model: 'tasks', id: 't1', row: { id: 't1' } };
            await done(old.transaction('objects', 'readwrite').objectStore('objects').put(row));
            const store = await indexedDBStore('old', 2);
            const kept = await store.read((tx) => tx.all('objects'));
            await store.write((tx) => tx.put('beside', row));
            const again = await done(indexedDB.open('mobync:old', 2)).catch(({ name }) => name);
            const earlier = await indexedDBStore('old').catch(({ code }) => code);
            const tab = await indexedDBStore('old', 2);
            const newest = await indexedDBStore('old', 3);
            const late = await tab.write((tx) => tx.put('meta', { key: 'k' })).catch(({ code }) => code);
            return [isLost, kept.length, again, earlier, late, (await newest.read((tx) => tx.all('beside'))).length]";
        let heard = phone.run(script).await;
        assert_eq!(heard, json!([true, 1, "VersionError", "newer_data", "newer_data", 1]));
    });
}
