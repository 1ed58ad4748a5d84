//! A folder of a thousand files of every kind: each is accounted for, and none keeps the others out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use darkroom::dev::process::is_root;
use serde_json::Value;
use uuid::Uuid;

use crate::kit::app::TestApp;
use crate::kit::desk::{Desk, NOBODY};
use crate::kit::images::photo;
use crate::kit::process::DARKROOM;

/// Names that are hard to carry, and how people are shown them.
const ODD: [(&[u8], &str); 14] = [
    (b"line\nbreak.png", "line%0Abreak.png"),
    (b"carriage\rreturn.png", "carriage%0Dreturn.png"),
    (b"not\xFFutf8.png", "not%FFutf8.png"),
    (b"\xF0\x9F\x93\xB7 emoji.png", "\u{1F4F7} emoji.png"),
    ("\u{5e9}\u{5dc}\u{5d5}\u{5dd}.png".as_bytes(), "\u{5e9}\u{5dc}\u{5d5}\u{5dd}.png"),
    ("\u{202e}gnp.exe".as_bytes(), "\u{202e}gnp.exe"),
    (b"--models", "--models"),
    (b"-rf.png", "-rf.png"),
    (b"quote\".png", "quote\".png"),
    (b"back\\slash\\", "back\\slash\\"),
    (b"semi;colon=1.png", "semi;colon=1.png"),
    (b"per%20cent.png", "per%20cent.png"),
    (b"=1+1.png", "=1+1.png"),
    (b" ", " "),
];

/// What is expected of each file, by its name below the folder.
#[derive(Default)]
struct Folder {
    root: PathBuf,
    expected: BTreeMap<String, &'static str>,
    salt: u64,
}

impl Folder {
    fn put(&mut self, name: &str, expected: &'static str, bytes: &[u8]) -> PathBuf {
        self.put_as(OsStr::new(name), name, expected, bytes)
    }

    fn put_as(&mut self, name: &OsStr, shown: &str, expected: &'static str, bytes: &[u8]) -> PathBuf {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        self.expect(shown, expected);
        path
    }

    fn expect(&mut self, shown: &str, expected: &'static str) {
        assert!(self.expected.insert(shown.to_owned(), expected).is_none(), "{shown:?} is there twice");
    }

    fn fresh(&mut self) -> Vec<u8> {
        self.salt += 1;
        photo(self.salt)
    }

    /// Photographs, duplicates of them, and what only looks like some.
    fn fill_with_files(&mut self) {
        for (raw, shown) in ODD {
            let bytes = self.fresh();
            self.put_as(OsStr::from_bytes(raw), shown, "taken", &bytes);
        }
        let long = format!("{}.png", "x".repeat(251));
        for name in ["noextension", ".hidden.jpg", "deep/.cache/thumb", "photo.txt", &long] {
            let bytes = self.fresh();
            self.put(name, "taken", &bytes);
        }
        let jpeg = fs::read("examples/photos/grace_hopper.jpg").expect("a photograph");
        self.put("jpeg_without_extension", "taken", &jpeg);
        for n in 0..700 {
            let bytes = self.fresh();
            self.put(&format!("{}/{}/IMG_{n:04}.JPG", n % 7, n % 3), "taken", &bytes);
        }
        for n in 0..60 {
            let bytes = photo(21 + n);
            self.put(&format!("copies/{n}/IMG.JPG"), "duplicate", &bytes);
        }
        for n in 0..40 {
            self.put(&format!("broken/{n}.png"), "malformed_image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0");
        }
        for n in 0..140 {
            let name = ["notes.txt", ".DS_Store", "Thumbs.db", "page.html", "fake.jpg"][n % 5];
            self.put(&format!("mess/{n}/{name}"), "not_an_image", b"no photograph");
        }
        self.put("scan.jp2", "not_an_image", b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 ");
        self.put("clip.mov", "not_an_image", b"\0\0\0\x14ftypqt  \0\0\0\0qt  ");
        self.put("raw.CR2", "malformed_image", b"II*\0\x10\0\0\0CR\x02\0");
        for n in 0..20 {
            self.put(&format!("empty/{n}.jpg"), "empty", b"");
        }
        for (name, bytes, why) in [("big.jpg", 65 << 20, "file_too_large"), ("huge.jpg", 3 << 30, "too_large")] {
            let path = self.put(name, why, &jpeg);
            File::options().write(true).open(path).and_then(|file| file.set_len(bytes)).expect("a sparse file");
        }
    }

    /// What is no file, or not one that can be read.
    fn fill_with_others(&mut self, as_nobody: bool) {
        let at = |name: &str| self.root.join(name);
        symlink("nowhere.jpg", at("broken_link.jpg")).expect("a link");
        symlink("loop.jpg", at("loop.jpg")).expect("a link");
        symlink("..", at("parent")).expect("a link");
        symlink("noextension", at("linked.jpg")).expect("a link");
        let made = Command::new("mkfifo").arg(at("pipe.jpg")).status().expect("mkfifo");
        assert!(made.success());
        drop(UnixListener::bind(at("socket.jpg")).expect("a socket"));
        for (name, expected) in [
            ("broken_link.jpg", "broken_link"),
            ("loop.jpg", "broken_link"),
            ("parent", "linked_folder"),
            ("linked.jpg", "duplicate"),
            ("pipe.jpg", "not_a_file"),
            ("socket.jpg", "not_a_file"),
        ] {
            self.expect(name, expected);
        }
        let bytes = self.fresh();
        let path = self.put("locked.jpg", if as_nobody { "unreadable_file" } else { "taken" }, &bytes);
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).expect("a mode");
        if as_nobody {
            fs::create_dir(self.root.join("locked")).expect("a folder");
            fs::set_permissions(self.root.join("locked"), fs::Permissions::from_mode(0o000)).expect("a mode");
            self.expect("locked", "unreadable_file");
        }
        for n in 0..10 {
            let bytes = self.fresh();
            self.put(&format!("zz_late/{n}.png"), "any", &bytes);
        }
    }
}

/// What became of each file, by its name below the folder.
fn told(report: &Value, root: &Path) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    let shown = |file: &Value| {
        let name = file["name"].as_str().expect("a name");
        name.strip_prefix(root.to_str().expect("UTF-8")).map_or(name, |rest| rest.trim_start_matches('/')).to_owned()
    };
    let items = |list: &str| report[list].as_array().expect("a list").clone();
    for photo in items("photos") {
        let how = if photo["duplicate_of"].is_null() { "taken" } else { "duplicate" };
        assert!(told.insert(shown(&photo), how.to_owned()).is_none(), "{photo} is told twice");
    }
    for (list, why) in [("rejected", "/problem/code"), ("skipped", "/reason")] {
        for file in items(list) {
            let why = file.pointer(why).and_then(Value::as_str).expect("a reason").to_owned();
            assert!(told.insert(shown(&file), why).is_none(), "{file} is told twice");
        }
    }
    told
}

/// Holds what the report says of each file to what is expected of it.
fn judge(folder: &Folder, report: &Value) {
    let told = told(report, &folder.root);
    let names = |of: &BTreeMap<String, &str>| of.keys().cloned().collect::<BTreeSet<_>>();
    let lost: Vec<_> = names(&folder.expected).into_iter().filter(|name| !told.contains_key(name)).collect();
    let vanished_before = lost.iter().all(|name| name.starts_with("zz_late/") && name.as_str() >= "zz_late/5");
    assert!(vanished_before, "not accounted for: {lost:?}");
    for (name, how) in &told {
        let expected = folder.expected.get(name).unwrap_or_else(|| panic!("{name:?} is not in the folder"));
        // Of two files with the same bytes the later one is the duplicate.
        let same = how == expected || *expected == "any";
        let twin = ["taken", "duplicate"].contains(&how.as_str()) && ["taken", "duplicate"].contains(expected);
        assert!(same || twin, "{name:?}: {how}, not {expected}");
    }
    let count = |how: &str| told.values().filter(|told| *told == how).count();
    assert_eq!(report["counts"]["duplicates"], count("duplicate"));
    assert!(count("duplicate") >= 61, "{}", report["counts"]);
    assert_eq!(report["counts"]["skipped"], report["skipped"].as_array().map(Vec::len).expect("a list"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_of_a_folder_of_junk_is_accounted_for() {
    let app = TestApp::new().await;
    app.investigator("ines").await;
    app.worker("ocr").await;
    let (mut desk, _server) = Desk::of(&app, "ines");
    let runs = |command: &mut Command| command.arg("--version").output().is_ok_and(|out| out.status.success());
    desk.as_nobody = is_root() && {
        use std::os::unix::process::CommandExt;
        runs(Command::new(DARKROOM).uid(NOBODY))
    };
    let mut folder = Folder { root: desk.home.path().join("folder"), ..Folder::default() };
    folder.fill_with_files();
    folder.fill_with_others(desk.as_nobody || !is_root());
    if desk.as_nobody {
        let given = Command::new("chown").arg("-Rh").arg(NOBODY.to_string()).arg(desk.home.path()).status();
        assert!(given.expect("chown").success());
        chown(desk.home.path(), Some(NOBODY), None).expect("a home");
    }
    assert!(folder.expected.len() >= 1_000, "{} files", folder.expected.len());

    // Meanwhile files vanish, and become shorter and longer.
    let (id, root, stop) =
        (Uuid::new_v4().to_string(), folder.root.to_str().expect("UTF-8").to_owned(), AtomicBool::new(false));
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            let late = folder.root.join("zz_late");
            for turn in 0_usize.. {
                let size = if turn.is_multiple_of(2) { 10 } else { 300_000 };
                let file = File::options().write(true).open(late.join(format!("{}.png", turn % 5)));
                file.and_then(|file| file.set_len(size)).expect("a file");
                if turn == 200 {
                    (5..10).for_each(|n| fs::remove_file(late.join(format!("{n}.png"))).expect("a file"));
                }
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::yield_now();
            }
        });
        let report = desk.json(1, &["submit", "-m", "ocr", "--submission", &id, "--no-wait", "--json", &root]);
        stop.store(true, Ordering::Relaxed);
        report
    });
    judge(&folder, &report);

    // The same in the table, the page and the server's own books; what was sent already is not done twice.
    let page = desk.home.path().join("report.html");
    let again = [
        "submit",
        "-m",
        "ocr",
        "--submission",
        &id,
        "--timeout",
        "0",
        "--report",
        page.to_str().expect("UTF-8"),
        &root,
    ];
    let table = desk.says(4, &again);
    assert!(table.contains("Skipped:"), "{table}");
    assert!(table.contains("142 files: not an image, by its content"), "{table}");
    assert!(table.contains("20 files: empty") && table.contains("2 files: a link that leads nowhere"), "{table}");
    let page = fs::read_to_string(page).expect("the page").replace("&#x2f;", "/");
    for name in ["line%0Abreak.png", "not%FFutf8.png", "clip.mov", "copies/59/IMG.JPG", "huge.jpg", "raw.CR2"] {
        assert!(page.contains(name), "the page does not name {name}");
    }
    let jobs = app.count("SELECT count(*) FROM request").await;
    let status = desk.says(0, &["status", &id]);
    assert!(status.contains("folder/copies/59/IMG.JPG") && status.contains("folder/linked.jpg"), "{status}");
    assert!(status.lines().count() as i64 > jobs + 61, "every path has its row: {jobs} jobs");
}
