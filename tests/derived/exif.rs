//! What a photograph says of itself: believed in nothing that could do harm.

use std::process::Command;

use exif::{Tag, Value};
use serde_json::{Value as Json, json};

use super::{derived, known, thumbnail};
use crate::kit::app::TestApp;
use crate::kit::pictures::{angle, assert_upright, exif_of, jpeg, png, quarters, stored, text};
use crate::kit::process::DARKROOM;

#[tokio::test]
async fn a_photograph_is_shown_upright_however_the_camera_was_held() {
    let app = TestApp::new().await;
    let turned = |orientation: u16| {
        let how = u8::try_from(orientation).expect("small");
        let picture = stored(quarters(320, 200, how), how);
        jpeg(&picture, vec![(Tag::Orientation, Value::Short(vec![orientation]))])
    };
    let files: Vec<Vec<u8>> = (0..=9).map(turned).collect();
    let ines = derived(&app, &files).await;
    // 0 and 9 are no orientations, whatever the file says.
    for (orientation, file) in files.iter().enumerate() {
        for query in ["?size=256", "?size=1024"] {
            let what = format!("orientation {orientation}, {query}");
            let shown = thumbnail(&ines, file, query, &[("accept", "image/jpeg")]).await;
            shown.ok(200);
            assert_upright(&shown.bytes, &what);
            let size = image::load_from_memory(&shown.bytes).expect("a picture");
            assert!(size.width() > size.height(), "{what}");
        }
        let webp = thumbnail(&ines, file, "", &[]).await;
        assert_upright(&webp.bytes, "as WebP");
    }
}

#[tokio::test]
async fn pictures_that_look_alike_have_hashes_that_differ_little() {
    let app = TestApp::new().await;
    let astronaut = image::open("examples/photos/astronaut.jpg").expect("a photograph").into_rgb8();
    let small = image::imageops::thumbnail(&astronaut, astronaut.width() / 3, astronaut.height() / 3);
    let files = [
        jpeg(&astronaut, vec![]),
        png(&small, vec![]),
        jpeg(&stored(astronaut, 6), vec![(Tag::Orientation, Value::Short(vec![6]))]),
        std::fs::read("examples/photos/china.jpg").expect("a photograph"),
    ];
    let ines = derived(&app, &files).await;
    let known = futures_util::future::join_all(files.iter().map(|file| known(&ines, file))).await;
    let hash = |n: usize| u64::from_str_radix(known[n]["phash"].as_str().expect("a hash"), 16).expect("digits");
    let apart = [1, 2, 3].map(|n| (hash(0) ^ hash(n)).count_ones());
    assert!(apart[0] <= 6 && apart[1] <= 6 && apart[2] > 16, "{apart:?}");
}

/// Where the Stephansdom is, south of it and west of it, as some cameras would have it.
fn taken_there(halves: (&str, &str)) -> Vec<(Tag, Value)> {
    vec![
        (Tag::GPSLatitudeRef, text(halves.0)),
        (Tag::GPSLatitude, angle(48, 12, 30)),
        (Tag::GPSLongitudeRef, text(halves.1)),
        (Tag::GPSLongitude, angle(16, 22, 12)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn camera_and_time_are_told_and_the_place_only_where_it_is_kept() {
    let app = TestApp::new().await;
    let mut fields = taken_there(("S", "E"));
    fields.extend([
        (Tag::Make, text("Canon")),
        (Tag::Model, text("Canon EOS 5D")),
        (Tag::LensModel, text("EF24-105mm f/4L IS USM")),
        (Tag::DateTime, text("2020:01:01 00:00:00")),
        (Tag::DateTimeOriginal, text("2019:07:21 10:22:33")),
    ]);
    let file = jpeg(&quarters(64, 48, 1), fields);
    let ines = derived(&app, std::slice::from_ref(&file)).await;
    let told = |known: &Json| ["taken_at", "camera", "lens", "latitude", "longitude"].map(|field| known[field].clone());
    let without = [
        json!("2019-07-21T10:22:33"),
        json!("Canon EOS 5D"),
        json!("EF24-105mm f/4L IS USM"),
        json!(null),
        json!(null),
    ];
    assert_eq!(told(&known(&ines, &file).await), without);

    // What is stored follows the setting when it is worked out again.
    let again = |gps: &'static str| {
        let done = Command::new(DARKROOM)
            .args(["backfill", "derived", "--again", "all"])
            .env("DATABASE_URL", &app.settings.database.database_url.0)
            .env("REDIS_URL", &app.settings.redis_url.0)
            .env("DARKROOM_DATA", &app.settings.data)
            .env("DARKROOM_GPS", gps)
            .output()
            .expect("darkroom");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(
            done.status.success() && said.contains("1 put in line") && said.contains("1 worked out here; 0 left"),
            "{said}"
        );
    };
    again("true");
    let placed = known(&ines, &file).await;
    let near = |field: &str, degrees: f64| placed[field].as_f64().is_some_and(|told| (told - degrees).abs() < 1e-6);
    assert!(near("latitude", -48.208_333_333) && near("longitude", 16.37), "{placed}");
    again("false");
    assert_eq!(told(&known(&ines, &file).await), without);
    let kept = std::fs::read_dir(app.ctx.blobs.root()).expect("a folder").flatten();
    let kept = kept.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten()).count();
    assert_eq!(kept, 2, "the photograph, and the newest thumbnails");
}

#[tokio::test]
async fn what_exif_says_is_text_and_no_more() {
    let app = TestApp::with(|s| s.gps = true).await;
    let small = |salt| quarters(64, 48, salt);
    let long = "x".repeat(100_000);
    let mut nowhere = taken_there(("N", "E"));
    nowhere[1].1 = angle(180, 99, 99);
    let files = [
        jpeg(
            &small(1),
            vec![
                (Tag::Make, text("<script>alert('a')</script>")),
                (Tag::Model, text("\u{202e}gpj\x1b[2J\r\n\x07 x")),
                (Tag::DateTimeOriginal, text("2019:13:99 99:99:99")),
            ],
        ),
        png(&small(2), vec![(Tag::Model, text(long.clone())), (Tag::LensModel, text(long))]),
        jpeg(
            &small(3),
            vec![
                (Tag::Model, Value::Ascii(vec![b"Cam\xff\xfe".to_vec(), b"<b>after NUL</b>".to_vec()])),
                (Tag::LensModel, text("\0\0")),
            ],
        ),
        jpeg(&small(4), nowhere),
        jpeg(
            &small(5),
            vec![(Tag::Model, Value::Short(vec![7])), (Tag::DateTimeOriginal, text("0000:00:00 00:00:00"))],
        ),
        // Offsets that lead out of it, and in a circle.
        circular(&small(6)),
    ];
    let ines = derived(&app, &files).await;
    let told = futures_util::future::join_all(files.iter().map(|file| known(&ines, file))).await;
    assert!(told.iter().all(|known| known["state"] == "done"), "{told:#?}");
    assert_eq!(told[0]["camera"], "<script>alert('a')</script> gpj [2J x");
    assert_eq!(told[0]["taken_at"], Json::Null);
    assert_eq!(
        (told[1]["camera"].as_str().map(str::len), told[1]["lens"].as_str().map(str::len)),
        (Some(100), Some(100))
    );
    assert_eq!((&told[2]["camera"], &told[2]["lens"]), (&json!("Cam"), &Json::Null));
    for known in &told[3..] {
        let silent = ["taken_at", "camera", "lens", "latitude", "longitude"].iter().all(|field| known[field].is_null());
        assert!(silent, "{known}");
    }
}

/// A JPEG whose EXIF refers to itself and beyond its end.
fn circular(picture: &image::RgbImage) -> Vec<u8> {
    let mut exif = exif_of(vec![(Tag::Model, text("a name of some length"))]);
    // The count of the first entry is beyond all, and the next directory is the first.
    exif[14..18].copy_from_slice(&u32::MAX.to_be_bytes());
    exif[22..26].copy_from_slice(&8_u32.to_be_bytes());
    let plain = jpeg(picture, vec![]);
    let length = u16::try_from(exif.len() + 8).expect("short").to_be_bytes();
    [&plain[..2], &[0xFF, 0xE1], &length, b"Exif\0\0", &exif, &plain[2..]].concat()
}
