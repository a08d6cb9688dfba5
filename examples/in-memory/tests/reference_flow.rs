//! Two devices and the real program, over real sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use serde_json::json;

use self::support::{Device, Server};

#[test]
fn two_devices_that_changed_the_same_record_converge() {
    let server = Server::start();
    let (mut phone, mut laptop) = (Device::new("phone", "ada"), Device::new("laptop", "ada"));

    phone.create(1, json!({"id": "t1", "name": "Milk", "created_time": 1, "done": false}));
    phone.update(2, json!({"id": "t1", "name": "Oat milk"}));
    phone.create(3, json!({"id": "t2", "name": "Bread"}));
    assert_eq!(phone.sync(&server)["logical_clock"], 1);
    laptop.sync(&server);
    assert_eq!(laptop.tasks(), phone.tasks());

    phone.update(10, json!({"id": "t1", "name": "Rice milk", "done": true}));
    phone.delete(11, "t2");
    laptop.update(20, json!({"id": "t1", "name": "Soy milk"}));
    laptop.update(21, json!({"id": "t2", "name": "Rolls"}));
    phone.sync(&server);
    laptop.sync(&server);
    phone.sync(&server);

    let expected = json!([{"id": "t1", "name": "Soy milk", "created_time": 1, "done": true}]);
    assert_eq!(phone.tasks(), expected);
    assert_eq!(laptop.tasks(), expected);
    assert_eq!(server.get_with_bearer("/records/tasks", "ada"), (200, expected));
}

#[test]
fn a_request_whose_answer_was_lost_is_sent_again_without_harm() {
    let server = Server::start();
    let mut phone = Device::new("phone", "ada");
    phone.create(1, json!({"id": "t1", "name": "Milk"}));
    let (_, lost) = server.sync("ada", &phone.request());
    assert_eq!(lost["logical_clock"], 1);

    phone.update(2, json!({"id": "t1", "done": true}));
    assert_eq!(phone.sync(&server)["logical_clock"], 2);
    assert_eq!(server.get_with_bearer("/records/tasks", "ada"), (200, phone.tasks()));
    let (_, log) = server.get_with_bearer("/records/diffs", "ada");
    assert_eq!(log.as_array().unwrap().len(), 2);
}

#[test]
fn owners_do_not_see_each_other() {
    let server = Server::start();
    let (mut ada, mut bob) = (Device::new("phone", "ada"), Device::new("phone", "bob"));
    ada.create(1, json!({"id": "t1", "name": "Milk"}));
    bob.create(1, json!({"id": "t1", "name": "Nails"}));
    ada.sync(&server);
    assert_eq!(bob.sync(&server)["diffs"], json!([]));
    assert_eq!(server.get_with_bearer("/records/tasks", "ada"), (200, ada.tasks()));
    assert_eq!(server.get_with_bearer("/records/tasks", "bob"), (200, bob.tasks()));
}

#[test]
fn devices_that_sync_at_once_lose_nothing() {
    const DEVICES: [&str; 4] = ["phone", "tablet", "laptop", "watch"];
    let server = Server::start();
    std::thread::scope(|scope| {
        for (name, owner) in DEVICES.into_iter().flat_map(|name| [(name, "ada"), (name, "bob")]) {
            let server = &server;
            scope.spawn(move || {
                let mut device = Device::new(name, owner);
                for number in 0..10 {
                    device.create(number, json!({"id": format!("{name}{number}"), "name": name}));
                    device.sync(server);
                }
            });
        }
    });
    for owner in ["ada", "bob"] {
        let mut late = Device::new("late", owner);
        assert_eq!(late.sync(&server)["logical_clock"], 40);
        let (_, records) = server.get_with_bearer("/records/tasks", owner);
        assert_eq!(records.as_array().unwrap().len(), 40);
        assert_eq!(late.tasks(), records);
    }
}
