//! Law **Apart**: a space whose auth closure hangs or fails holds up no other one.

use super::*;

#[tokio::test(start_paused = true)]
async fn apart_from_the_beginning() {
    for mood in CANNOT_TELL {
        let app = App::new(&["club", "family"]);
        app.set("club", mood);
        let mut device = app.listen("?space=club&space=family").await;
        let before = Instant::now();
        assert_eq!(device.hears().await.unwrap(), clock("family", 0), "{mood:?}");
        app.sync("family").await;
        app.sync("club").await;
        assert_eq!(device.hears().await.unwrap(), clock("family", 1), "{mood:?}");
        assert_eq!(before.elapsed(), Duration::ZERO, "{mood:?}");
        // Heartbeats go on, and the closure is asked again.
        for _ in 0..20 {
            assert_eq!(device.frame().await.unwrap(), ":\n\n", "{mood:?}");
        }
        assert_eq!(before.elapsed().as_secs(), 300, "{mood:?}");
        assert!((5..12).contains(&app.asked("club")), "{mood:?}: {}", app.asked("club"));
        app.set("club", Member);
        assert_eq!(device.hears().await.unwrap(), clock("club", 1), "{mood:?}");
        assert!(before.elapsed() < 7 * MINUTE, "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn apart_later_on() {
    for (mood, then) in CANNOT_TELL.into_iter().flat_map(|mood| [(mood, Member), (mood, NoMember)])
    {
        let app = App::new(&["club", "family"]);
        let mut device = app.listen("?space=club&space=family").await;
        device.hears_all::<2>().await;
        app.set("club", mood);
        app.sync("club").await;
        app.sync("family").await;
        assert_eq!(device.hears().await.unwrap(), clock("family", 1), "{mood:?}");
        app.sync("club").await;
        device.hears_nothing_for(5 * MINUTE).await;
        app.set("club", then);
        let last = if then == Member { clock("club", 2) } else { no_member("club") };
        let heard = timeout(3 * MINUTE, device.hears()).await;
        assert_eq!(heard.unwrap().unwrap(), last, "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_is_asked_in_vain_is_asked_after_growing_pauses() {
    let app = App::new(&[]);
    app.set("club", Busy);
    let mut device = app.listen("?space=club").await;
    device.hears_nothing_for(4 * MINUTE).await;
    let asked = app.state.lock().unwrap().asked["club"].clone();
    let pauses = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs());
    assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_space_takes_turns_with_the_others() {
    let app = App::new(&["busy", "club", "family"]);
    let mut device = app.listen("?space=busy&space=club&space=family&space=").await;
    device.hears_all::<4>().await;
    for query in ["club", "family"] {
        app.sync(query).await;
    }
    let mut heard = String::new();
    for _ in 0..4 {
        app.sync("busy").await;
        app.sync_of(&owner("ada")).await;
        heard += &device.hears().await.unwrap();
    }
    assert!(heard.contains(&clock("club", 1)) && heard.contains(&clock("family", 1)), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_space_that_is_refused_otherwise_is_silent_and_no_other_one() {
    for mood in [Unauthenticated, Forbidden] {
        let app = App::new(&["club", "family"]);
        app.set("club", mood);
        let mut device = app.listen("?space=club&space=family").await;
        assert_eq!(device.hears().await.unwrap(), clock("family", 0));
        app.sync("club").await;
        device.hears_nothing_for(5 * MINUTE).await;
        assert!(app.asked("club") <= 6, "{}", app.asked("club"));
        app.set("club", Member);
        assert_eq!(device.hears().await.unwrap(), clock("club", 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_space_is_silent_until_there_is_a_place() {
    let app = App::new(&["club", "family"]);
    let endpoint = app.endpoint().max_listeners(1);
    let as_bob = |query: &str| {
        let mut request = request("GET", query);
        request.headers_mut().insert("authorization", "Bearer bob".parse().unwrap());
        request
    };
    let mut ada = Device::new(endpoint.handle(request("GET", "?space=club")).await);
    ada.hears_all::<1>().await;
    let mut bob = Device::new(endpoint.handle(as_bob("?space=club&space=family")).await);
    assert_eq!(bob.hears().await.unwrap(), clock("family", 0));
    app.sync("club").await;
    assert_eq!(ada.hears().await.unwrap(), clock("club", 1));
    bob.hears_nothing_for(5 * MINUTE).await;
    // A person's streams are counted with or without spaces.
    for query in ["", "?space=family", "?space="] {
        let refused = endpoint.handle(as_bob(query)).await;
        assert_eq!(failure(refused).await, (429, "too_many_listeners".to_owned()), "{query}");
    }
    drop(ada);
    assert_eq!(bob.hears().await.unwrap(), clock("club", 1));
}
