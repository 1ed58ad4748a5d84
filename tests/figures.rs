//! How queues stood, minute by minute, for the curves of the last days.

use darkroom::maintenance::keep_figures;
use serde_json::json;

use crate::kit::app::TestApp;
use crate::kit::images::photo;

#[tokio::test]
async fn queues_are_looked_at_once_a_minute_and_told_in_steps_for_a_week() {
    let app = TestApp::new().await;
    let other = app.replica().await;
    let ines = app.investigator("ines").await;
    let worker = app.worker("ocr").await;
    let history = async |query: &str| ines.get(&format!("/models/ocr/history{query}")).await.ok(200);
    assert_eq!(history("").await, json!({"step_s": 300.0, "items": []}));
    for salt in 0..3 {
        ines.submit(&[("a.png", photo(salt))], &["ocr"]).await;
    }
    let job = worker.claim(1).await.remove(0);
    // However many replicas look, it is looked at once.
    keep_figures(&app.ctx).await.expect("a tick");
    keep_figures(&other.ctx).await.expect("a tick");
    assert_eq!(app.count("SELECT count(*) FROM queue_figure").await, 1);
    let seen = history("?hours=1").await;
    assert_eq!((&seen["step_s"], seen["items"].as_array().map(Vec::len)), (&json!(60.0), Some(1)));
    let moment = &seen["items"][0];
    assert_eq!(
        (&moment["queued"], &moment["running"], &moment["workers"], &moment["served"]),
        (&json!(2), &json!(1), &json!(1), &json!(0))
    );
    assert!(moment["oldest_wait_s"].as_f64().is_some_and(|s| s >= 0.0));

    // Two days ago something else was; nine days ago is forgotten.
    app.alter(
        "UPDATE queue_figure SET at = at - interval '2 min';
         INSERT INTO queue_figure (queue_id, at, queued, running, workers, oldest_wait_s, served)
           SELECT queue_id, at - interval '1 day' * d, 7, 0, 0, 60, 0 FROM queue_figure, generate_series(2, 9, 7) AS d",
    )
    .await;
    worker.succeed(&job).await;
    app.ctx.versions.write(&app.ctx.upkeep).await.expect("to be written");
    keep_figures(&app.ctx).await.expect("a tick");
    assert_eq!(app.count("SELECT count(*) FROM queue_figure").await, 3, "what is older than eight days went");
    let day = history("?hours=24").await;
    let last = day["items"].as_array().and_then(|items| items.last()).expect("a step");
    assert_eq!((&last["queued"], &last["served"]), (&json!(2), &json!(1)));
    let week = history("?hours=168").await;
    assert_eq!(week["step_s"], 2040.0);
    let first = &week["items"][0];
    assert_eq!((&first["queued"], &first["workers"], &first["oldest_wait_s"]), (&json!(7), &json!(0), &json!(60.0)));

    for (wrong, status) in
        [("ocr/history?hours=0", 422), ("ocr/history?hours=169", 422), ("nothing/history", 404), ("Ocr/history", 404)]
    {
        assert_eq!(ines.get(&format!("/models/{wrong}")).await.status.as_u16(), status, "{wrong}");
    }
}
