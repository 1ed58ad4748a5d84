//! The floors of the house: who may import whom.

use std::path::Path;

/// Each room with the rooms that it may import.
const ALLOWED: &[(&str, &[&str])] = &[
    ("domain", &["domain"]),
    ("api", &["api", "domain"]),
    ("blob", &["blob", "domain"]),
    ("index", &["index", "domain"]),
    ("store", &["store", "domain"]),
    ("metrics", &["metrics", "domain", "store"]),
    ("service", &["service", "store", "index", "blob", "domain", "metrics"]),
    ("maintenance", &["maintenance", "service", "store", "index", "blob", "domain", "metrics"]),
    ("http", &["http", "api", "service", "store", "index", "blob", "domain", "metrics"]),
    ("telemetry", &["telemetry", "metrics"]),
    ("config", &["config", "service", "index", "domain"]),
    ("client", &["client"]),
];

#[test]
fn every_floor_imports_only_from_below() {
    let mut wrong = Vec::new();
    for file in rust_files(Path::new("src")) {
        let path = file.strip_prefix("src").expect("a source file");
        let room = path.iter().next().and_then(|p| p.to_str()).unwrap_or_default().trim_end_matches(".rs");
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == room) else { continue };
        let text = std::fs::read_to_string(&file).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            for used in line.split("crate::").skip(1) {
                let used: String =
                    used.trim_start_matches('{').chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !used.is_empty() && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{}:{}: {room} imports {used}", file.display(), number + 1));
                }
            }
            let begins = room == "http" && line.contains(".begin(");
            if begins {
                wrong.push(format!("{}:{}: a handler opens a transaction", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_migration_is_known_to_the_program() {
    let files = std::fs::read_dir("migrations").expect("migrations").flatten();
    let mut versions: Vec<i32> = files
        .map(|file| {
            let name = file.file_name().into_string().expect("a name");
            let version = name.strip_prefix('V').and_then(|n| n.split_once("__")).map(|(v, _)| v.parse());
            version.unwrap_or_else(|| panic!("{name} is not named V<number>__<what>.sql")).expect("a number")
        })
        .collect();
    versions.sort_unstable();
    let expected: Vec<i32> = (1..=darkroom::store::migrate::LATEST).collect();
    assert_eq!(versions, expected, "raise store::migrate::LATEST with every new file");
}

fn rust_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}
