//! Random histories of members, syncs and readers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What happens to one of a few spaces, or to the stream.
#[derive(Clone, Debug)]
enum Happens {
    Sync(usize),
    Says(usize, Mood),
    /// The device reads what there is.
    Read,
    /// So many seconds pass, while the device does not read.
    Pass(u64),
}

const SPACES: [&str; 3] = ["club", "family", "team"];

fn happens() -> impl Strategy<Value = Happens> {
    let mood = prop_oneof![
        4 => Just(Member),
        2 => Just(NoMember),
        1 => Just(Busy),
        1 => Just(Panics),
        1 => Just(Hangs),
        1 => Just(Forbidden),
        1 => Just(Holds(3_000)),
        1 => Just(Slow(300)),
        1 => Just(Slow(70_000)),
    ];
    prop_oneof![
        4 => (0..SPACES.len()).prop_map(Happens::Sync),
        2 => (0..SPACES.len(), mood).prop_map(|(space, mood)| Happens::Says(space, mood)),
        3 => Just(Happens::Read),
        1 => (0u64..100).prop_map(Happens::Pass),
    ]
}

/// What a device has heard of the spaces.
#[derive(Default)]
struct Heard {
    clocks: BTreeMap<String, i64>,
    gone: BTreeSet<String>,
    /// Those that begin anew if the person may hear of them again.
    refused: BTreeSet<String>,
}

impl Heard {
    /// Takes in an event, which the application must have allowed when it came.
    fn hear(&mut self, app: &App, event: &str) {
        let (kind, data) = event.split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        let space = data["space"].as_str().unwrap().to_owned();
        assert!(!self.gone.contains(&space), "after the end: {event}");
        let mood = app.mood(&space);
        match kind {
            "event: clock" => {
                assert!(matches!(mood, Member | Holds(_) | Slow(_)), "{mood:?}: {event}");
                let clock = data["logical_clock"].as_i64().unwrap();
                let least = i64::from(!self.refused.remove(&space));
                let before = self.clocks.insert(space, clock);
                let is_newer = before.is_none_or(|before| before + least <= clock);
                assert!(is_newer, "{before:?}: {event}");
            }
            "event: no_member" => {
                assert_eq!(mood, NoMember, "{event}");
                self.gone.insert(space);
            }
            _ => panic!("{event}"),
        }
    }

    async fn read(&mut self, app: &App, device: &mut Device, time: Duration) {
        while let Ok(event) = timeout(time, device.hears()).await {
            self.hear(app, &event.unwrap());
        }
    }
}

async fn runs(happening: Vec<Happens>) {
    let app = App::new(&SPACES);
    let query = SPACES.map(|space| format!("space={space}")).join("&");
    let endpoint = app.endpoint().max_age(Duration::MAX);
    let response = endpoint.handle(request("GET", &format!("?{query}"))).await;
    let (mut device, mut heard) = (Device::new(response), Heard::default());
    for happens in happening {
        match happens {
            Happens::Sync(space) => {
                app.sync(SPACES[space]).await;
            }
            Happens::Says(space, mood) => {
                app.set(SPACES[space], mood);
                if mood == Forbidden {
                    heard.refused.insert(SPACES[space].to_owned());
                }
            }
            Happens::Read => heard.read(&app, &mut device, Duration::from_millis(1)).await,
            Happens::Pass(seconds) => sleep(Duration::from_secs(seconds)).await,
        }
    }
    // In the end all are told what is.
    for space in SPACES {
        let mood = app.mood(space);
        app.set(space, if mood == NoMember { NoMember } else { Member });
    }
    heard.read(&app, &mut device, 4 * MINUTE).await;
    for space in SPACES {
        let mood = app.mood(space);
        if mood == NoMember {
            assert!(heard.gone.contains(space), "{space}");
        } else if !heard.gone.contains(space) {
            let clock = app.mobync.clock(&owner(&format!("space {space}"))).await.unwrap();
            assert_eq!(heard.clocks.get(space), Some(&clock), "{space}");
        }
    }
    // The person has a seat, and so has each space that is left.
    assert_eq!(app.mobync.live().listeners(), 1 + SPACES.len() - heard.gone.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_members_hear_of_the_newest_clock_and_others_of_none(
        happening in prop::collection::vec(happens(), 0..40)
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(runs(happening));
    }
}
