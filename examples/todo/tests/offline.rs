//! With and without a network, in a real browser: nothing is lost, and devices converge.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::Arc;

use self::support::{Browser, Device, Network, Proxy, Server, until};

/// Waits until the device has had an answer: a new one says that all is saved before.
async fn has_synced(phone: &Device, server: &Server) {
    phone.add("Eggs").await;
    until("the server has it", async || server.names("ada") == ["Eggs"]).await;
    phone.says("All saved").await;
}

#[test]
fn two_devices_that_changed_one_task_offline_converge_when_both_are_back() {
    Browser::test("converge", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        let laptop = browser.device(server.address()).await;
        phone.add("Milk").await;
        laptop.sees("Milk").await;
        for device in [&phone, &laptop] {
            device.says("All saved").await;
            device.network(false).await;
            device.says("Offline").await;
        }

        phone.rename("Milk", "Oat milk").await;
        phone.click_in("Oat milk", ".check").await;
        phone.says("Offline, 2 changes wait").await;
        laptop.rename("Milk", "Soy milk").await;
        laptop.says("Offline, 1 change waits").await;
        assert!(laptop.tasks().await[0].waits);

        for device in [&laptop, &phone] {
            device.network(true).await;
        }
        // Nobody else has ticked it off; of the names the later one stands.
        for device in [&laptop, &phone] {
            device.sees("Soy milk").await;
            until("it is done", async || device.tasks().await[0].done).await;
            device.says("All saved").await;
            assert!(!device.tasks().await[0].waits);
        }
        assert_eq!(phone.tasks().await, laptop.tasks().await);
        assert_eq!(server.names("ada"), ["Soy milk"]);
    });
}

#[test]
fn a_page_that_is_reloaded_offline_has_everything() {
    Browser::test("reload", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.add("Milk").await;
        phone.says("All saved").await;
        phone.is_installed().await;
        phone.network(false).await;
        phone.add("Bread").await;
        phone.says("Offline, 1 change waits").await;
        let before = phone.tasks().await;

        phone.reload().await;
        phone.sees("Bread").await;
        assert_eq!(phone.tasks().await, before);
        phone.says("Offline, 1 change waits").await;
        phone.add("Tea").await;

        phone.network(true).await;
        phone.says("All saved").await;
        assert_eq!(server.names("ada"), ["Bread", "Milk", "Tea"]);
    });
}

#[test]
fn a_page_loads_though_the_server_is_gone() {
    Browser::test("gone", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.add("Milk").await;
        phone.says("All saved").await;
        phone.is_installed().await;
        server.kill();
        phone.open("/?device=1").await;
        phone.sees("Milk").await;
        phone.says("Offline").await;
    });
}

#[test]
fn answers_that_get_lost_lose_nothing_and_double_nothing() {
    Browser::test("lost", async |browser| {
        let server = Server::start();
        let proxy = Proxy::before(server.port()).await;
        let phone = browser.device(&proxy.address()).await;
        has_synced(&phone, &server).await;
        proxy.set(Network::LosesAnswers);
        phone.add("Milk").await;
        until("the server has it", async || server.names("ada") == ["Eggs", "Milk"]).await;
        phone.says("Offline, 1 change waits").await;
        phone.add("Bread").await;
        proxy.set(Network::Down);
        phone.add("Tea").await;
        proxy.set(Network::Up);
        phone.says("All saved").await;
        assert_eq!(phone.names().await, ["Tea", "Bread", "Milk", "Eggs"]);
        assert_eq!(server.names("ada"), ["Bread", "Eggs", "Milk", "Tea"]);
    });
}

#[test]
fn a_server_that_is_killed_before_it_has_answered_has_everything_once_in_the_end() {
    Browser::test("killed", async |browser| {
        let server = Server::start();
        let (port, data) = server.place();
        let proxy = Proxy::before(port).await;
        let phone = browser.device(&proxy.address()).await;
        has_synced(&phone, &server).await;
        proxy.set(Network::LosesAnswers);
        phone.add("Milk").await;
        until("the server has it", async || server.names("ada") == ["Eggs", "Milk"]).await;
        phone.says("Offline, 1 change waits").await;
        server.kill();

        phone.add("Bread").await;
        let server = Server::start_on(port, data);
        proxy.set(Network::Up);
        phone.says("All saved").await;
        assert_eq!(phone.names().await, ["Bread", "Milk", "Eggs"]);
        assert_eq!(server.names("ada"), ["Bread", "Eggs", "Milk"]);
    });
}

#[test]
fn a_server_that_has_forgotten_everything_gets_it_again_when_the_person_says_so() {
    Browser::test("forgotten", async |browser| {
        let server = Server::start();
        let port = server.port();
        let phone = browser.device(server.address()).await;
        phone.add("Milk").await;
        phone.says("All saved").await;
        server.kill();
        phone.says("Offline").await;
        phone.add("Bread").await;
        let server = Server::start_on(port, Arc::new(tempfile::tempdir().unwrap()));
        phone.says("Stopped, 1 change waits").await;
        assert_eq!(server.names("ada"), [""; 0]);
        phone.pictures("forgotten").await;
        phone.click(".notice button.main").await;
        phone.says("All saved").await;
        assert_eq!(server.names("ada"), ["Bread", "Milk"]);
    });
}

#[test]
fn tabs_of_one_browser_show_the_same_and_sync_once() {
    Browser::test("tabs", async |browser| {
        let server = Server::start();
        let browser = browser.device(server.address()).await;
        let first = browser.new_tab().await;
        browser.add("Milk").await;
        let second = browser.switch_to(first).await;
        browser.sees("Milk").await;
        browser.says("All saved").await;
        browser.click_in("Milk", ".check").await;
        browser.says("All saved").await;
        browser.switch_to(second).await;
        until("it is done in the other tab", async || browser.tasks().await[0].done).await;
        browser.says("All saved").await;
        // A create and an update, each at a tick of its own.
        assert_eq!(server.sync("ada")["logical_clock"], 2);
    });
}

#[test]
fn a_change_of_another_device_arrives_without_touching_anything() {
    Browser::test("live", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        let laptop = browser.device(server.address()).await;
        phone.add("Milk").await;
        laptop.sees("Milk").await;
        phone.click_in("Milk", ".check").await;
        until("it is done there", async || laptop.tasks().await[0].done).await;
        phone.click_in("Milk", ".delete").await;
        laptop.sees_no("Milk").await;
    });
}

#[test]
fn live_updates_come_again_after_the_network_was_gone() {
    Browser::test("live-again", async |browser| {
        let server = Server::start();
        let proxy = Proxy::before(server.port()).await;
        let laptop = browser.device(&proxy.address()).await;
        let phone = browser.device(server.address()).await;
        phone.add("Milk").await;
        laptop.sees("Milk").await;
        proxy.set(Network::Down);
        phone.add("Bread").await;
        phone.says("All saved").await;
        proxy.set(Network::Up);
        laptop.sees("Bread").await;
        phone.add("Tea").await;
        laptop.sees("Tea").await;
    });
}

#[test]
fn airplane_mode_takes_the_network_from_one_device_alone() {
    Browser::test("airplane", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.says("All saved").await;
        phone.click("label:has(#airplane)").await;
        phone.says("Offline").await;
        phone.add("Milk").await;
        phone.says("Offline, 1 change waits").await;
        assert_eq!(server.names("ada"), [""; 0]);
        phone.reload().await;
        phone.says("Offline, 1 change waits").await;
        phone.click("label:has(#airplane)").await;
        phone.says("All saved").await;
        assert_eq!(server.names("ada"), ["Milk"]);

        phone.open("/?device=2").await;
        phone.sees("Milk").await;
        assert!(!phone.tasks().await[0].waits);
    });
}

#[test]
fn the_server_stops_in_peace_while_devices_listen() {
    Browser::test("stop", async |browser| {
        let server = Server::start();
        let phone = browser.device(server.address()).await;
        phone.says("All saved").await;
        assert_eq!(server.stop().code(), Some(0));
        phone.add("Milk").await;
        phone.says("Offline, 1 change waits").await;
    });
}
