//! The laws of teams on the device: *Gone*, *Rejoin* and *Apart*.

use mobync::{
    Change, Operation, Record,
    client::{Device, MemoryStore, RefusedDiff},
};

use super::town::{REFUSAL, Town, Wire, add, device, member_of};

const SPACES: [&str; 3] = ["club", "family", "work"];

/// Changes a task of that space, or makes one, or deletes one, by chance.
async fn change(device: &Device<MemoryStore>, random: &mut fastrand::Rng) {
    let id = format!("t{}", random.u8(..5));
    let record = Record::new(&*id).with("name", random.u8(..));
    let change = match (device.get("tasks", &id).await.unwrap(), random.u8(..4)) {
        (None, _) => Change::create("tasks", record),
        (Some(_), 0) => Change::delete("tasks", id),
        (Some(_), _) => Change::update("tasks", record),
    };
    device.record([change]).await.unwrap();
}

async fn tasks(device: &Device<MemoryStore>, space: &str) -> Vec<Record> {
    device.space(space).all("tasks").await.unwrap()
}

/// What a new device has of that space.
async fn of_new_device(wire: &Wire, space: &str) -> Vec<Record> {
    let new = device();
    new.join(space).await.unwrap();
    wire.client(&new).sync().await.unwrap();
    tasks(&new, space).await
}

#[tokio::test(start_paused = true)]
async fn gone() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let town = Town::new();
        let (ada, bob) =
            (member_of(&town, "ada", &SPACES).await, member_of(&town, "bob", &SPACES).await);
        let (of_ada, of_bob) = (town.wire("ada"), town.wire("bob"));
        let (a, b) = (of_ada.client(&ada), of_bob.client(&bob));
        for space in SPACES {
            change(&ada.space(space), &mut random).await;
        }
        a.sync().await.unwrap();
        b.sync().await.unwrap();

        town.remove("club", "ada");
        for space in SPACES {
            change(&ada.space(space), &mut random).await;
            change(&bob.space(space), &mut random).await;
        }
        let unsent = ada.space("club").pending().await.unwrap();
        b.sync().await.unwrap();
        let before = town.tasks("space club");
        let synced = a.sync().await.unwrap();
        of_ada.heard();
        let left = &synced.spaces["club"];
        assert_eq!((left.left.as_deref(), left.refused.len()), (Some(REFUSAL), unsent.len()));
        assert!(tasks(&ada, "club").await.is_empty(), "seed {seed}");
        assert_eq!(town.tasks("space club"), before, "nothing of hers arrives");

        // Nothing is asked or sent for it any more, whatever else happens.
        for _ in 0..3 {
            change(&ada.space("family"), &mut random).await;
            a.sync().await.unwrap();
        }
        let heard = of_ada.heard();
        assert!(heard.iter().flatten().all(|(space, _)| space != "club"), "{heard:?}");
        let change = ada.space("club").create("tasks", Record::new("late")).await;
        assert!(change.unwrap_err().to_string().contains("not joined"));
        let spaces = ada.spaces().await.unwrap();
        let left: Vec<_> = spaces.iter().map(|it| (&*it.name, it.left.as_deref())).collect();
        assert_eq!(left, [("club", Some(REFUSAL)), ("family", None), ("work", None)]);
    }
}

fn ids(refused: &[RefusedDiff]) -> Vec<String> {
    refused.iter().map(|refused| refused.diff.id.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn rejoin() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let town = Town::new();
        let (ada, bob) =
            (member_of(&town, "ada", &SPACES).await, member_of(&town, "bob", &SPACES).await);
        let (of_ada, of_bob) = (town.wire("ada"), town.wire("bob"));
        let (a, b) = (of_ada.client(&ada), of_bob.client(&bob));
        let mut unsent = Vec::new();
        for _ in 0..3 {
            for _ in 0..random.u8(..6) {
                change(&ada.space("club"), &mut random).await;
                change(&bob.space("club"), &mut random).await;
            }
            a.sync().await.unwrap();
            b.sync().await.unwrap();
            for _ in 0..random.u8(..4) {
                change(&ada.space("club"), &mut random).await;
            }
            let pending = ada.space("club").pending().await.unwrap();
            unsent.extend(pending.into_iter().map(|pending| pending.diff.id));
            // She leaves by herself, or is removed.
            if random.bool() {
                a.leave("club").await.unwrap();
            } else {
                town.remove("club", "ada");
                a.sync().await.unwrap();
                town.join("club", "ada");
            }
            assert_eq!(ids(&ada.space("club").refused().await.unwrap()), unsent, "seed {seed}");
            for _ in 0..random.u8(..4) {
                change(&bob.space("club"), &mut random).await;
            }
            b.sync().await.unwrap();

            a.join("club").await.unwrap();
            a.sync().await.unwrap();
            let now = tasks(&ada, "club").await;
            assert_eq!(now, of_new_device(&of_bob, "club").await, "seed {seed}");
            assert_eq!(now, town.tasks("space club"), "seed {seed}");
            let refused = ada.space("club").refused().await.unwrap();
            assert_eq!(ids(&refused), unsent, "seed {seed}: it remains set aside");
            assert!(refused.iter().all(|refused| refused.code == "no_member"));
        }
        let sent = of_ada.bodies.lock().unwrap().clone();
        let sent: String = sent.iter().map(ToString::to_string).collect();
        // A removal is noticed by a request, which may have had them; but none since has.
        let last = sent.rsplit("\"space\":\"club\"").next().unwrap();
        assert!(unsent.iter().all(|id| !last.contains(id)), "seed {seed}");
    }
}

/// What is set aside can be read without the space: with the record that an update changed.
#[tokio::test(start_paused = true)]
async fn what_is_set_aside_comes_with_the_record_as_it_was() {
    let town = Town::new();
    let ada = member_of(&town, "ada", &["club"]).await;
    let client = town.wire("ada").client(&ada);
    add(&ada.space("club"), "t1").await;
    client.sync().await.unwrap();
    ada.space("club").update("tasks", Record::new("t1").with("note", "two litres")).await.unwrap();
    town.remove("club", "ada");
    let synced = client.sync().await.unwrap();
    let [refused] = &*synced.spaces["club"].refused else { panic!("one was pending") };
    let record = Record::new("t1").with("name", "Milk").with("note", "two litres");
    assert_eq!(
        (refused.diff.operation, refused.record.as_ref()),
        (Operation::Update, Some(&record))
    );
    assert_eq!(refused.message, REFUSAL);
}

/// Each space gets what it would get alone, whatever becomes of the others.
#[tokio::test(start_paused = true)]
async fn apart() {
    use super::town::{Fate, in_member};

    let failures = [
        in_member(503, "busy"),
        in_member(500, "internal"),
        in_member(403, "forbidden"),
        in_member(403, "no_member"),
        in_member(403, "other_owner"),
        in_member(401, "unauthenticated"),
        in_member(409, "clock_ahead"),
        in_member(409, "other_history"),
        in_member(410, "too_old"),
        in_member(413, "payload_too_large"),
        in_member(422, "unknown_field"),
        in_member(426, "upgrade_required"),
        in_member(400, "invalid_request"),
        serde_json::json!({"status": 200, "success": true, "message": "", "logical_clock": 0, "diffs": []}),
        serde_json::json!({"status": 502, "what": "is that?"}),
    ];
    for failing in SPACES {
        for failure in &failures {
            let town = Town::new();
            let ada = member_of(&town, "ada", &SPACES).await;
            let wire = town.wire("ada");
            let client = wire.client(&ada);
            client.sync().await.unwrap();
            let all = SPACES.map(|space| ada.space(space));
            for device in all.iter().chain([&ada]) {
                add(device, "t1").await;
            }
            wire.fate(Fate::InSpace(failing, failure.clone()));
            let synced = client.sync_now().await;
            let what = format!("{failing}: {failure}: {synced:?}");
            for device in all.iter().chain([&ada]) {
                if device.space_name() == Some(failing) {
                    continue;
                }
                assert!(!device.has_pending().await.unwrap(), "{what}");
            }
            for space in SPACES.into_iter().filter(|space| *space != failing) {
                assert_eq!(town.tasks(&format!("space {space}")).len(), 1, "{what}");
            }
            assert_eq!(town.tasks("ada").len(), 1, "{what}");
            // It is told for this space, and nothing of it is lost.
            let device = ada.space(failing);
            let pending = device.pending().await.unwrap().len();
            let is_kept = pending + device.refused().await.unwrap().len() == 1
                || town.tasks(&format!("space {failing}")).len() == 1;
            assert!(is_kept, "{what}");
            if let Err(failure) = synced {
                assert!(failure.to_string().contains(failing), "{what}");
                let status = client.status().borrow().clone();
                let failed = status.spaces.iter().filter(|(_, it)| it.failure.is_some());
                assert_eq!(failed.map(|(name, _)| &**name).collect::<Vec<_>>(), [failing]);
            }
        }
    }
}
