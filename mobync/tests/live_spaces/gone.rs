//! Law **Gone**, and what else is nobody's to hear: former members, guessed spaces, places that are given back.

use super::*;

#[tokio::test(start_paused = true)]
async fn gone_at_the_next_event() {
    let app = App::new(&["club", "family"]);
    let mut device = app.listen("?space=family&space=club").await;
    device.hears_all::<2>().await;
    app.set("club", NoMember);
    app.sync("club").await;
    assert_eq!(device.hears().await.unwrap(), no_member("club"));
    // Nothing follows, even for one who is a member again.
    app.set("club", Member);
    app.sync("club").await;
    device.hears_nothing_for(3 * MINUTE).await;
    app.sync("family").await;
    assert_eq!(device.hears().await.unwrap(), clock("family", 1));
}

/// The closure has read who is a member before the news came, and answers after it.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_older_than_the_news_does_not_count_for_it() {
    let app = App::new(&["club"]);
    let mut device = app.listen("?space=club").await;
    device.hears_all::<1>().await;
    app.set("club", LateYes(10_000));
    device.hears_nothing_for(MINUTE + SECOND).await;
    app.set("club", NoMember);
    app.sync("club").await;
    assert_eq!(device.hears().await.unwrap(), no_member("club"));
}

/// By a clock that goes on while the closure is asked: one new answer is enough.
#[tokio::test]
async fn news_are_told_on_one_new_answer() {
    let app = App::new(&["club"]);
    let mut device = app.listen("?space=club").await;
    device.hears_all::<1>().await;
    for clock_now in 1..=20 {
        let asked = app.asked("club");
        app.sync("club").await;
        let heard = timeout(Duration::from_secs(20), device.hears()).await;
        assert_eq!(heard.unwrap().unwrap(), clock("club", clock_now));
        assert_eq!(app.asked("club"), asked + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn gone_while_nothing_happens() {
    for (interval, most) in
        [(MINUTE, 60), (HOUR, 60), (Duration::from_secs(20), 20), (Duration::ZERO, 1)]
    {
        let app = App::new(&["club", "family"]);
        let endpoint = app.endpoint().ask_every(interval);
        let request = request("GET", "?space=family&space=club");
        let mut device = Device::new(endpoint.handle(request).await);
        device.hears_all::<2>().await;
        let asked = app.asked("family");
        app.set("club", NoMember);
        let before = Instant::now();
        assert_eq!(device.hears().await.unwrap(), no_member("club"));
        assert!((1..=most).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
        device.hears_nothing_for(SECOND / 2).await;
        assert_eq!(app.asked("family"), asked + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_nothing_of_a_space_that_is_gone_meanwhile() {
    let app = App::new(&["club"]);
    let mut device = app.listen("?space=club").await;
    app.sync("club").await;
    assert_eq!(device.hears().await.unwrap(), clock("club", 1));
    app.sync("club").await;
    sleep(HOUR / 3).await;
    app.sync("club").await;
    app.set("club", NoMember);
    assert_eq!(device.hears().await.unwrap(), no_member("club"));
}

#[tokio::test(start_paused = true)]
async fn seats_are_given_back_at_once() {
    let app = App::new(&["club", "family", "team"]);
    let mut device = app.listen("?space=family&space=club&space=team&space=guess").await;
    device.hears_all::<4>().await;
    // The person's own seat is among them.
    assert_eq!(app.mobync.live().listeners(), 4);
    app.set("club", NoMember);
    app.sync("club").await;
    assert_eq!(device.hears().await.unwrap(), no_member("club"));
    assert_eq!(app.mobync.live().listeners(), 3);
    app.set("team", Forbidden);
    app.sync("team").await;
    device.hears_nothing_for(SECOND).await;
    assert_eq!(app.mobync.live().listeners(), 2);
    drop(device);
    assert_eq!(app.mobync.live().listeners(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_hears_of_a_space_by_guessing() {
    let app = App::new(&["club"]);
    app.sync("family").await;
    let mut device = app.listen("?space=family&space=club&space=nowhere").await;
    let heard = device.hears_all().await;
    assert_eq!(heard, [clock("club", 0), no_member("family"), no_member("nowhere")]);
    app.sync("family").await;
    device.hears_nothing_for(3 * MINUTE).await;
    assert_eq!(app.asked("family"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_person_s_own_owner_is_no_space() {
    // Whether it says so from the beginning, or later.
    let app = App::new(&["club"]);
    app.set("family", Of("ada"));
    let mut device = app.listen("?space=family&space=club").await;
    let lost = |space: &str| {
        let data = json!({"space": space, "message": "You are not a member of this space."});
        (data["space"].clone(), data["message"].clone())
    };
    let read = |event: &str| {
        let data = event.strip_prefix("event: no_member\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        (data["space"].clone(), data["message"].clone())
    };
    let [club, family] = device.hears_all().await;
    assert_eq!((club, read(&family)), (clock("club", 0), lost("family")));
    app.set("club", Of("ada"));
    app.sync_of(&owner("ada")).await;
    assert_eq!(read(&device.hears().await.unwrap()), lost("club"));
    assert_eq!(app.mobync.live().listeners(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_space_that_moves_to_another_owner_tells_of_that_one() {
    let app = App::new(&["club"]);
    app.sync("club").await;
    let mut device = app.listen("?space=club").await;
    assert_eq!(device.hears().await.unwrap(), clock("club", 1));
    app.set("club", Of("space annex"));
    app.sync("club").await;
    assert_eq!(device.hears().await.unwrap(), clock("club", 0));
    app.sync("club").await;
    device.hears_nothing_for(MINUTE).await;
    app.sync("annex").await;
    assert_eq!(device.hears().await.unwrap(), clock("club", 1));
}
