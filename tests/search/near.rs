//! The nearest first: by perceptual hash, and by embedding.

use serde_json::{Value, json};

use super::keys::derive;
use super::{all, found, say, search, told, worker};
use crate::kit::app::TestApp;
use crate::kit::images::{md5_of, photo};

#[tokio::test]
async fn images_that_look_alike_come_nearest_first() {
    let app = TestApp::new().await;
    let (ines, ivo) = (app.investigator("ines").await, app.investigator("ivo").await);
    app.worker("ocr").await;
    // How far each is from the first: in one part of the hash, spread over all, and negative numbers.
    let hashes: [u64; 8] =
        [0, 0, 1 << 63, 0xff, 0x0101_0101_0101_0101, 0x0003_0003_0003_0007, 0x0007_0007_0007_0007, u64::MAX];
    for (n, hash) in (0..).zip(hashes) {
        let who = if n == 2 { &ivo } else { &ines };
        who.submit(&[(&format!("{n}.png"), photo(n))], &["ocr"]).await;
        derive(&app, &md5_of(&photo(n)), "2020-01-01", "c", hash.cast_signed()).await;
    }
    let of = |bits: &str| format!("similar:{}{bits}", md5_of(&photo(0)));
    // Of two that are as near the newer comes first; what is ivo's is not there.
    assert_eq!(found(&ines, &of("")).await, ["1.png", "0.png", "4.png", "3.png"]);
    assert_eq!(all(&ines, &of(""), "distance").await, ["0.0", "0.0", "8.0", "8.0"]);
    assert_eq!(found(&ines, &of("<=0")).await, ["1.png", "0.png"]);
    assert_eq!(found(&ines, &of("<=11")).await, ["1.png", "0.png", "4.png", "3.png", "5.png"]);
    assert_eq!(found(&ines, &format!("{} -name:4.png", of("<=11"))).await, ["1.png", "0.png", "3.png", "5.png"]);
    let mut pages = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let (q, limit) = (of("<=11"), "2");
        let mut fields = vec![("q", q.as_str()), ("limit", limit)];
        fields.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = search(&ines, &fields).await.ok(200);
        pages.push(told(&page, "name"));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec!["1.png", "0.png"], vec!["4.png", "3.png"], vec!["5.png"]]);
    let foreign = format!("similar:{}", md5_of(&photo(2)));
    search(&ines, &[("q", &foreign)]).await.problem(422, "invalid_filter");
    assert_eq!(found(&app.admin().await, &of("<=1")).await, ["1.png", "0.png", "2.png"]);
}

#[tokio::test]
async fn images_that_mean_the_same_come_nearest_first() {
    let app = TestApp::new().await;
    let (ines, clip) = (app.investigator("ines").await, worker(&app, "clip").await);
    let embedding = |space: &str, values: Value| json!({"type": "embedding", "space": space, "values": values});
    let said = [
        json!([embedding("clip", json!([1, 0]))]),
        json!([embedding("clip", json!([1, 1]))]),
        // Of several the nearest counts.
        json!([embedding("clip", json!([-1, 0])), embedding("clip", json!([3, 0.1]))]),
        json!([embedding("face", json!([1, 0]))]),
        json!([embedding("clip", json!([0, 0]))]),
        json!([embedding("clip", json!([1, 0, 0]))]),
        json!([{"type": "label", "label": "x"}]),
        json!([embedding("clip", json!([-2, 0]))]),
    ];
    for (n, items) in (0..).zip(said) {
        ines.submit(&[(&format!("{n}.png"), photo(n))], &["clip"]).await;
        say(&clip, json!({"items": items})).await;
    }
    let of = format!("like:{}", md5_of(&photo(0)));
    assert_eq!(found(&ines, &of).await, ["0.png", "2.png", "1.png", "7.png"]);
    let distances: Vec<f64> = all(&ines, &of, "distance").await.iter().map(|d| d.parse().expect("a number")).collect();
    assert!(distances[0] < 1e-9 && distances[1] < 0.01 && (distances[3] - 2.0).abs() < 1e-6, "{distances:?}");
    assert_eq!(found(&ines, &format!("{of} -name:2.png")).await, ["0.png", "1.png", "7.png"]);
    let page = search(&ines, &[("q", &of), ("limit", "3")]).await.ok(200);
    let next = page["next_cursor"].as_str().expect("more").to_owned();
    assert_eq!(told(&search(&ines, &[("q", &of), ("cursor", &next)]).await.ok(200), "name"), ["7.png"]);
}
