//! README and the pages of `docs/` say what the code does: settings, metrics, commands, routes, files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use clap::CommandFactory;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::{document, fits, operations};
use crate::kit::process::DARKROOM;

const PAGES: [&str; 15] = [
    "README.md",
    "docs/audit.md",
    "docs/benchmarks.md",
    "docs/cases.md",
    "docs/develop.md",
    "docs/events.md",
    "docs/exports.md",
    "docs/operations.md",
    "docs/page.md",
    "docs/protocol.md",
    "docs/search.md",
    "docs/settings.md",
    "docs/threats.md",
    "docs/training.md",
    "examples/README.md",
];

fn read(page: &str) -> String {
    std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// What the pages set as code: the lines of shell blocks, and the spans within a line. Each with its page.
fn code() -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for page in PAGES {
        let mut fence: Option<String> = None;
        for line in read(page).lines() {
            match (&fence, line.strip_prefix("```")) {
                (None, Some(language)) => fence = Some(language.to_owned()),
                (Some(_), Some(_)) => fence = None,
                (Some(language), None) if language == "sh" => found.push((page, line.to_owned())),
                (Some(_), None) => {}
                (None, None) => found.extend(line.split('`').skip(1).step_by(2).map(|span| (page, span.to_owned()))),
            }
        }
    }
    found
}

/// The words of a text that consist of such characters.
fn words(text: &str, of: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |c| !of(c)).filter(|word| !word.is_empty())
}

fn serve_settings() -> clap::Command {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        _serve: darkroom::config::Serve,
    }
    Cli::command()
}

#[test]
fn every_setting_is_listed_as_it_is_and_no_other() {
    let (command, mut known) = (serve_settings(), BTreeSet::new());
    let mut table = String::from("| variable | default | meaning |\n|---|---|---|\n");
    for argument in command.get_arguments().filter(|a| a.get_env().is_some()) {
        let name = argument.get_env().and_then(|e| e.to_str()).expect("a name");
        let default = argument.get_default_values().first().and_then(|v| v.to_str()).unwrap_or("");
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        table.push_str(&format!("| `{name}` | {default} | {} |\n", argument.get_help().expect("a help text")));
        known.insert(name.to_owned());
    }
    let settings = read("docs/settings.md");
    assert!(settings.contains(&format!("{table}\n")), "docs/settings.md should list:\n{table}");
    // Those of others are in a table of their own, and read somewhere.
    let others = ["src/cli", "src/client", "sdk/python/darkroom_worker", "examples/onnx_predict", "docker-compose.yml"]
        .map(text_below)
        .concat();
    for page in PAGES {
        for name in words(&read(page), |c| c.is_ascii_uppercase() || c == '_') {
            if name.starts_with("DARKROOM_") && !name.ends_with('_') && !known.contains(name) {
                assert!(settings.contains(&format!("`{name}`")), "{page}: docs/settings.md does not know {name}");
                assert!(others.contains(name), "{page}: nobody reads {name}");
            }
        }
    }
}

/// All that is written in a file, or in the files of a folder.
fn text_below(path: &str) -> String {
    let path = Path::new(path);
    if path.is_file() {
        return std::fs::read_to_string(path).unwrap_or_default();
    }
    let entries = std::fs::read_dir(path).expect("a folder").flatten();
    entries.map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default()).collect()
}

/// Keeps what metrics are described as.
#[derive(Default)]
struct Described(Mutex<BTreeMap<String, String>>);

impl Described {
    fn keep(&self, name: &KeyName, meaning: &SharedString) {
        self.0.lock().expect("no panic").insert(name.as_str().to_owned(), meaning.to_string());
    }
}

impl Recorder for Described {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, meaning: SharedString) {
        self.keep(&name, &meaning);
    }
    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, meaning: SharedString) {
        self.keep(&name, &meaning);
    }
    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, meaning: SharedString) {
        self.keep(&name, &meaning);
    }
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn every_metric_is_listed_as_it_is_and_no_other() {
    let described = Described::default();
    metrics::with_local_recorder(&described, darkroom::metrics::describe);
    let described = described.0.into_inner().expect("no panic");
    let rows = described.iter().map(|(name, meaning)| format!("| `{name}` | {meaning} |\n"));
    let table = format!("| metric | meaning |\n|---|---|\n{}\n", rows.collect::<String>());
    assert!(read("docs/operations.md").contains(&table), "docs/operations.md should list:\n{table}");
    for (page, code) in code() {
        for name in words(&code, |c| c.is_ascii_lowercase() || c == '_').filter(|word| word.starts_with("darkroom_")) {
            // Two roles, and the workers' Python package.
            let is_other = ["darkroom_app", "darkroom_auditor", "darkroom_worker"].contains(&name);
            assert!(is_other || described.contains_key(name), "{page}: there is no metric {name}");
        }
    }
}

#[test]
fn every_route_that_is_named_exists() {
    let document = document();
    let known: Vec<(String, String)> = operations(&document).into_iter().map(|(m, p, _)| (m, p)).collect();
    let mut seen = 0;
    for (page, code) in code() {
        let Some((method, path)) = code.split_once(" /") else { continue };
        if ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method) {
            let path = format!("/{}", path.split(['?', ' ']).next().unwrap_or_default());
            let exists = known.iter().any(|(m, template)| m == method && (*template == path || fits(template, &path)));
            assert!(exists, "{page}: {method} {path} is no operation");
            seen += 1;
        }
    }
    assert!(seen > 5);
}

#[test]
fn every_command_that_is_named_exists() {
    let makefile = read("Makefile");
    let mut seen = 0;
    for (page, code) in code() {
        if let Some(target) = code.strip_prefix("make ").and_then(|rest| rest.split(' ').next()) {
            assert!(makefile.contains(&format!("\n{target}:")), "{page}: make knows no {target}");
        }
        let called = code.split_once("darkroom ").filter(|(before, after)| {
            (before.is_empty() || before.ends_with([' ', '/'])) && after.starts_with(|c: char| c.is_ascii_lowercase())
        });
        if let Some((_, called)) = called {
            check_call(page, called);
            seen += 1;
        }
    }
    assert!(seen > 10);
}

/// Holds the words after `darkroom` to its help.
fn check_call(page: &str, called: &str) {
    let called = called.split(" -- ").next().unwrap_or_default();
    let mut help = help_of(&[]);
    let mut path: Vec<&str> = Vec::new();
    let mut before = "";
    for word in called.split(' ') {
        // What follows a flag may be its value.
        let is_command = !std::mem::replace(&mut before, word).starts_with("--");
        if let Some(flag) = word.strip_prefix("--") {
            assert!(flag == "help" || help.contains(&format!("--{flag}")), "{page}: darkroom {called}: no --{flag}");
        } else if is_command && help.contains("\nCommands:\n") {
            assert!(help.contains(&format!("\n  {word} ")), "{page}: darkroom {called}: no {word}");
            path.push(word);
            help = help_of(&path);
        }
    }
}

fn help_of(path: &[&str]) -> String {
    let output = Command::new(DARKROOM).args(path).arg("--help").output().expect("darkroom");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_file_and_heading_that_is_named_exists() {
    for (page, code) in code() {
        let path = code.split(' ').next().unwrap_or_default();
        let top = path.split_once('/').map_or("", |(top, _)| top);
        if ["benches", "docs", "examples", "migrations", "openapi", "postman", "src", "tests"].contains(&top) {
            assert!(Path::new(path).exists(), "{page}: there is no {path}");
        }
    }
    for page in PAGES {
        let text = read(page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(page).parent().expect("a folder");
            let target = if file.is_empty() { Path::new(page).to_path_buf() } else { folder.join(file) };
            assert!(target.exists(), "{page}: there is no {}", target.display());
            let slug = |line: &str| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-");
            let known = heading.is_empty()
                || read(&target.to_string_lossy()).lines().any(|line| line.starts_with('#') && slug(line) == heading);
            assert!(known, "{page}: {} has no heading {heading}", target.display());
        }
    }
}

#[test]
fn every_promise_about_threats_is_held_by_a_test() {
    let page = read("docs/threats.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.ends_with("Held by |"));
    for row in rows {
        let held_by = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
        let mut tests = held_by.split('`').skip(1).step_by(2).peekable();
        assert!(tests.peek().is_some(), "held by no test: {row}");
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{test} is no file::test"));
            assert!(read(&format!("tests/{file}")).contains(&format!("fn {name}(")), "there is no {test}");
        }
    }
}

#[test]
fn the_map_names_every_room() {
    let map = read("docs/develop.md");
    for folder in ["src", "tests"] {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let name = entry.file_name().into_string().expect("a name");
            let room = if entry.path().is_dir() { format!("{name}/") } else { name };
            let suite = folder == "tests" && !room.ends_with('/');
            assert!(suite || room == "lib.rs" || map.contains(&room), "docs/develop.md: no {folder}/{room}");
        }
    }
}

#[test]
fn every_work_of_the_benchmark_is_told_and_no_other() {
    let main = read("benches/main.rs");
    let list = main.split("const WORKS").nth(1).and_then(|rest| rest.split("];").next()).expect("the works");
    let works: BTreeSet<&str> = list.split('"').skip(3).step_by(4).collect();
    let page = read("docs/benchmarks.md");
    let table = page.split("| work | the question |\n|---|---|\n").nth(1).and_then(|t| t.split("\n\n").next());
    let firsts = table.expect("the table of works").lines().map(|row| row.split('|').nth(1).unwrap_or_default());
    let told: BTreeSet<&str> = firsts.flat_map(|first| first.split('`').skip(1).step_by(2)).collect();
    assert_eq!(told, works);
}

#[test]
fn the_workers_of_the_protocols_page_are_the_files() {
    let page = read("docs/protocol.md");
    let mut shown = 0;
    for entry in std::fs::read_dir("examples/any_language").expect("a folder").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        let listing = format!("\n{}```\n", read(&format!("examples/any_language/{name}")));
        let after = page.split_once(&format!("({}any_language/{name})", "../examples/")).expect(&name).1;
        assert!(
            after.split("\n## ").next().unwrap_or_default().contains(&listing),
            "docs/protocol.md shows another {name}"
        );
        shown += 1;
    }
    assert_eq!(page.matches("\n## ").count(), shown);
}
