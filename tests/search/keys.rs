//! Every key of the grammar, alone and with others.

use serde_json::json;
use sqlx::AssertSqlSafe;

use super::{counts, found, say, worker};
use crate::kit::app::{TestApp, Worker};
use crate::kit::client::Client;
use crate::kit::images::{md5_of, photo, png};
use crate::results::turned;

/// Five photographs of ines: three of which models said something, one that was refused, and one at work.
pub async fn five() -> (TestApp, Client, [Worker; 2]) {
    let app = TestApp::new().await;
    let (ines, detect, ocr) = (app.investigator("ines").await, worker(&app, "detect").await, worker(&app, "ocr").await);
    let both = ["detect", "ocr"];
    let boxed = |label: &str, score: f64| json!({"type": "box", "box": [0, 0, 1, 1], "label": label, "score": score});
    let text = |text: &str| json!({"items": [{"type": "text", "text": text}]});
    ines.submit(&[("beach/one.png", photo(1))], &both).await;
    let fields = json!({"faces": 2, "side": "left", "brightness": 30.5, "indoors": true});
    let hash = json!({"type": "hash", "algo": "phash64", "value": "a0fd6ec4373284c7"});
    say(&detect, json!({"items": [boxed("person", 0.9), boxed("car", 0.4), hash], "fields": fields})).await;
    say(&ocr, text("JINLI STREET\n50%_a\\b")).await;
    ines.submit(&[("two 100%_sure.png", png(50, 60, 2))], &both).await;
    say(
        &detect,
        json!({"items": [boxed("person", 0.5), boxed("traffic light", 0.7)], "fields": {"faces": 0, "side": "Right"}}),
    )
    .await;
    say(&ocr, text("nothing")).await;
    ines.submit(&[("drei Äpfel.png", photo(3))], &both).await;
    say(&detect, json!({"items": [{"type": "label", "label": "cat"}]})).await;
    say(&ocr, text("Straße der ÄPFEL 日本語")).await;
    ines.submit(&[("four.png", photo(4))], &both).await;
    let refused = detect.claim(1).await.remove(0);
    detect.complete(&refused, json!({"outcome": "rejected", "error": {"type": "ValueError"}})).await;
    ines.submit(&[("five.jpg", turned(60, 20, 6))], &both).await;
    assert_eq!(detect.claim(1).await.len(), 1);
    app.write_down_items().await;
    app.alter("UPDATE upload SET at = '2020-01-01T12:00:00Z' WHERE name = 'beach/one.png'").await;
    (app, ines, [detect, ocr])
}

/// Writes down what would be known of a stored image without a model.
pub async fn derive(app: &TestApp, md5: &str, taken_at: &str, camera: &str, phash: i64) {
    let sql = format!(
        "INSERT INTO derived (image_id, state, taken_at, camera, phash, placeholder, thumbs_sha256, thumbs_blob, thumbs_ends)
         SELECT id, 'done', '{taken_at}', '{camera}', {phash}, '\\x01ff', sha256(md5), gen_random_uuid(), '{{1,2,3,4}}'
         FROM image WHERE md5 = '\\x{md5}'"
    );
    sqlx::query(AssertSqlSafe(sql)).execute(&app.outside).await.expect("a row");
}

/// Filters, and which of the five photographs each finds, newest first.
const FOUND: &[(&str, &[u32])] = &[
    ("", &[5, 4, 3, 2, 1]),
    ("label:person", &[2, 1]),
    ("label:person>=0.6", &[1]),
    ("label:person>=0.9 label:person<=0.9", &[1]),
    ("label:person>0.9", &[]),
    ("label:person<0.6", &[2]),
    ("label:\"traffic light\">=0.7", &[2]),
    ("label:cat", &[3]),
    ("label:cat>=0", &[]),
    ("label:Person", &[]),
    ("label:phash64", &[]),
    ("label:faces", &[]),
    ("-label:person", &[5, 4, 3]),
    ("-label:person>=0.6", &[5, 4, 3, 2]),
    ("label:person -label:car", &[2]),
    ("label:person label:car", &[1]),
    ("label:person label:cat", &[]),
    ("model:detect", &[3, 2, 1]),
    ("model:ocr -label:cat", &[2, 1]),
    ("-model:ocr", &[5, 4]),
    ("text:street", &[1]),
    ("text:\"jinli street\"", &[1]),
    ("text:50%_a\\B", &[1]),
    ("text:%%%", &[]),
    ("text:___", &[]),
    ("text:straße", &[3]),
    ("text:äpfel", &[3]),
    ("text:日本語", &[3]),
    ("-text:street", &[5, 4, 3, 2]),
    ("faces>=1", &[1]),
    ("faces<1", &[2]),
    ("faces=0", &[2]),
    ("-faces>=1", &[5, 4, 3, 2]),
    ("brightness<40", &[1]),
    ("brightness<30.5", &[]),
    ("side=left", &[1]),
    ("side=\"right\"", &[2]),
    ("indoors=true", &[1]),
    ("person>=0.1", &[]),
    ("name:beach", &[1]),
    ("name:BEACH/", &[1]),
    ("name:100%_s", &[2]),
    ("name:\"100% s\"", &[]),
    ("name:äpfel", &[3]),
    ("-name:.png", &[5]),
    ("street", &[1]),
    ("ÄPFEL", &[3]),
    ("\"two 100%\"", &[2]),
    ("nothing", &[2]),
    ("-nothing", &[5, 4, 3, 1]),
    ("tag:\"rote Äpfel\"", &[3]),
    ("-tag:\"rote Äpfel\"", &[5, 4, 2, 1]),
    ("tag:rote", &[]),
    ("by:ines", &[5, 4, 3, 2, 1]),
    ("by:root", &[]),
    ("camera:canon", &[1]),
    ("camera:\"eos 5\"", &[1]),
    ("-camera:canon", &[5, 4, 3, 2]),
    ("taken-before:2020-01-01", &[1]),
    ("taken-after:2019-12-31T23:59:59 taken-before:2021-06-01", &[1]),
    ("taken-after:2019-01-01", &[3, 1]),
    ("before:2020-01-02", &[1]),
    ("after:2020-01-02", &[5, 4, 3, 2]),
    ("after:2020-01-01T12:00:00Z before:2020-01-01T13:00:01+01:00", &[1]),
    ("after:2020-01-01T12:00:01", &[5, 4, 3, 2]),
    ("-before:2020-01-02", &[5, 4, 3, 2]),
    ("before:0001-01-01", &[]),
    ("after:9999-12-31", &[]),
    ("width>=50", &[5, 2]),
    ("height<30", &[5]),
    ("bytes>1e9", &[]),
    ("type:jpg", &[5]),
    ("-type:png", &[5]),
    ("is:failed", &[4]),
    ("is:running", &[5]),
    ("is:queued", &[5, 4]),
    ("is:succeeded", &[3, 2, 1]),
    ("failed:detect", &[4]),
    ("failed:ocr", &[]),
    ("queued:ocr", &[5, 4]),
    ("running:detect", &[5]),
    ("-succeeded:ocr", &[5, 4]),
    ("cancelled:ocr", &[]),
    ("case:\"no such case\"", &[]),
    ("label:person text:street faces>=1 camera:canon before:2021-01-01 -tag:x", &[1]),
    // What SQL would make something of.
    ("\"'; DROP TABLE upload; --\"", &[]),
    ("text:\"') OR (true\"", &[]),
    ("tag:\"\\\" OR true\"", &[]),
];

#[tokio::test]
async fn every_key_finds_what_it_says() {
    let (app, ines, _workers) = five().await;
    derive(&app, &md5_of(&photo(1)), "2019-12-31T23:59:59", "Canon EOS 5D", 0).await;
    derive(&app, &md5_of(&photo(3)), "2021-06-01T00:00:00", "NIKON D3", 0).await;
    app.alter(
        "INSERT INTO tag (case_id, image_id, tag, account_id)
         SELECT case_id, image_id, 'rote Äpfel', account_id FROM upload WHERE name = 'drei Äpfel.png'",
    )
    .await;
    let case: String =
        sqlx::query_scalar("SELECT DISTINCT case_id::text FROM upload").fetch_one(&app.outside).await.expect("a case");
    let in_case = format!("case:{case} label:cat");
    let not_in_case = format!("-case:{case}");
    let of_the_case: [(&str, &[u32]); 2] = [(&in_case, &[3]), (&not_in_case, &[])];
    let names = ["beach/one.png", "two 100%_sure.png", "drei Äpfel.png", "four.png", "five.jpg"];
    let mut wrong = Vec::new();
    for (filter, expected) in FOUND.iter().copied().chain(of_the_case) {
        let expected: Vec<&str> = expected.iter().map(|n| names[*n as usize - 1]).collect();
        let found = found(&ines, filter).await;
        if found != expected {
            wrong.push(format!("{filter}: {found:?} in place of {expected:?}"));
        }
        let count = counts(&ines, filter).await["images"].clone();
        if count != json!({"count": expected.len(), "at_least": false}) {
            wrong.push(format!("{filter}: {count} counted"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_hit_shows_what_a_grid_needs_and_counts_what_a_bar_does() {
    let (app, ines, _workers) = five().await;
    derive(&app, &md5_of(&photo(1)), "2019-12-31T23:59:59", "Canon EOS 5D", 0).await;
    let page = super::search(&ines, &[("q", "label:person>=0.6")]).await.ok(200);
    let case = ines.get("/images").await.ok(200)["items"][0]["case"].clone();
    let expected = json!({
        "md5": md5_of(&photo(1)), "name": "beach/one.png", "case": case, "uploaded_at": "2020-01-01T12:00:00Z", "by": "ines",
        "media_type": "image/png", "bytes": photo(1).len(), "width": 40, "height": 30, "orientation": null, "tags": [],
        "taken_at": "2019-12-31T23:59:59", "camera": "Canon EOS 5D", "placeholder": "Af8=", "distance": null,
    });
    assert_eq!(page, json!({"items": [expected], "next_cursor": null}));
    let told = counts(&ines, "").await;
    let expected = json!({
        "images": {"count": 5, "at_least": false},
        "labels": [{"label": "person", "images": 2}, {"label": "car", "images": 1}, {"label": "cat", "images": 1},
                   {"label": "traffic light", "images": 1}],
        "models": [{"model": "detect", "images": 3}, {"model": "ocr", "images": 3}],
        "tags": [],
    });
    assert_eq!(told, expected);
    assert_eq!(counts(&ines, "label:cat").await["labels"], json!([{"label": "cat", "images": 1}]));
}

#[tokio::test]
async fn what_a_model_says_now_counts_and_not_what_it_said() {
    let (app, ines, [detect, _]) = five().await;
    let newer = Worker::register(detect.key.clone(), "detect", "v2").await;
    detect.key.delete(&format!("/workers/{}", detect.id)).await.ok(204);
    let again = json!({"images": [md5_of(&photo(1))], "models": ["detect"], "rerun": true});
    ines.post("/predict", again).await.ok(202);
    app.sweep().await;
    assert_eq!(found(&ines, "label:person label:car").await, ["beach/one.png"], "while nothing newer is there");
    // Whatever else waits for the model.
    loop {
        let job = newer.claim(1).await.remove(0);
        let done = json!({"outcome": "succeeded", "result": {"items": [{"type": "label", "label": "dog"}], "fields": {"faces": 7}}});
        newer.complete(&job, done).await;
        if job["image"]["md5"] == md5_of(&photo(1)).as_str() {
            break;
        }
    }
    app.write_down_items().await;
    for (filter, expected) in [
        ("label:person name:one", &[][..]),
        ("label:car", &[]),
        ("-label:car name:one", &["beach/one.png"]),
        ("label:dog name:one", &["beach/one.png"]),
        ("faces>=7 name:one", &["beach/one.png"]),
        ("faces<7 name:one", &[]),
        ("text:street", &["beach/one.png"]),
    ] {
        assert_eq!(found(&ines, filter).await, expected, "{filter}");
    }
    let labels = counts(&ines, "name:one").await["labels"].clone();
    assert_eq!(labels, json!([{"label": "dog", "images": 1}]));
}
