//! The floors of the house: who may import whom, and that no two files need each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each room with the rooms that it may import besides itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("inspect", &["domain"]),
    ("blob", &["inspect", "domain"]),
    ("index", &["domain"]),
    ("store", &["domain"]),
    ("metrics", &["domain", "store"]),
    ("derive", &["domain"]),
    ("export", &["domain"]),
    ("service", &["store", "index", "blob", "derive", "export", "inspect", "domain", "metrics"]),
    ("maintenance", &["service", "store", "index", "blob", "derive", "domain", "metrics"]),
    ("http", &["service", "store", "index", "blob", "domain", "metrics", "api", "sdk"]),
    ("telemetry", &["metrics"]),
    ("config", &["service", "store", "index", "derive", "inspect", "domain"]),
    ("api", &["domain"]),
    ("report", &["api", "client", "export", "inspect", "domain"]),
    ("client", &["api", "inspect", "domain"]),
    ("sdk", &[]),
    ("dev", &[]),
];

#[test]
fn every_floor_imports_only_from_below() {
    let mut wrong = Vec::new();
    for (from, to) in House::read().arrows {
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == from[0]) else { continue };
        if to[0] != from[0] && !allowed.contains(&to[0].as_str()) {
            wrong.push(format!("{} imports {}", from.join("::"), to.join("::")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_two_files_need_each_other() {
    let mut needs: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (from, to) in House::read().arrows {
        if from != to {
            needs.entry(from).or_default().insert(to);
        }
    }
    // Whoever needs nobody that is left goes, and whom nobody left needs; who stays at last is in a circle, or between two.
    loop {
        let before = needs.len();
        let left: BTreeSet<_> = needs.keys().cloned().collect();
        needs.retain(|_, to| to.iter().any(|to| left.contains(to)));
        let needed: BTreeSet<_> = needs.values().flatten().cloned().collect();
        needs.retain(|from, _| needed.contains(from));
        if needs.len() == before {
            break;
        }
    }
    let left: Vec<String> = needs
        .iter()
        .map(|(from, to)| {
            let to = to.iter().filter(|to| needs.contains_key(*to)).map(|to| to.join("::"));
            format!("{} needs {}", from.join("::"), to.collect::<Vec<_>>().join(", "))
        })
        .collect();
    assert!(left.is_empty(), "among these files there are circles:\n{}", left.join("\n"));
}

#[test]
fn a_types_name_means_one_thing() {
    let mut declared: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in rust_files(Path::new("src")) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for name in text.lines().filter_map(declared_type) {
            declared.entry(name).or_default().push(file.display().to_string());
        }
    }
    declared.retain(|_, files| files.len() > 1);
    assert!(declared.is_empty(), "declared more than once: {declared:#?}");
}

/// The type that a line declares; what a trait asks its implementations to name (`type Error`) is the trait's.
fn declared_type(line: &str) -> Option<String> {
    const BY_TRAITS: [&str; 4] = ["Error", "Rejection", "Target", "Value"];
    let line = line.trim_start();
    let unseen = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')').map_or("", |(_, rest)| rest),
        None => rest,
    });
    let (kind, rest) = unseen.trim_start().split_once(' ')?;
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let is_type = match kind {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => !BY_TRAITS.contains(&name.as_str()),
        _ => false,
    };
    (is_type && !name.is_empty()).then_some(name)
}

#[test]
fn nobody_goes_around_the_guard_of_connections() {
    let rooms = ["dev", "http", "maintenance", "service"];
    let files = rooms.iter().flat_map(|room| rust_files(&Path::new("src").join(room)));
    for file in files.chain([PathBuf::from("src/app.rs")]) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let around = [".pool()", ".begin("].into_iter().find(|call| text.contains(call));
        assert_eq!(around, None, "{} uses a connection by itself", file.display());
    }
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

/// The source by modules, each of which is a file.
struct House {
    /// Importer and imported.
    arrows: Vec<(Vec<String>, Vec<String>)>,
}

/// What a file says of its own.
struct Module {
    imports: Vec<Vec<String>>,
    /// Names that it passes on from elsewhere.
    passes_on: Vec<Vec<String>>,
}

impl House {
    fn read() -> Self {
        let modules: BTreeMap<Vec<String>, Module> = rust_files(Path::new("src"))
            .into_iter()
            .filter(|file| !file.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests")))
            .filter_map(|file| {
                let path = module_of(&file)?;
                let text = std::fs::read_to_string(&file).expect("a source file");
                let module = Module::read(&path, text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
                Some((path, module))
            })
            .collect();
        let mut arrows = Vec::new();
        for (from, module) in &modules {
            for import in &module.imports {
                if let Some(to) = owner(&modules, import, 0) {
                    arrows.push((from.clone(), to));
                }
            }
        }
        Self { arrows }
    }
}

/// The file that declares what a path names: the longest module in it, or where that one has it from.
fn owner(modules: &BTreeMap<Vec<String>, Module>, path: &[String], depth: usize) -> Option<Vec<String>> {
    let module = (1..=path.len()).rev().map(|end| &path[..end]).find(|path| modules.contains_key(*path))?.to_vec();
    let name = path.get(module.len());
    let passed = modules[&module].passes_on.iter().find(|from| from.last() == name && name.is_some());
    match passed {
        Some(from) if depth < 5 => owner(modules, from, depth + 1),
        _ => Some(module),
    }
}

impl Module {
    fn read(own: &[String], text: &str) -> Self {
        let (mut imports, mut passes_on) = (Vec::new(), Vec::new());
        let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        while let Some(line) = lines.next() {
            match line
                .split_once("use ")
                .filter(|(before, _)| matches!(before.trim_end(), "" | "pub") || before.ends_with(") "))
            {
                Some((visibility, tree)) => {
                    let mut tree = tree.to_owned();
                    while !tree.ends_with(';') {
                        tree.push_str(lines.next().expect("the end of a use"));
                    }
                    let mut named = Vec::new();
                    spread("", tree.trim_end_matches(';'), &mut named);
                    let into = if visibility.is_empty() { &mut imports } else { &mut passes_on };
                    into.extend(named.iter().filter_map(|path| absolute(own, path)));
                }
                None => {
                    let paths = line.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':')));
                    let paths = paths.filter(|path| path.contains("::"));
                    imports.extend(paths.filter_map(|path| absolute(own, path.trim_end_matches(':'))));
                }
            }
        }
        Self { imports, passes_on }
    }
}

/// The single paths of a `use` with braces.
fn spread(prefix: &str, tree: &str, into: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        let path = if path == "self" { prefix.trim_end_matches("::").to_owned() } else { format!("{prefix}{path}") };
        into.push(path);
        return;
    };
    let prefix = format!("{prefix}{}", &tree[..open]);
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..at].trim().is_empty() {
                    spread(&prefix, &inner[start..at], into);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// A path from the crate's root; nothing for what is not ours.
fn absolute(own: &[String], path: &str) -> Option<Vec<String>> {
    let mut parts = path.split("::").map(str::to_owned).peekable();
    let mut at = match parts.next()?.as_str() {
        "crate" => Vec::new(),
        "self" => own.to_vec(),
        "super" => own[..own.len() - 1].to_vec(),
        // A module below this one, as a file that lists its children names them.
        child if own_child(own, child) => own.iter().cloned().chain([child.to_owned()]).collect(),
        _ => return None,
    };
    while parts.next_if(|part| part == "super").is_some() {
        at.pop();
    }
    at.extend(parts);
    (!at.is_empty()).then_some(at)
}

fn own_child(own: &[String], child: &str) -> bool {
    let folder = Path::new("src").join(own.join("/"));
    folder.join(format!("{child}.rs")).exists() || folder.join(child).join("mod.rs").exists()
}

/// `src/store/work/mod.rs` is `store::work`.
fn module_of(file: &Path) -> Option<Vec<String>> {
    let path = file.strip_prefix("src").ok()?.with_extension("");
    let mut parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    (parts != ["lib"] && parts != ["main"]).then_some(parts)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
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
