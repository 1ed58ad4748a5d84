//! The archive: what came comes out, under names that are safe anywhere, and `verify` finds whatever was changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::{Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use darkroom::dev::process::is_root;
use serde_json::{Value, json};

use super::{NAMES, Pier, sha256_of};
use crate::kit::desk::{Desk, NOBODY};
use crate::kit::images::md5_of;
use crate::kit::process::DARKROOM;

/// The files of an archive by path.
fn unpack(archive: Vec<u8>) -> BTreeMap<String, Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).expect("an archive");
    let mut files = BTreeMap::new();
    for place in 0..archive.len() {
        let mut file = archive.by_index(place).expect("a file");
        let (path, mut bytes) = (file.name().expect("a name").into_owned(), Vec::new());
        file.read_to_end(&mut bytes).expect("its bytes, which its checksum fits");
        assert_eq!(files.insert(path, bytes), None, "a path twice");
    }
    files
}

fn lines(files: &BTreeMap<String, Vec<u8>>, path: &str) -> Vec<Value> {
    let text = std::str::from_utf8(&files[path]).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn an_archive_holds_every_photograph_as_it_came_and_all_that_is_told_of_it() {
    let pier = Pier::new().await;
    let alone = [pier.export(&pier.owner, "ndjson", "").await, pier.export(&pier.owner, "csv", "").await];
    let files = unpack(pier.export(&pier.owner, "zip", "").await);
    let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "./-".contains(c);
    for path in files.keys().filter(|path| *path != "README.txt") {
        assert!(path.chars().all(safe) && !path.contains("..") && !path.starts_with('/'), "{path}");
    }
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
    assert_eq!((&manifest["about"]["case_name"], &manifest["images"]), (&json!("Pier \"4\""), &json!(4)));
    let listed = manifest["files"].as_array().expect("files");
    assert_eq!(listed.len(), files.len() - 1, "all but itself");
    for file in listed {
        let bytes = &files[file["path"].as_str().expect("a path")];
        let told = [&file["bytes"], &file["md5"], &file["sha256"]];
        assert_eq!(told, [&json!(bytes.len()), &json!(md5_of(bytes)), &json!(sha256_of(bytes))], "{file}");
    }
    for (photo, name) in pier.photos.iter().zip(NAMES) {
        let md5 = md5_of(photo);
        let path = format!("originals/{}/{md5}.jpg", &md5[..2]);
        assert_eq!(&files[&path], photo);
        let told = listed.iter().find(|file| file["path"] == path).expect("the photograph");
        assert_eq!(told["names"], json!([name]));
    }
    assert_eq!([&files["images.ndjson"], &files["images.csv"]], [&alone[0], &alone[1]]);
    assert_eq!(lines(&files, "results.ndjson").len(), 6);
    let models =
        json!([{"model": "detect", "version": "v1", "results": 3}, {"model": "ocr", "version": "v1", "results": 3}]);
    assert_eq!(manifest["models"], models);
    assert_eq!(lines(&files, "tags.ndjson").iter().map(|tag| &tag["tag"]).collect::<Vec<_>>(), ["@night", "harbour"]);
    let notes = lines(&files, "notes.ndjson");
    assert_eq!((&notes[0]["md5"], &notes[1]["md5"]), (&json!(md5_of(&pier.photos[0])), &Value::Null));
    assert_eq!(notes[1]["text"], "ask the harbour master");
    let codes: Vec<String> =
        lines(&files, "audit.ndjson").iter().map(|e| e["code"].as_str().expect("a code").to_owned()).collect();
    let count = |code: &str| codes.iter().filter(|known| *known == code).count();
    let expected = [
        ("created", 8),
        ("claimed", 8),
        ("succeeded", 6),
        ("failed", 2),
        ("case_made", 1),
        ("member_set", 1),
        ("case_exported", 3),
    ];
    assert_eq!(expected.map(|(code, _)| (code, count(code))), expected, "{codes:?}");
}

#[tokio::test]
async fn bytes_that_are_not_what_came_are_left_out_and_named() {
    let pier = Pier::new().await;
    let blob = |photo: &[u8]| {
        let folder = pier.app.settings.data.join("images").join(sha256_of(photo));
        std::fs::read_dir(folder).expect("its folder").next().expect("a blob").expect("an entry").path()
    };
    std::fs::remove_file(blob(&pier.photos[0])).expect("a blob to remove");
    let changed: Vec<u8> = pier.photos[1].iter().map(|byte| byte ^ 1).collect();
    std::fs::write(blob(&pier.photos[1]), changed).expect("a blob to change");
    let files = unpack(pier.export(&pier.owner, "zip", "").await);
    assert_eq!(files.keys().filter(|path| path.starts_with("originals/")).count(), 2);
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
    let left_out: BTreeSet<(String, String)> = manifest["left_out"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|left| (left["md5"].as_str().expect("an MD5").to_owned(), left["why"].as_str().expect("why").to_owned()))
        .collect();
    let expected =
        [(0, "its bytes are not in the image store"), (1, "its bytes in the image store are not those that came")];
    assert_eq!(left_out, expected.map(|(n, why)| (md5_of(&pier.photos[n]), why.to_owned())).into());
    assert_eq!(lines(&files, "images.ndjson").len(), 4, "what is told of them stays");
    // Of one that came under more names than are told the manifest says so, and nobody when it came first.
    let many = "INSERT INTO upload (case_id, image_id, submission_id, account_id, name)
                SELECT case_id, image_id, gen_random_uuid(), account_id, n || '.jpg'
                FROM (SELECT * FROM upload ORDER BY image_id DESC LIMIT 1) AS u, generate_series(1, 1000) AS n";
    pier.app.alter(many).await;
    let files = unpack(pier.export(&pier.owner, "zip", "").await);
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
    let told = |photo: &[u8]| {
        let md5 = md5_of(photo);
        let named = manifest["files"].as_array().expect("files").iter().find(|file| file["md5"] == md5).expect("it");
        (named["names"].as_array().map(Vec::len), named["older_names_left_out"].as_bool())
    };
    assert_eq!((told(&pier.photos[3]), told(&pier.photos[2])), ((Some(1000), Some(true)), (Some(1), None)));
    let graph: Value = serde_json::from_slice(&files["case.jsonld"]).expect("JSON");
    let came =
        graph["@graph"].as_array().expect("a graph").iter().filter(|node| node["@type"] == "uco-observable:File");
    assert_eq!(came.filter(|file| file["uco-core:objectCreatedTime"].is_null()).count(), 1);
}

/// What `darkroom verify` says of a folder, and how it ends.
fn verify(folder: &Path) -> (Option<i32>, Vec<String>, String) {
    verify_by(Command::new(DARKROOM).arg("verify").arg(folder))
}

fn verify_by(command: &mut Command) -> (Option<i32>, Vec<String>, String) {
    let done = command.output().expect("darkroom");
    let lines = String::from_utf8(done.stdout).expect("UTF-8").lines().map(str::to_owned).collect();
    (done.status.code(), lines, String::from_utf8(done.stderr).expect("UTF-8"))
}

#[tokio::test]
async fn verify_names_what_is_missing_changed_and_additional() {
    let pier = Pier::new().await;
    let files = unpack(pier.export(&pier.owner, "zip", "").await);
    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    for (path, bytes) in &files {
        std::fs::create_dir_all(at(path).parent().expect("a folder")).expect("a folder");
        std::fs::write(at(path), bytes).expect("a file");
    }
    let (code, said, beside) = verify(folder.path());
    assert_eq!((code, said), (Some(0), vec![]), "{beside}");
    assert!(beside.contains("13 files of") && beside.contains(&sha256_of(&files["manifest.json"])), "{beside}");

    let mut originals: Vec<&str> =
        files.keys().filter(|path| path.starts_with("originals/")).map(String::as_str).collect();
    originals.sort_unstable();
    let [missing, changed, grown, linked] = originals[..] else { panic!("four photographs") };
    std::fs::remove_file(at(missing)).expect("a file to remove");
    let mut bytes = files[changed].clone();
    bytes[100] ^= 1;
    std::fs::write(at(changed), bytes).expect("a file to change");
    std::fs::write(at(grown), [files[grown].as_slice(), b"x"].concat()).expect("a file to change");
    std::fs::rename(at(linked), folder.path().join("../moved-by-a-test.jpg")).expect("a file to move");
    std::os::unix::fs::symlink(folder.path().join("../moved-by-a-test.jpg"), at(linked)).expect("a link");
    std::fs::write(at("originals/put\nin.jpg"), b"x").expect("a file to add");
    let (code, said, beside) = verify(folder.path());
    std::fs::remove_file(folder.path().join("../moved-by-a-test.jpg")).expect("the file that was moved");
    let mut expected = [
        format!("{missing}: missing"),
        format!("{changed}: changed: its MD5 is another"),
        format!("{grown}: changed: its size is another"),
        format!("{linked}: no file: a link or something else lies in its place"),
    ];
    expected.sort();
    assert_eq!((code, &said[..4]), (Some(1), &expected[..]), "{beside}");
    assert!(
        said.len() == 5 && said[4].starts_with("originals/put") && said[4].ends_with("the manifest does not name it"),
        "{said:?}"
    );

    // A manifest that was changed may name what it likes.
    let file = |path: &str| json!({"path": path, "bytes": 1, "md5": "0", "sha256": "0"});
    let manifest = json!({"files": [file("../../etc/passwd"), file("/etc/passwd"), file("a\\b"), file("README.txt"), file("README.txt")]});
    std::fs::write(at("manifest.json"), manifest.to_string()).expect("a manifest");
    let (code, said, _) = verify(folder.path());
    let wrong = said.iter().filter(|line| line.contains("wrongly named")).count();
    assert_eq!((code, wrong), (Some(1), 4), "{said:?}");
    assert_eq!(verify(&at("originals")).0, Some(2));
    std::fs::write(at("manifest.json"), "{").expect("a manifest");
    assert_eq!(verify(folder.path()).0, Some(2));
    // Nor is one believed that lies elsewhere.
    let elsewhere = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(elsewhere.path(), r#"{"files": []}"#).expect("a manifest");
    std::fs::remove_file(at("manifest.json")).expect("a file to remove");
    std::os::unix::fs::symlink(elsewhere.path(), at("manifest.json")).expect("a link");
    let (code, _, said) = verify(folder.path());
    assert_eq!((code, said.contains("it is no file")), (Some(2), true), "{said}");
}

#[test]
fn a_folder_that_cannot_be_entered_is_named_and_the_rest_is_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let locked = folder.path().join("locked");
    std::fs::create_dir(&locked).expect("a folder");
    let file = |path: &str| json!({"path": path, "bytes": 1, "md5": "0", "sha256": "0"});
    let manifest = json!({"files": [file("locked/a.jpg"), file("gone.txt")]});
    std::fs::write(folder.path().join("manifest.json"), manifest.to_string()).expect("a manifest");
    for (path, mode) in [(folder.path(), 0o755), (&locked, 0o000)] {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("a folder of ours");
    }
    let mut command = Command::new(DARKROOM);
    let runs = |command: &mut Command| command.arg("--version").output().is_ok_and(|out| out.status.success());
    let nobody_runs = is_root() && runs(Command::new(DARKROOM).uid(NOBODY));
    if nobody_runs {
        command.uid(NOBODY);
    }
    let (code, said, beside) = verify_by(command.arg("verify").arg(folder.path()));
    if is_root() && !nobody_runs {
        // Root is let in everywhere, and finds it empty.
        assert_eq!(
            (code, &said[..]),
            (Some(1), &["gone.txt: missing", "locked/a.jpg: missing"].map(str::to_owned)[..]),
            "{beside}"
        );
        return;
    }
    assert_eq!((code, said.len()), (Some(1), 3), "{said:?} {beside}");
    assert_eq!(said[0], "gone.txt: missing");
    assert!(
        said[1].starts_with("locked: unreadable: ") && said[2].starts_with("locked/a.jpg: unreadable: "),
        "{said:?}"
    );
}

#[test]
fn how_far_it_is_is_told_while_a_folder_is_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |path: &str, bytes: usize| {
        std::fs::write(folder.path().join(path), vec![b'x'; bytes]).expect("a file");
        json!({"path": path, "bytes": bytes, "md5": "0", "sha256": "0"})
    };
    let manifest = json!({"files": [file("large", 3_000_000), file("small", 10)]});
    std::fs::write(folder.path().join("manifest.json"), manifest.to_string()).expect("a manifest");
    let mut told = Vec::new();
    darkroom::export::verify::verify(folder.path(), |done, of| told.push((done, of))).expect("a manifest");
    assert!(told.len() > 3 && told.is_sorted() && told.iter().all(|(_, of)| *of == 3_000_010), "{told:?}");
    assert_eq!(told.last(), Some(&(3_000_010, 3_000_010)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_takes_a_case_away_and_goes_on_with_half_a_file() {
    let pier = Pier::new().await;
    let (desk, _server) = Desk::of(&pier.app, "olga");
    let out = desk.home.path().join("pier.ndjson");
    let place = out.to_str().expect("a path in UTF-8");
    let args = ["export", "--case", "Pier \"4\"", "--format", "ndjson", "-o", place];
    let said = desk.says(0, &args);
    let whole = std::fs::read(&out).expect("the export");
    assert!(said.contains("4 images") && said.contains(&sha256_of(&whole)), "{said}");
    assert_eq!(pier.app.count("SELECT count(*) FROM export").await, 1);

    // Half of it lies there, and half of one that this server does not know: it may be another's.
    let id: String =
        sqlx::query_scalar("SELECT id::text FROM export").fetch_one(&pier.app.outside).await.expect("an id");
    let part = desk.home.path().join(format!("pier.ndjson.{id}.part"));
    let other = desk.home.path().join(format!("pier.ndjson.{}.part", uuid::Uuid::new_v4()));
    std::fs::write(&part, &whole[..whole.len() / 2]).expect("half a file");
    std::fs::write(&other, b"half").expect("half a file");
    std::fs::remove_file(&out).expect("the export");
    let said = desk.complains(0, &args);
    assert!(
        said.contains("Going on with what was begun before") && said.contains(other.to_str().expect("a path")),
        "{said}"
    );
    assert_eq!(std::fs::read(&out).expect("the export"), whole);
    assert_eq!((part.exists(), std::fs::read(&other).expect("it stays")), (false, b"half".to_vec()));
    let fetched = "SELECT count(*) FROM job_event WHERE code = 'export_fetched'";
    assert_eq!((pier.app.count("SELECT count(*) FROM export").await, pier.app.count(fetched).await), (1, 1));

    // What lies there is no begin of it: all of it is found to be damaged, and nothing is kept.
    std::fs::write(&part, vec![b'x'; 100]).expect("half a file");
    std::fs::remove_file(&out).expect("the export");
    assert!(desk.complains(1, &args).contains("came damaged"));
    assert!(!out.exists());
    desk.says(0, &args);
    assert_eq!(std::fs::read(&out).expect("the export"), whole);
    // Another filter is another export.
    let few = desk.says(0, &["export", "label:person", "--case", &pier.case, "--format", "csv", "-o", place]);
    assert!(few.contains("1 images"), "{few}");
    desk.complains(2, &["export", "lable:x", "--case", &pier.case, "-o", place]);
    desk.complains(2, &["export", "--case", "nowhere", "-o", place]);
    // What is kept is listed, and goes by its id; of the case its owner sees and removes that of others, too.
    let theirs = pier.ask(&pier.viewer, "coco", "").await["id"].as_str().expect("an id").to_owned();
    let listed = desk.json(0, &["exports", "--case", "Pier \"4\"", "--json"]);
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["by"]), (&json!(theirs), &json!("vi")), "{listed}");
    let table = desk.says(0, &["exports"]);
    assert!(table.contains(&id) && table.contains(&theirs) && table.contains("label:person"), "{table}");
    desk.says(0, &["exports", "--remove", &id, "--remove", &theirs]);
    assert_eq!(pier.app.count("SELECT count(*) FROM export").await, 1);
    desk.complains(2, &["exports", "--remove", &id]);
}
