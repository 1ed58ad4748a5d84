//! The Compose file, as an operator gets it who sets nothing: what each container may do, and whom it can reach.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_yaml_ng::Value;

/// The file with its anchors and the defaults of its variables in place.
fn rendered(file: &str) -> Value {
    let mut text = std::fs::read_to_string(file).expect(file);
    while let Some((before, rest)) = text.clone().split_once("${") {
        let (variable, after) = rest.split_once('}').expect("the end of a variable");
        let default = variable.split_once(":-").map_or("", |(_, default)| default);
        text = format!("{before}{default}{after}");
    }
    let mut value: Value = serde_yaml_ng::from_str(&text).expect(file);
    // One pass for each depth to which they are nested.
    for _ in 0..2 {
        value.apply_merge().expect("anchors that fit");
    }
    value
}

fn services(file: &Value) -> BTreeMap<&str, &Value> {
    let services = file["services"].as_mapping().expect("services");
    services.iter().map(|(name, service)| (name.as_str().expect("a name"), service)).collect()
}

fn texts(value: &Value) -> BTreeSet<&str> {
    value.as_sequence().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn every_container_is_bounded_and_gains_nothing() {
    let file = rendered("docker-compose.yml");
    // Beyond these capabilities, each needs none.
    let kept = BTreeMap::from([
        ("proxy", BTreeSet::from(["NET_BIND_SERVICE"])),
        ("setup", BTreeSet::from(["CHOWN", "DAC_OVERRIDE"])),
    ]);
    for (name, service) in services(&file) {
        assert_eq!(texts(&service["cap_drop"]), BTreeSet::from(["ALL"]), "{name}");
        assert_eq!(texts(&service["cap_add"]), kept.get(name).cloned().unwrap_or_default(), "{name}");
        assert!(texts(&service["security_opt"]).contains("no-new-privileges:true"), "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert!(texts(&service["tmpfs"]).iter().all(|mount| mount.contains(":size=")), "{name}");
        let memory = service["mem_limit"].as_str().unwrap_or_default();
        assert!(memory.ends_with(['m', 'g']), "{name} may take all memory");
        assert!(service["pids_limit"].as_u64().is_some_and(|most| most <= 1024), "{name} may start anything");
        let log = &service["logging"];
        assert_eq!(log["driver"], "json-file", "{name}");
        assert!(log["options"]["max-size"].is_string() && log["options"]["max-file"].is_string(), "{name}");
        assert!(service["privileged"].is_null() && service["devices"].is_null(), "{name}");
        let mounts = texts(&service["volumes"]);
        assert!(!mounts.iter().any(|mount| mount.starts_with(['/', '.', '~'])), "{name} sees the host: {mounts:?}");
    }
}

#[test]
fn each_reaches_whom_it_needs_and_nobody_else() {
    let file = rendered("docker-compose.yml");
    let mut members: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, service) in services(&file) {
        let networks = texts(&service["networks"]);
        assert!(!networks.is_empty() || service["network_mode"] == "none", "{name} is on the default network");
        for network in networks {
            members.entry(network).or_default().insert(name);
        }
    }
    let expected = [
        ("front", vec!["proxy", "server"]),
        ("internet", vec!["proxy"]),
        ("outside", vec!["server"]),
        ("storage", vec!["migrate", "postgres", "redis", "server"]),
        (
            "workers",
            vec![
                "digits",
                "face_detect",
                "faces",
                "image_hash",
                "image_stats",
                "object_detect",
                "ocr",
                "onnx_predict",
                "server",
            ],
        ),
    ];
    assert_eq!(members, expected.map(|(network, names)| (network, BTreeSet::from_iter(names))).into());
    for (network, shut) in
        [("front", true), ("internet", false), ("outside", false), ("storage", true), ("workers", true)]
    {
        assert_eq!(file["networks"][network]["internal"] == true, shut, "{network}");
    }
    for (name, service) in services(&file) {
        for port in texts(&service["ports"]) {
            assert!(["server", "proxy"].contains(&name) && port.starts_with("127.0.0.1:"), "{name} publishes {port}");
        }
    }
    let front = file["networks"]["front"]["ipam"]["config"][0]["subnet"].as_str();
    assert_eq!(file["services"]["server"]["environment"]["DARKROOM_TRUSTED_PROXIES"].as_str(), front);
}

#[test]
fn secrets_lie_in_files_of_who_reads_them() {
    let file = rendered("docker-compose.yml");
    let mut readers: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (name, service) in services(&file) {
        for mount in texts(&service["volumes"]).into_iter().filter(|mount| mount.starts_with("secret-")) {
            let (volume, place) = mount.split_once(':').expect("a place");
            assert!(name == "setup" || place.ends_with(":ro"), "{name} may write {mount}");
            readers.entry(volume.trim_start_matches("secret-").to_owned()).or_default().insert(name);
        }
        for (variable, value) in service["environment"].as_mapping().into_iter().flatten() {
            let (variable, value) = (variable.as_str().expect("a name"), value.as_str().unwrap_or_default());
            let told = ["PASSWORD", "KEY", "TOKEN", "SECRET"].iter().any(|word| variable.contains(word));
            assert!(!told || value.starts_with("/secrets/"), "{name}: {variable}");
            let user = value.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map_or("", |(user, _)| user);
            assert!(!user.contains(':'), "{name}: {variable} holds a password");
        }
    }
    let expected = [
        ("audit", vec!["migrate", "setup"]),
        ("database", vec!["migrate", "server", "setup"]),
        ("digits", vec!["digits", "setup"]),
        ("digits_onnx", vec!["onnx_predict", "setup"]),
        ("face_detect", vec!["face_detect", "setup"]),
        ("faces", vec!["faces", "setup"]),
        ("for-postgres", vec!["postgres", "setup"]),
        ("for-redis", vec!["redis", "setup"]),
        ("image_hash", vec!["image_hash", "setup"]),
        ("image_stats", vec!["image_stats", "setup"]),
        ("object_detect", vec!["object_detect", "setup"]),
        ("ocr", vec!["ocr", "setup"]),
        ("owner", vec!["migrate", "setup"]),
        ("redis", vec!["server", "setup"]),
        ("token", vec!["server", "setup"]),
    ];
    assert_eq!(readers, expected.map(|(secret, names)| (secret.to_owned(), BTreeSet::from_iter(names))).into());
    let redis = &file["services"]["redis"]["command"][2];
    assert!(redis.as_str().is_some_and(|script| script.contains("requirepass $$(cat /secrets/for-redis/password)")));
}

#[test]
fn everything_pulled_has_an_exact_version() {
    let is_exact = |image: &str| {
        let numbers = image.split_once(':').map_or("", |(_, tag)| tag).split('-').next().unwrap_or_default();
        let parts: Vec<&str> = numbers.split('.').collect();
        // Debian's and PostgreSQL's versions have two numbers.
        let enough = if image.starts_with("debian:") || image.starts_with("postgres:") { 2 } else { 3 };
        parts.len() == enough && parts.iter().all(|part| part.parse::<u32>().is_ok())
    };
    let file = rendered("docker-compose.yml");
    for (name, service) in services(&file) {
        assert!(service["image"].as_str().map_or(service["build"] != Value::Null, is_exact), "{name}");
    }
    let built = services(&file).into_values().filter(|service| service["build"] != Value::Null);
    for path in built.map(|service| service["build"]["dockerfile"].as_str().unwrap_or("Dockerfile")) {
        let text = std::fs::read_to_string(path).expect(path);
        let stages: BTreeSet<&str> =
            text.lines().filter_map(|line| line.split_once(" AS ").map(|(_, name)| name)).collect();
        for image in text.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next()) {
            assert!(stages.contains(image) || is_exact(image), "{path}: {image}");
        }
    }
}

#[test]
fn operators_read_the_same_in_the_table() {
    let file = rendered("docker-compose.yml");
    let mut table =
        String::from("| service | networks | memory | processes and threads | capabilities |\n|---|---|---|---|---|\n");
    for (name, service) in services(&file) {
        let list = |value: &Value, none: &str| {
            let all = Vec::from_iter(texts(value)).join(", ");
            if all.is_empty() { none.to_owned() } else { all }
        };
        let (networks, capabilities) = (list(&service["networks"], "none"), list(&service["cap_add"], "none"));
        let (memory, processes) = (service["mem_limit"].as_str().unwrap_or_default(), &service["pids_limit"]);
        let processes = processes.as_u64().unwrap_or_default();
        table.push_str(&format!("| `{name}` | {networks} | {memory} | {processes} | {capabilities} |\n"));
    }
    let page = std::fs::read_to_string("docs/operations.md").expect("the page");
    assert!(page.contains(&format!("{table}\n")), "docs/operations.md should list:\n{table}");
}

#[test]
fn compose_understands_both_files_where_it_is_at_hand() {
    let developing = rendered("docker-compose.dev.yml");
    let file = rendered("docker-compose.yml");
    assert!(services(&developing).keys().all(|name| services(&file).contains_key(name)));
    for command in [["docker-compose"].as_slice(), &["docker", "compose"]] {
        let compose = |args: &[&str]| {
            let mut program = Command::new(command[0]);
            program.args(&command[1..]).args(args).output()
        };
        if !compose(&["version"]).is_ok_and(|output| output.status.success()) {
            continue;
        }
        for files in
            [["-f", "docker-compose.yml"].as_slice(), &["-f", "docker-compose.yml", "-f", "docker-compose.dev.yml"]]
        {
            let profiles = ["tls", "models", "train", "promoted"].map(|profile| ["--profile", profile]).concat();
            let judged = compose(&[files, &profiles, &["config", "-q"]].concat()).expect("compose");
            assert!(judged.status.success(), "{command:?} {files:?}: {}", String::from_utf8_lossy(&judged.stderr));
        }
    }
}
