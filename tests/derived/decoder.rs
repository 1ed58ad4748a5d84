//! A decoder that dies, hangs or lies harms nobody but the photograph that it had in hand.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{derived, known};
use crate::kit::app::TestApp;
use crate::kit::images::photo;
use crate::kit::pictures::{declared, picture};
use crate::kit::process::DARKROOM;

/// Its address space in the test of a photograph that kills its decoder: the program's own and small pictures fit.
const LITTLE_MEMORY: u64 = 128 << 20;

#[tokio::test]
async fn a_photograph_that_kills_its_decoder_is_noted_and_the_rest_goes_on() {
    let app = TestApp::with(|s| {
        s.decoder_bytes_max = LITTLE_MEMORY;
        s.pixels_max = u64::MAX;
    })
    .await;
    // Its pixels are just what is allowed, and too much beside what the program itself has.
    let side = u32::try_from((LITTLE_MEMORY / 4 * 3).isqrt()).expect("small") - 10;
    let killer = declared(side, side);
    let ines = derived(&app, &[picture(1), killer.clone(), picture(2)]).await;
    let known_of_it = known(&ines, &killer).await;
    assert_eq!(known_of_it["state"], "failed", "{known_of_it}");
    assert!(known_of_it["error"].as_str().is_some_and(|error| error.contains("died: signal 6")), "{known_of_it}");
    for harmless in [picture(1), picture(2)] {
        assert_eq!(known(&ines, &harmless).await["state"], "done");
    }
}

/// A program that does something else than decode.
fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    // Written by another: a process of some other test that was started meanwhile would hold the file open, and it could not be run.
    let write = "printf '#!/bin/sh\n%s\n' \"$1\" >\"$0\" && chmod 755 \"$0\"";
    let written = Command::new("sh").args(["-c", write]).arg(&path).arg(text).status().expect("a shell");
    assert!(written.success());
    path
}

#[tokio::test]
async fn a_decoder_that_hangs_or_lies_is_killed_and_its_photograph_given_up_after_three_tries() {
    let folder = tempfile::tempdir().expect("a folder");
    let says_too_much = r#"{"says":{"taken_at":null,"camera":null,"lens":null,"place":null},"seen":{"Ok":{"phash":1,"placeholder":[],"ends":[1,2,3,4294967295]}}}"#;
    let boasts = format!("read x; echo '{says_too_much}'; exec /bin/sleep 600");
    let cases = [
        ("hangs", "exec /bin/sleep 600", "longer than 0.5 s"),
        ("dies", "kill -9 $$", "signal 9"),
        ("leaves", "read x; exit 7", "code 7"),
        ("talks", "read x; exec /usr/bin/yes", "no answer"),
        ("boasts", boasts.as_str(), "no answer"),
        ("floods", "read x; exec /bin/cat /dev/zero", "no answer"),
    ];
    let app = TestApp::new().await;
    let ines = derived(&app, &[]).await;
    for (n, (name, text, why)) in cases.into_iter().enumerate() {
        let program = script(folder.path(), name, text);
        let faulty = app
            .replica_with(|s| {
                s.decoder.path = program;
                s.decoder.wait = Duration::from_millis(500);
            })
            .await;
        let file = photo(100 + n as u64);
        ines.submit(&[("a.png", file.clone())], &["ocr"]).await;
        assert_eq!(faulty.derive().await, 3, "{name}: so often it was tried");
        let known = known(&ines, &file).await;
        assert!(known["error"].as_str().is_some_and(|error| error.contains(why)), "{name}: {known}");
    }
}

#[tokio::test]
async fn what_is_not_the_photographs_fault_counts_for_nothing() {
    let app = TestApp::new().await;
    let ines = derived(&app, &[]).await;
    let missing = app.replica_with(|s| s.decoder.path = "/nowhere/darkroom".into()).await;
    ines.submit(&[("a.png", picture(1))], &["ocr"]).await;
    assert!(darkroom::maintenance::derive_next(&missing.ctx, &mut None).await.is_err());
    assert_eq!(
        app.count("SELECT count(*) FROM image WHERE derive_tries = 0 AND derive_at > clock_timestamp()").await,
        1
    );
    app.alter("UPDATE image SET derive_at = created_at").await;
    assert_eq!((app.derive().await, known(&ines, &picture(1)).await["state"].as_str()), (1, Some("done")));
    // Bytes that are lost are not found by looking for ever.
    ines.submit(&[("b.png", picture(2))], &["ocr"]).await;
    for folder in std::fs::read_dir(app.ctx.blobs.root()).expect("a folder").flatten() {
        std::fs::remove_dir_all(folder.path()).expect("to lose it");
    }
    app.derive().await;
    assert_eq!(known(&ines, &picture(2)).await["error"], "Its bytes are not in the image store.");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_decoder_has_nothing_of_ours_and_may_do_little() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = script(folder.path(), "spy", "/usr/bin/env >\"$0.env\"; /bin/ls -l /proc/self/fd >\"$0.fd\"");
    let app = TestApp::with(|s| s.decoder.path = program).await;
    derived(&app, &[picture(1)]).await;
    let environment = std::fs::read_to_string(folder.path().join("spy.env")).expect("what it saw");
    let ours =
        environment.lines().find(|line| !["PWD=", "SHLVL=", "_=", "OLDPWD="].iter().any(|own| line.starts_with(own)));
    assert_eq!(ours, None, "the shell's own are no secret");
    let files = std::fs::read_to_string(folder.path().join("spy.fd")).expect("what it had open");
    assert!(!files.contains("socket:"), "{files}");

    let mut child = Command::new(DARKROOM)
        .args(["derive", "--bytes-max", "536870912"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a decoder");
    let bytes = picture(1);
    let line = format!("{{\"bytes\":{},\"media_type\":\"image/png\",\"orientation\":null}}\n", bytes.len());
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&[line.as_bytes(), &bytes].concat()).expect("to be read");
    let mut answer = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut answer).expect("an answer");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).expect("Linux");
    for (what, most) in [
        ("address space", "536870912"),
        ("cpu time", "120"),
        ("open files", "3"),
        ("file size", "0"),
        ("processes", "0"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(&format!("Max {what}"))).expect("a limit");
        let said: Vec<&str> = line.split_whitespace().filter(|word| word.chars().all(|c| c.is_ascii_digit())).collect();
        assert_eq!(said, [most, most], "{line}");
    }
    drop(stdin);
    stdout.read_to_end(&mut Vec::new()).expect("the thumbnails");
    assert!(child.wait().expect("its end").success(), "it ends when nobody asks any more");
}
