//! Replicas share the work, and what a killed one had in hand is another's.

use darkroom::domain::derived::CameraSays;
use darkroom::store::derived::{WorkedOut, claim, finish};

use super::{derived, known};
use crate::kit::app::TestApp;
use crate::kit::pictures::picture;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_the_work() {
    let app = TestApp::new().await;
    let ines = derived(&app, &[]).await;
    let other = app.replica().await;
    let files: Vec<(&str, Vec<u8>)> = (0..12).map(|salt| ("a.png", picture(salt))).collect();
    ines.submit(&files, &["ocr"]).await;
    let (ours, theirs) = tokio::join!(app.derive(), other.derive());
    assert!(ours > 0 && theirs > 0 && ours + theirs == 12, "{ours} and {theirs}");
    assert_eq!(app.count("SELECT count(*) FROM derived WHERE state = 'done'").await, 12);
}

#[tokio::test]
async fn what_a_killed_replica_had_in_hand_is_taken_up_and_its_late_word_counts_for_nothing() {
    let app = TestApp::new().await;
    let ines = derived(&app, &[]).await;
    ines.submit(&[("a.png", picture(1))], &["ocr"]).await;
    let db = &app.ctx.chores;
    let held = db.run(async |db| claim(db, 60.0).await).await.expect("a claim").expect("the image");
    assert_eq!(app.derive().await, 0, "it is held");
    app.alter("UPDATE image SET derive_at = clock_timestamp() - interval '1 s'").await;
    assert_eq!(app.derive().await, 1);
    assert_eq!(known(&ines, &picture(1)).await["state"], "done");
    let late = WorkedOut { says: CameraSays::default(), seen: Err("too late".to_owned()) };
    let told = db.run(async |db| finish(db, &held, &late).await).await.expect("an answer");
    assert!(told.is_none());
    assert_eq!(known(&ines, &picture(1)).await["state"], "done");

    // Who dies with it every time is not followed for ever.
    ines.submit(&[("b.png", picture(2))], &["ocr"]).await;
    for _ in 0..darkroom::maintenance::TRIES_MAX {
        db.run(async |db| claim(db, 60.0).await).await.expect("a claim").expect("the image");
        app.alter("UPDATE image SET derive_at = clock_timestamp() - interval '1 s' WHERE derive_at IS NOT NULL").await;
    }
    assert_eq!(app.derive().await, 1);
    assert_eq!(known(&ines, &picture(2)).await["error"], "Working it out was begun 3 times, and never ended.");
}

#[tokio::test]
async fn the_newest_comes_first_and_none_is_left() {
    let app = TestApp::new().await;
    let ines = derived(&app, &[]).await;
    for salt in 1..=3 {
        ines.submit(&[("a.png", picture(salt))], &["ocr"]).await;
    }
    let mut decoder = None;
    for salt in [3, 2, 1] {
        assert!(darkroom::maintenance::derive_next(&app.ctx, &mut decoder).await.expect("an image"));
        assert_eq!(known(&ines, &picture(salt)).await["state"], "done");
    }
}
