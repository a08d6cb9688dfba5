//! The person whose stream it is: the token, their own data, and for how long an answer holds.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_valid_any_more_ends_the_stream() {
    for mood in [Unauthenticated, Forbidden, Of("grace")] {
        // While nothing happens, whatever the closure says about the space.
        let app = App::new(&["club"]);
        let mut device = app.listen("?space=club").await;
        device.hears_all::<1>().await;
        app.set("", mood);
        assert_eq!(device.ends_after().await, 60, "{mood:?}");
        assert_eq!(app.mobync.live().listeners(), 0);

        // At once, if the closure says it about a space that has news.
        let app = App::new(&["club"]);
        let mut device = app.listen("?space=club").await;
        device.hears_all::<1>().await;
        app.set("", mood);
        app.set("club", Unauthenticated);
        app.sync("club").await;
        assert_eq!(device.ends_after().await, 0, "{mood:?}");

        // Before it is opened.
        if mood != Of("grace") {
            let status = if mood == Forbidden { 403 } else { 401 };
            assert_eq!(app.get("?space=club").await.status(), status, "{mood:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_of_whom_nothing_is_known_for_a_while_keeps_the_spaces() {
    for mood in CANNOT_TELL {
        let app = App::new(&["club"]);
        let mut device = app.listen("?space=club&space=").await;
        device.hears_all::<2>().await;
        app.set("", mood);
        app.sync_of(&owner("ada")).await;
        device.hears_nothing_for(3 * MINUTE).await;
        app.sync("club").await;
        assert_eq!(device.hears().await.unwrap(), clock("club", 1), "{mood:?}");
        app.set("", Unauthenticated);
        assert!(device.ends_after().await <= 120, "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_without_data_of_their_own_hears_of_spaces() {
    let own = "event: no_member\ndata: {\"message\":\"You are not a member.\"}\n\n";
    let app = App::new(&["club"]);
    app.set("", NoMember);
    assert_eq!(failure(app.get("").await).await, (403, "no_member".to_owned()));
    let mut device = app.listen("?space=club&space=").await;
    assert_eq!(device.hears().await.unwrap(), own);
    assert_eq!(device.hears().await.unwrap(), clock("club", 0));
    app.set("", Member);
    device.hears_nothing_for(3 * MINUTE).await;

    // Or loses them.
    let mut device = app.listen("?space=club&space=").await;
    device.hears_all::<2>().await;
    app.set("", NoMember);
    assert_eq!(device.hears().await.unwrap(), own);
    app.sync("club").await;
    assert_eq!(device.hears().await.unwrap(), clock("club", 1));
    app.set("", Unauthenticated);
    assert!(device.ends_after().await <= 60);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_holds_for_a_while_is_asked_for_again() {
    // Of a space.
    let app = App::new(&[]);
    app.set("club", Holds(5_000));
    let mut device = app.listen("?space=club").await;
    device.hears_all::<1>().await;
    assert!(timeout(11 * SECOND, device.hears()).await.is_err());
    assert_eq!(app.asked("club"), 3);
    app.set("club", NoMember);
    let before = Instant::now();
    assert_eq!(device.hears().await.unwrap(), no_member("club"));
    assert!(before.elapsed() <= 5 * SECOND);

    // Of the person.
    let app = App::new(&["club"]);
    app.set("", Holds(5_000));
    let mut device = app.listen("?space=club").await;
    device.hears_all::<1>().await;
    app.set("", Unauthenticated);
    assert_eq!(device.ends_after().await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_spaces_goes_on_as_long_as_the_answer_holds_and_is_renewed() {
    let plain = |clock: i64| format!("event: clock\ndata: {clock}\n\n");
    for mood in [Unauthenticated, Forbidden, NoMember, Of("grace")] {
        let app = App::new(&[]);
        app.set("", Holds(20_000));
        let mut device = app.listen("").await;
        assert_eq!(device.frame().await.unwrap(), plain(0));
        assert_eq!(device.frame().await.unwrap(), ":\n\n");
        app.sync_of(&owner("ada")).await;
        assert_eq!(device.frame().await.unwrap(), plain(1));
        assert_eq!(app.asked(""), 1);
        device.hears_nothing_for(41 * SECOND).await;
        assert_eq!(app.asked(""), 3);
        app.set("", mood);
        assert!(device.ends_after().await <= 20, "{mood:?}");
    }
    for mood in CANNOT_TELL {
        let app = App::new(&[]);
        app.set("", Holds(20_000));
        let mut device = app.listen("").await;
        assert_eq!(device.frame().await.unwrap(), plain(0));
        app.set("", mood);
        sleep(21 * SECOND).await;
        app.sync_of(&owner("ada")).await;
        device.hears_nothing_for(3 * MINUTE).await;
        app.set("", Member);
        assert_eq!(
            timeout(3 * MINUTE, device.hears()).await.unwrap().unwrap(),
            plain(1),
            "{mood:?}"
        );
        // An answer without an end is the last.
        let asked = app.asked("");
        device.hears_nothing_for(10 * MINUTE).await;
        assert_eq!(app.asked(""), asked, "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_hold_at_all_is_asked_for_once_a_second() {
    for (query, space) in [("", ""), ("?space=club", "club")] {
        let app = App::new(&["club"]);
        app.set(space, Holds(0));
        let mut device = app.listen(query).await;
        assert!(device.hears().await.unwrap().contains('0'));
        device.hears_nothing_for(10 * SECOND + SECOND / 2).await;
        assert!((10..=12).contains(&app.asked(space)), "{}", app.asked(space));
        let who = if space.is_empty() { owner("ada") } else { owner("space club") };
        app.sync_of(&who).await;
        assert!(device.hears().await.unwrap().contains('1'));
    }
}
