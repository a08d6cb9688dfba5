//! What a server refuses as a whole.

use mobync::{Owner, client::SyncFailure};

use super::town::{Fate, Town, add, device, failure, member_of};

/// The person's own data goes on with a server of before; the spaces wait for the newer one.
#[tokio::test(start_paused = true)]
async fn an_older_server_gets_the_own_data_and_the_spaces_wait() {
    for is_known in [false, true] {
        let town = Town::new();
        let ada = member_of(&town, "ada", &["club", "work"]).await;
        let wire = town.wire("ada");
        let client = wire.client(&ada);
        if is_known {
            client.sync().await.unwrap();
        }
        *wire.is_older.lock().unwrap() = true;
        add(&ada, "t1").await;
        add(&ada.space("club"), "t2").await;
        let failed = client.sync_now().await.unwrap_err();
        let SyncFailure::Space { failure, .. } = &failed else { panic!("{failed}") };
        assert!(matches!(**failure, SyncFailure::NoSpaces), "{failed}");
        assert_eq!((town.tasks("ada").len(), town.tasks("space club").len()), (1, 0));
        let status = client.status().borrow().clone();
        let told = status.spaces["club"].failure.clone().unwrap();
        assert!(told.contains("does not know spaces"), "{told}");
        assert!(ada.space("club").has_pending().await.unwrap());
        // Nothing of a space is in a plain request.
        let bodies = wire.bodies.lock().unwrap().clone();
        let plain = bodies.iter().filter(|body| body.get("syncs").is_none());
        assert!(plain.into_iter().all(|body| !body.to_string().contains("t2")));

        *wire.is_older.lock().unwrap() = false;
        client.sync_now().await.unwrap();
        assert_eq!((town.tasks("ada").len(), town.tasks("space club").len()), (1, 1));
        assert_eq!(client.status().borrow().spaces["club"].failure, None);
    }
}

/// Failures of the whole are those of each member, and nothing is lost by them.
#[tokio::test(start_paused = true)]
async fn what_fails_as_a_whole_stays_pending_everywhere() {
    for (status, code) in [
        (403, "forbidden"),
        (503, "busy"),
        (500, "internal"),
        (401, "unauthenticated"),
        (415, "unsupported_media_type"),
        (502, "what is that?"),
        (200, "neither"),
    ] {
        let town = Town::new();
        let ada = member_of(&town, "ada", &["club", "work"]).await;
        let wire = town.wire("ada");
        let client = wire.client(&ada);
        client.sync().await.unwrap();
        let devices = [ada.clone(), ada.space("club"), ada.space("work")];
        for device in &devices {
            add(device, "t1").await;
        }
        for _ in 0..2 {
            wire.fate(Fate::Says(status, None, failure(code, "No.")));
        }
        client.sync_now().await.unwrap_err();
        for device in &devices {
            assert!(device.has_pending().await.unwrap(), "{status}");
        }
        wire.fates.lock().unwrap().clear();
        client.sync().await.unwrap();
        for owner in ["ada", "space club", "space work"] {
            assert_eq!(town.tasks(owner).len(), 1, "{status}");
        }
    }
}

/// One change that is too large by itself is set aside in its space.
#[tokio::test(start_paused = true)]
async fn what_is_too_large_alone_is_set_aside_and_all_else_goes_on() {
    let town = Town::new();
    let spaces = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let ada = member_of(&town, "ada", &spaces).await;
    let wire = town.wire("ada");
    *wire.most.lock().unwrap() = (100, 6000);
    let client = wire.client(&ada);
    client.sync().await.unwrap();
    for space in spaces {
        for task in 0..4 {
            add(&ada.space(space), &format!("t{task}")).await;
        }
    }
    let essay = mobync::Record::new("essay").with("name", "word ".repeat(2000));
    ada.space("c").create("tasks", essay).await.unwrap();
    let synced = client.sync().await.unwrap();
    let refused: Vec<(&str, &str)> = synced
        .spaces
        .iter()
        .flat_map(|(space, it)| it.refused.iter().map(|refused| (&**space, &*refused.code)))
        .collect();
    assert_eq!(refused, [("c", "payload_too_large")]);
    for space in spaces {
        assert_eq!(town.tasks(&format!("space {space}")).len(), 4, "{space}");
    }
}

/// Whoever has no data of their own has spaces all the same.
#[tokio::test(start_paused = true)]
async fn a_person_may_have_spaces_only() {
    let town = Town::new();
    let guest = member_of(&town, "guest 1", &["club"]).await;
    let wire = town.wire("guest 1");
    let client = wire.client(&guest);
    add(&guest.space("club"), "t1").await;
    client.sync().await.unwrap();
    client.sync().await.unwrap();
    assert_eq!(town.tasks("space club").len(), 1);

    // The application may know whose the database is.
    let owner = Owner::new("guest 3").unwrap();
    let guest = member_of(&town, "guest 3", &["club"]).await.of_owner(&owner).await.unwrap();
    let client = town.wire("guest 3").client(&guest);
    add(&guest.space("club"), "t2").await;
    client.sync().await.unwrap();
    assert_eq!(town.tasks("space club").len(), 2);

    // Without spaces, it is told.
    let other = device();
    let failed = town.wire("guest 2").client(&other).sync().await.unwrap_err();
    assert!(matches!(failed, SyncFailure::Refused { .. }), "{failed}");
}

/// The server knows spaces, but not what has become of the body on its way.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_off_is_sent_again() {
    for message in [
        "the body is not valid JSON: EOF while parsing a string",
        "diffs is missing",
        "logical_clock must be an integer from 0 to 2^63 - 1, or a string of its digits",
    ] {
        let town = Town::new();
        let ada = member_of(&town, "ada", &["club", "work"]).await;
        let wire = town.wire("ada");
        let client = wire.client(&ada);
        client.sync().await.unwrap();
        for space in ["", "club", "work"] {
            add(&ada.space(space), "t1").await;
        }
        wire.fate(Fate::Says(400, None, failure("invalid_request", message)));
        let failed = client.sync_now().await.unwrap_err();
        assert!(failed.is_temporary(), "{failed}");
        client.sync().await.unwrap();
        for owner in ["ada", "space club", "space work"] {
            assert_eq!(town.tasks(owner).len(), 1, "{message}");
        }
    }
}
