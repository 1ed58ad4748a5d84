//! What is known of an image without any model: worked out after the answer, in a process that harms nobody, and shown to whoever may see
//! the image.

mod decoder;
mod exif;
mod replicas;

use axum::body::Body;
use axum::http::{Request, header};
use darkroom::maintenance;
use serde_json::{Value, json};

use crate::inspect::build::heif;
use crate::kit::app::{TestApp, until};
use crate::kit::client::{Answer, Client};
use crate::kit::images::{md5_of, photo};
use crate::kit::pictures::{declared, jpeg, picture, quarters};

/// What GET /images/{md5} tells of it.
pub async fn known(client: &Client, bytes: &[u8]) -> Value {
    client.get(&format!("/images/{}", md5_of(bytes))).await.ok(200)["derived"].clone()
}

/// Its thumbnail, for somebody with these headers.
pub async fn thumbnail(client: &Client, bytes: &[u8], query: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(format!("/images/{}/thumbnail{query}", md5_of(bytes)));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(request.body(Body::empty()).expect("a request")).await
}

/// Uploads photographs, and works out what can be known of them; answers their uploader.
pub async fn derived(app: &TestApp, photographs: &[Vec<u8>]) -> Client {
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let named: Vec<(&str, Vec<u8>)> = photographs.iter().map(|bytes| ("a.jpg", bytes.clone())).collect();
    if !named.is_empty() {
        ines.submit(&named, &["ocr"]).await;
        app.derive().await;
    }
    ines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_photograph_is_known_soon_after_the_answer_which_waits_for_nothing() {
    let app = TestApp::with(|s| s.decoders = 1).await;
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let astronaut = std::fs::read("examples/photos/astronaut_sideways.jpg").expect("a photograph");
    let taken = ines.submit(&[("a.jpg", astronaut.clone())], &["ocr"]).await;
    assert_eq!(taken["images"][0]["new"], true);
    assert_eq!(known(&ines, &astronaut).await, Value::Null);
    let none = thumbnail(&ines, &astronaut, "", &[]).await.problem(404, "no_thumbnail");
    assert!(none["detail"].as_str().is_some_and(|detail| detail.contains("not been made yet")), "{none}");

    let house = app.keep_house();
    until("the derived", || async { !known(&ines, &astronaut).await.is_null() }).await;
    drop(house);
    let known = known(&ines, &astronaut).await;
    assert_eq!((&known["state"], &known["error"]), (&json!("done"), &Value::Null), "{known}");
    assert_eq!(known["phash"].as_str().map(str::len), Some(16));
    assert!(known["placeholder"].as_str().is_some_and(|text| text.len() > 8), "{known}");

    // The photograph lies on its side, and its EXIF says so.
    for (query, longer) in [("", 256), ("?size=256", 256), ("?size=1024", 420)] {
        for (accept, media_type) in [("image/webp,*/*", "image/webp"), ("image/jpeg", "image/jpeg")] {
            let sent = thumbnail(&ines, &astronaut, query, &[("accept", accept)]).await;
            sent.ok(200);
            assert_eq!(sent.headers[header::CONTENT_TYPE], media_type);
            let shown = image::load_from_memory(&sent.bytes).expect("a picture");
            assert!(
                shown.height() >= shown.width() && shown.height() == longer,
                "{query}: {}×{}",
                shown.width(),
                shown.height()
            );
            let etag = sent.headers[header::ETAG].to_str().expect("text").to_owned();
            let again = thumbnail(&ines, &astronaut, query, &[("accept", accept), ("if-none-match", &etag)]).await;
            assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
            let other = if media_type == "image/webp" { "image/jpeg" } else { "image/webp" };
            thumbnail(&ines, &astronaut, query, &[("accept", other), ("if-none-match", &etag)]).await.ok(200);
            assert_eq!(sent.headers[header::CACHE_CONTROL], "private, max-age=86400, immutable");
            assert!(sent.headers.get_all(header::VARY).iter().any(|names| names == "accept"));
        }
    }
    thumbnail(&ines, &astronaut, "?size=512", &[]).await.problem(422, "invalid_field");
}

#[tokio::test]
async fn without_decoders_everything_else_works() {
    let app = TestApp::with(|s| s.decoders = 0).await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let _house = app.keep_house();
    ines.submit(&[("a.png", picture(1))], &["ocr"]).await;
    worker.succeed(&worker.claim(1).await[0]).await;
    assert_eq!(known(&ines, &picture(1)).await, Value::Null);
    assert_eq!(app.count("SELECT count(*) FROM image WHERE derive_at IS NOT NULL AND derive_tries = 0").await, 1);
}

#[tokio::test]
async fn a_thumbnail_is_shown_to_who_may_see_the_image_and_that_is_written_down() {
    let app = TestApp::new().await;
    let ines = derived(&app, &[picture(1)]).await;
    let (ivo, admin) = (app.investigator("ivo").await, app.admin().await);
    thumbnail(&ines, &picture(1), "", &[]).await.ok(200);
    thumbnail(&admin, &picture(1), "", &[]).await.ok(200);
    let mut hidden = thumbnail(&ivo, &picture(1), "", &[]).await.problem(404, "not_found");
    let mut absent = thumbnail(&ivo, &picture(2), "", &[]).await.problem(404, "not_found");
    (hidden["request_id"], absent["request_id"]) = (Value::Null, Value::Null);
    assert_eq!(hidden, absent);
    thumbnail(&app.nobody(), &picture(1), "", &[]).await.problem(401, "missing_credential");
    app.ctx.acts.write().await.expect("housekeeping");
    assert_eq!(app.count("SELECT count(*) FROM audit_events WHERE code = 'image_viewed'").await, 2);
    ivo.submit(&[("mine.png", picture(1))], &["ocr"]).await;
    thumbnail(&ivo, &picture(1), "", &[]).await.ok(200);
    assert_eq!(app.derive().await, 0, "known bytes are not worked out again");
}

#[tokio::test]
async fn what_cannot_be_decoded_is_told_and_costs_nobody_else() {
    let app = TestApp::with(|s| s.pixels_max = u64::MAX).await;
    let bomb = declared(65_535, 65_535);
    let mut cut_off = jpeg(&quarters(640, 480, 1), vec![]);
    cut_off.truncate(cut_off.len() / 2);
    let files = [heif(b"heic", &[b"mif1"], (4, 3)), bomb, photo(1), gif_of(300), cut_off, picture(1)];
    let ines = derived(&app, &files).await;
    for (n, why) in [(0, "No decoder for HEIC"), (1, "more memory"), (2, "cannot be decoded")] {
        let known = known(&ines, &files[n]).await;
        assert_eq!(known["state"], "failed", "{known}");
        assert!(known["error"].as_str().is_some_and(|error| error.contains(why)), "{known}");
        let none = thumbnail(&ines, &files[n], "", &[]).await.problem(404, "no_thumbnail");
        assert_eq!(none["detail"], known["error"]);
    }
    // Of many frames the first is enough; of half a photograph that half.
    for file in &files[3..] {
        assert_eq!(known(&ines, file).await["state"], "done");
        thumbnail(&ines, file, "", &[]).await.ok(200);
    }
    assert_eq!(app.count("SELECT count(*) FROM image WHERE derive_at IS NOT NULL").await, 0, "none is tried for ever");
}

fn gif_of(frames: u16) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut file);
    for n in 0..frames {
        let frame = image::DynamicImage::ImageRgb8(quarters(32, 24, n as u8)).into_rgba8();
        encoder.encode_frame(image::Frame::new(frame)).expect("a frame");
    }
    drop(encoder);
    file
}

#[tokio::test]
async fn thumbnails_go_with_their_image_and_not_before() {
    let app = TestApp::with(|s| s.keep_images_days = Some(30)).await;
    let ines = derived(&app, &[picture(1), picture(2)]).await;
    let blobs = || {
        let folders = std::fs::read_dir(app.ctx.blobs.root()).expect("a folder").flatten();
        folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten()).count()
    };
    assert_eq!(
        (blobs(), maintenance::collect_blobs(&app.ctx, std::time::Duration::ZERO).await.expect("a tick")),
        (4, 0)
    );
    thumbnail(&ines, &picture(1), "", &[]).await.ok(200);
    app.alter(
        "DELETE FROM job;
         UPDATE image SET created_at = created_at - interval '31 days' WHERE id = (SELECT min(id) FROM image);
         UPDATE upload SET at = at - interval '31 days' WHERE image_id = (SELECT min(id) FROM image)",
    )
    .await;
    maintenance::remove_old(&app.ctx).await.expect("a tick");
    assert_eq!((blobs(), app.count("SELECT count(*) FROM derived").await), (2, 1));
    // One that nobody names is the collector's.
    app.alter("DELETE FROM derived").await;
    assert_eq!(maintenance::collect_blobs(&app.ctx, std::time::Duration::ZERO).await.expect("a tick"), 1);
    assert_eq!(blobs(), 1);
}
