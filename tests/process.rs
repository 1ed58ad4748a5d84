//! The binary itself, as a process.

use std::fs::Permissions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use darkroom::dev::{self, process};
use darkroom::domain::account::Role;
use futures_util::StreamExt;
use md5::{Digest, Md5};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::kit::app::{PASSWORD, TestApp, Worker, until};
use crate::kit::client::Client;
use crate::kit::images::png;
use crate::kit::process::DARKROOM;
use crate::kit::servers;
use crate::training::Trainer;

fn run(args: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(DARKROOM).args(args).envs(environment.iter().copied()).stdin(Stdio::null()).output().expect("darkroom")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn serve_refuses_a_database_that_it_does_not_know() {
    let empty = servers::empty_database().await;
    let refused = run(&["serve"], &[("DATABASE_URL", &empty)]);
    assert!(!refused.status.success() && said(&refused).contains("darkroom migrate"), "{}", said(&refused));
    let migrated = run(&["migrate"], &[("DATABASE_URL", &empty)]);
    assert!(migrated.status.success(), "{}", said(&migrated));
    assert!(said(&run(&["migrate"], &[("DATABASE_URL", &empty)])).contains("up to date"));
    let mut db = PgConnection::connect(&empty).await.expect("a connection");
    let altered = "UPDATE refinery_schema_history SET checksum = (checksum::numeric + $1)::text";
    sqlx::query(altered).bind(1).execute(&mut db).await.expect("a schema of another build");
    for command in ["serve", "migrate"] {
        let refused = run(&[command], &[("DATABASE_URL", &empty)]);
        assert!(!refused.status.success() && said(&refused).contains("dropdb"), "{command}: {}", said(&refused));
    }
    sqlx::query(altered).bind(-1).execute(&mut db).await.expect("this build's");
    sqlx::query("UPDATE refinery_schema_history SET version = 999 WHERE version = (SELECT max(version) FROM refinery_schema_history)")
        .execute(&mut db)
        .await
        .expect("a newer schema");
    let refused = run(&["serve"], &[("DATABASE_URL", &empty)]);
    assert!(!refused.status.success() && said(&refused).contains("newer darkroom"), "{}", said(&refused));
}

#[tokio::test]
async fn the_first_administrator_is_made_beside_the_server() {
    let app = TestApp::new().await;
    let url = app.settings.database.database_url.0.clone();
    let environment = [("DATABASE_URL", url.as_str())];
    let made = run(&["user", "create", "admin", "--roles", "admin,investigator"], &environment);
    assert!(made.status.success(), "{}", said(&made));
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    let password = text.lines().nth(1).expect("a password");
    assert_eq!(
        app.log_in("admin", password).await.get("/auth/profile").await.ok(200)["roles"],
        json!(["admin", "investigator"])
    );
    let again = run(&["user", "create", "admin", "--roles", "admin"], &environment);
    assert!(!again.status.success() && said(&again).contains("reset-password"), "{}", said(&again));
    let reset = run(&["user", "reset-password", "admin"], &environment);
    let reset = String::from_utf8_lossy(&reset.stdout).lines().nth(1).expect("a password").to_owned();
    app.nobody()
        .form("/auth/login", &[("username", "admin"), ("password", password)])
        .await
        .problem(401, "wrong_password");
    app.log_in("admin", &reset).await;
}

#[tokio::test]
async fn setup_writes_secrets_once_and_the_server_takes_up_the_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path");
    let args = ["setup", "--folder", path, "--models", "face_detect,digits", "--datasets", "digits"];
    assert!(run(&args, &[]).status.success());
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    let (password, key) = (read("database/password"), read("key-face_detect/key"));
    assert!(!read("hashes/key-face_detect.json").contains(&key[16..]), "only the hash");
    assert!(said(&run(&args, &[])).contains("nothing was changed"));
    assert_eq!((read("database/password"), read("key-face_detect/key")), (password, key.clone()));
    for entry in walkdir::WalkDir::new(folder.path()).min_depth(1) {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its mode").permissions().mode() & 0o777;
        assert_eq!(mode, if entry.file_type().is_dir() { 0o700 } else { 0o600 }, "{}", entry.path().display());
    }
    let open = folder.path().join("key-other");
    std::fs::create_dir(&open).expect("a folder");
    std::fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("its mode");
    let refused = run(&["setup", "--folder", path, "--models", "other"], &[]);
    assert!(!refused.status.success() && said(&refused).contains("anybody may write"), "{}", said(&refused));
    let hashes = folder.path().join("hashes");
    let app = TestApp::with(|s| s.key_hashes = Some(hashes)).await;
    let service = Client::new(app.router.clone(), Some(key));
    Worker::register(service, "face_detect", "1").await;
    // A model and a dataset of one name have two keys.
    let keys = ["key-digits/key", "dataset-digits/key"].map(|file| Client::new(app.router.clone(), Some(read(file))));
    let [predicts, trains] = keys;
    Worker::register(predicts, "digits", "1").await;
    Trainer::with_key(trains, "digits", Value::Null).await;
}

#[test]
fn setup_gives_each_secret_to_who_reads_it() {
    if !process::is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path");
    let args = ["setup", "--folder", path, "--models", "ocr", "--owner", "10001", "--servers-owner", "999"];
    let owner = |name: &str| {
        let file = folder.path().join(name);
        let ids = [file.parent().expect("a folder"), &file].map(|path| path.metadata().expect(name).uid());
        assert_eq!(ids[0], ids[1], "{name} and its folder");
        ids[0]
    };
    for _ in 0..2 {
        assert!(run(&args, &[]).status.success(), "{}", said(&run(&args, &[])));
        let services =
            ["owner/password", "database/password", "audit/password", "redis/password", "token/key", "key-ocr/key"];
        assert_eq!(services.map(owner), [10001; 6]);
        assert_eq!(owner("hashes/key-ocr.json"), 10001);
        assert_eq!(["for-postgres/password", "for-redis/password"].map(owner), [999; 2]);
    }
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    assert_eq!(read("for-postgres/password"), read("owner/password"));
    assert_ne!(read("owner/password"), read("database/password"));
    assert_eq!(read("for-redis/password"), read("redis/password"));
    assert_ne!(read("redis/password"), read("database/password"));
}

#[test]
fn a_folder_that_is_not_ours_is_refused_with_all_that_lies_in_it() {
    let here = tempfile::tempdir().expect("a folder");
    let mut hasher = DefaultHasher::new();
    here.path().canonicalize().expect("a path").hash(&mut hasher);
    let base = if process::is_root() { PathBuf::from("/var/tmp") } else { std::env::temp_dir() };
    let data = base.join(format!("darkroom-{:016x}", hasher.finish()));
    // Its first word: one that is not refused says something else, and goes on.
    let refused = || {
        let mut child = Command::new(DARKROOM);
        child
            .arg("dev")
            .current_dir(here.path())
            .env_remove("DATABASE_URL")
            .env("DARKROOM_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = child.spawn().expect("darkroom");
        let first = BufReader::new(child.stderr.take().expect("what it says")).lines().next();
        let _ = child.kill();
        child.wait().expect("an end");
        first.expect("a line").expect("text")
    };
    std::os::unix::fs::symlink(here.path(), &data).expect("a link");
    assert!(refused().contains("is no folder"), "{}", refused());
    std::fs::remove_file(&data).expect("to remove the link");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::set_permissions(&data, Permissions::from_mode(0o777)).expect("its mode");
    assert!(refused().contains("anybody may write into"), "{}", refused());
    std::fs::set_permissions(&data, Permissions::from_mode(0o755)).expect("its mode");
    if process::is_root() {
        std::os::unix::fs::chown(&data, Some(12345), None).expect("another owner");
        assert!(refused().contains("another user's (id 12345)"), "{}", refused());
        std::os::unix::fs::chown(&data, Some(0), None).expect("our own");
    }
    dev::reachable_folder(&data).expect("a folder of ours");
    let mode = data.metadata().expect("its mode").permissions().mode() & 0o777;
    assert_eq!(mode, if process::is_root() { 0o710 } else { 0o700 });
    std::fs::remove_dir(&data).expect("to remove it");
}

#[tokio::test]
async fn doctor_finds_an_installation_well() {
    let app = TestApp::new().await;
    app.admin().await;
    let environment = [
        ("DATABASE_URL", app.settings.database.database_url.0.as_str()),
        ("REDIS_URL", app.settings.redis_url.0.as_str()),
        ("DARKROOM_DATA", app.settings.data.to_str().expect("a path")),
    ];
    let found = run(&["doctor"], &environment);
    assert!(found.status.success() && said(&found).contains("can only add to what the audit says"), "{}", said(&found));
}

#[tokio::test]
async fn doctor_waits_for_nobody_for_ever() {
    let app = TestApp::new().await;
    let url = app.settings.database.database_url.0.clone();
    let mut db = PgConnection::connect(&url).await.expect("a connection");
    let mut tx = db.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE account").execute(&mut *tx).await.expect("a lock");
    let data = app.settings.data.to_string_lossy().into_owned();
    let environment =
        [("DATABASE_URL", url.as_str()), ("REDIS_URL", &app.settings.redis_url.0), ("DARKROOM_DATA", &data)];
    let found = run(&["doctor"], &environment);
    tx.rollback().await.expect("an end");
    let said = said(&found);
    assert!(!found.status.success() && said.contains("WRONG PostgreSQL did not answer within 8 s"), "{said}");
    assert!(said.contains("ok    Redis answers") && said.contains("can be written"), "the others are judged: {said}");
}

#[tokio::test]
async fn the_log_says_when_postgresql_is_away_and_back_and_which_worker_is_lost() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let log = tempfile::NamedTempFile::new().expect("a file");
    let url = app.settings.database.database_url.0.clone();
    let name = url.rsplit('/').next().expect("a database").to_owned();
    let copy = log.reopen().expect("a log");
    let server = app.process_logging(&[], copy);
    let logged = async |words: &str| std::fs::read_to_string(log.path()).is_ok_and(|text| text.contains(words));
    // Nobody may connect, and whoever is connected is thrown out: away for this server, and for no other test.
    let mut db = PgConnection::connect(&servers::servers().postgres.url("postgres")).await.expect("a connection");
    let allow = |allowed: bool| AssertSqlSafe(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}"));
    sqlx::raw_sql(allow(false)).execute(&mut db).await.expect("a shut database");
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
    sqlx::query(cut).bind(&name).execute(&mut db).await.expect("no connections");
    until("a word that it is away", async || logged("PostgreSQL is away").await).await;
    sqlx::raw_sql(allow(true)).execute(&mut db).await.expect("an open database");
    until("a word that it is back", async || logged("PostgreSQL is back").await).await;
    let text = std::fs::read_to_string(log.path()).expect("a log");
    assert_eq!(text.matches("PostgreSQL is away").count(), 1, "once: {text}");
    let silent = async || {
        // Again and again: the first tick after an absence spares everybody.
        app.age_sessions(3600.0).await;
        logged(&worker.id).await
    };
    until("a word of the worker", silent).await;
    assert!(logged("a worker is lost").await);
    let form = [("username", "mallory"), ("password", "a guess")];
    let log_in = reqwest::Client::new().post(format!("{}/auth/login", server.base)).form(&form);
    assert_eq!(log_in.send().await.expect("an answer").status().as_u16(), 401);
    until("a word of the log-in", async || logged("a log-in was refused").await && logged("mallory").await).await;
}

#[tokio::test]
async fn doctor_judges_each_part_whatever_the_others_are_like() {
    let redis = servers::servers().redis.url();
    let home = tempfile::tempdir().expect("a folder");
    let doctor = |environment: &[(&str, &str)]| {
        let output = Command::new(DARKROOM)
            .arg("doctor")
            .env("REDIS_URL", &redis)
            .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")
            .envs(environment.iter().copied())
            .current_dir(home.path())
            .output()
            .expect("darkroom");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    };
    for (name, value, told) in [
        ("DARKROOM_LISTEN", "nonsense", "WRONG settings: DARKROOM_LISTEN"),
        ("DATABASE_URL", "nonsense", "WRONG settings: DATABASE_URL"),
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing", "WRONG PostgreSQL: "),
        ("DATABASE_PASSWORD_FILE", "/nowhere", "WRONG settings: cannot read /nowhere"),
        ("REDIS_URL", "nonsense", "WRONG settings: REDIS_URL"),
        ("DARKROOM_DATA", "/proc/nothing", "WRONG /proc/nothing: "),
    ] {
        let found = doctor(&[(name, value)]);
        let rest = [("REDIS_URL", "ok    Redis answers"), ("DARKROOM_DATA", "ok    data can be written")];
        assert!(found.contains(told), "{name}: {found}");
        assert!(rest.iter().all(|(part, fine)| *part == name || found.contains(fine)), "{name}: {found}");
    }
    assert!(std::fs::read_dir(home.path()).expect("the folder").next().is_none(), "doctor makes nothing");
}

/// A new database whose owner may make no roles, and a connection to it as who may.
async fn of_plain_owner() -> (String, PgConnection) {
    let url = servers::empty_database().await;
    let mut root = PgConnection::connect(&url).await.expect("a connection");
    let name = url.rsplit('/').next().expect("a database").to_owned();
    let statements = format!("CREATE ROLE plain_owner LOGIN; ALTER DATABASE {name} OWNER TO plain_owner");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut root).await.expect("a plain owner");
    (url, root)
}

#[tokio::test]
async fn an_owner_that_may_make_no_roles_is_told_what_helps() {
    let (url, mut root) = of_plain_owner().await;
    let of = |user: &str| url.replacen("postgres://darkroom@", &format!("postgres://{user}@"), 1);
    let (owner, application, auditor) = (of("plain_owner"), of("plain_application:it%27s"), of("plain_auditor"));
    let alone = run(&["migrate"], &[("DATABASE_URL", owner.as_str())]);
    assert!(alone.status.success(), "one role is enough: {}", said(&alone));
    let found = said(&run(&["doctor"], &[("DATABASE_URL", owner.as_str())]));
    assert!(found.contains("warn  the application owns its tables"), "{found}");

    let roles = [
        ("DATABASE_URL", application.as_str()),
        ("DARKROOM_OWNER_URL", owner.as_str()),
        ("DARKROOM_AUDIT_URL", auditor.as_str()),
    ];
    let migrated = run(&["migrate"], &roles);
    let told = String::from_utf8_lossy(&migrated.stdout).into_owned();
    assert!(!migrated.status.success() && said(&migrated).contains("plain_owner"), "{}", said(&migrated));
    assert!(told.contains("CREATE ROLE plain_application LOGIN PASSWORD '…';") && !told.contains("it's"), "{told}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(told)).execute(&mut root).await.expect("what was told");
    assert!(run(&["migrate"], &roles).status.success());
    let found = said(&run(&["doctor"], &roles));
    assert!(found.contains("ok    the application can only add to what the audit says"), "{found}");

    let audit = |sql: &str| run(&["psql", "--audit", "--", "-v", "ON_ERROR_STOP=1", "-c", sql], &roles);
    assert!(audit("SELECT count(*) FROM audit_events").status.success());
    for forbidden in
        ["SELECT * FROM account", "SET ROLE plain_owner", "RESET ROLE; DELETE FROM job_event", "CREATE TEMP TABLE t ()"]
    {
        assert!(!audit(forbidden).status.success(), "{forbidden}");
    }
    let without = run(&["psql", "--audit"], &[("DATABASE_URL", owner.as_str())]);
    assert!(!without.status.success() && said(&without).contains("DARKROOM_AUDIT_URL"), "{}", said(&without));
}

#[tokio::test]
async fn what_was_counted_is_written_down_when_the_server_stops() {
    let app = TestApp::new().await;
    let server = app.process(&[]);
    let guess = reqwest::Client::new().post(format!("{}/auth/login", server.base));
    let answer =
        guess.form(&[("username", "nobody"), ("password", "a wrong password")]).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 401);
    let key = app.key("predict", &["ocr"]).await.token.expect("a key");
    let used = reqwest::Client::new().get(format!("{}/auth/profile", server.base)).bearer_auth(key).send();
    assert_eq!(used.await.expect("an answer").status().as_u16(), 403);
    process::signal(&server.pid.to_string(), "TERM").expect("a signal");
    let told =
        "SELECT (coalesce(sum(count), 0) + (SELECT count(*) FROM api_key WHERE last_used_at IS NOT NULL))::bigint
                FROM audit_events WHERE code = 'log_in_failed'";
    until("what was counted", async || app.count(told).await == 2).await;
}

#[test]
fn a_server_says_why_it_cannot_reach_its_database() {
    let refused = run(&["serve"], &[("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")]);
    assert!(!refused.status.success() && said(&refused).contains("Connection refused"), "{}", said(&refused));
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let app = TestApp::new().await;
    app.admin().await;
    for command in ["doctor", "retention"] {
        let mut child = Command::new(DARKROOM)
            .arg(command)
            .env("DATABASE_URL", &app.settings.database.database_url.0)
            .env("REDIS_URL", &app.settings.redis_url.0)
            .env("DARKROOM_DATA", &app.settings.data)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("darkroom");
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("an end");
        assert!(ended.status.success() && !said(&ended).contains("panicked"), "{command}: {}", said(&ended));
    }
}

/// A file of this many bytes that begins as a photograph, in pieces, distinct for every salt.
fn large_photo(
    bytes: usize,
    salt: u64,
) -> impl futures_util::Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + 'static {
    const PIECE: usize = 256 * 1024;
    let head = png(4000, 3000, salt);
    let rest = bytes - head.len();
    let pieces = (0..rest.div_ceil(PIECE)).map(move |n| Ok(vec![n as u8; PIECE.min(rest - n * PIECE)]));
    futures_util::stream::iter(std::iter::once(Ok(head)).chain(pieces))
}

/// Uploads files of this size in one request, and answers the status.
async fn upload(base: String, token: String, files: usize, bytes: usize, salt: u64) -> u16 {
    let mut form = reqwest::multipart::Form::new().text("models", "ocr");
    for n in 0..files {
        let body = reqwest::Body::wrap_stream(large_photo(bytes, salt + n as u64));
        form = form.part("images", reqwest::multipart::Part::stream(body).file_name("large.png"));
    }
    let request = reqwest::Client::new().post(format!("{base}/predict")).bearer_auth(token).multipart(form);
    request.send().await.expect("an answer").status().as_u16()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_streams_through_in_little_memory() {
    const MIB: usize = 1024 * 1024;
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let token = app.investigator("ines").await.token.expect("a token");
    let server = app.process(&[]);
    assert_eq!(upload(server.base.clone(), token.clone(), 1, MIB, 1).await, 202);
    let (_, before) = server.resident().expect("Linux");
    assert_eq!(upload(server.base.clone(), token.clone(), 16, 64 * MIB, 100).await, 202);
    let together = (0..8).map(|n| upload(server.base.clone(), token.clone(), 2, 64 * MIB, 1000 + n * 10));
    let statuses: Vec<u16> = futures_util::stream::iter(together).buffer_unordered(8).collect().await;
    assert_eq!(statuses, [202; 8]);
    let (peak, _) = server.resident().expect("Linux");
    let grown = peak.saturating_sub(before) / MIB as u64;
    assert!(grown < 64, "resident memory grew by {grown} MiB");
    let whole: Vec<Vec<u8>> = large_photo(64 * MIB, 100).map(|piece| piece.expect("a piece")).collect().await;
    let md5 = hex::encode(Md5::digest(whole.concat()));
    let known: i64 = sqlx::query_scalar("SELECT count(*) FROM image WHERE encode(md5, 'hex') = $1")
        .bind(md5)
        .fetch_one(app.ctx.db.pool())
        .await
        .expect("a count");
    assert_eq!(known, 1, "the bytes that were sent are the bytes that are kept");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn small_json_does_not_grow_in_memory() {
    const MIB: usize = 1024 * 1024;
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let (key, token) = (worker.key.token.expect("a key"), app.investigator("ines").await.token.expect("a token"));
    let server = app.process(&[]);
    let send = async |path: &str, credential: &str, body: String| {
        let request = reqwest::Client::new().post(format!("{}{path}", server.base)).bearer_auth(credential);
        let request = request.header("content-type", "application/json").body(body);
        request.send().await.expect("an answer").status().as_u16()
    };
    let list =
        |item: &str, bytes: usize| format!("[{}{item}]", format!("{item},").repeat(bytes / (item.len() + 1) - 1));
    let completing = |items: String| format!("{{\"worker\":\"{}\",\"items\":{items}}}", worker.id);
    let item = format!("{{\"id\":\"{}\",\"lease_no\":1,\"outcome\":\"succeeded\",\"result\":", Uuid::new_v4());
    let many_keys: Vec<String> = (0..MIB).map(|n| format!("\"{n:08x}\":[]")).collect();
    assert_eq!(send("/predict/status", &token, "{\"images\":[]}".to_owned()).await, 200);
    let (_, before) = server.resident().expect("Linux");
    for (body, status) in [
        (list("{\"\":0}", 15 * MIB), 422),
        (completing(list("{\"\":0}", 15 * MIB)), 422),
        (completing(format!("[{item}{}}}]", list("{\"\":0}", 15 * MIB))), 200),
        (completing(list(&format!("{item}0}}"), 15 * MIB)), 422),
        (completing(format!("[{{{}}}]", many_keys.join(","))), 422),
    ] {
        assert_eq!(send("/jobs/complete", &key, body).await, status);
    }
    for (images, status) in [("{\"\":0}", 422), ("\"\"", 422), ("[]", 422)] {
        let body = format!("{{\"images\":{}}}", list(images, 2 * MIB - 100));
        assert_eq!(send("/predict/status", &token, body).await, status);
    }
    let (peak, _) = server.resident().expect("Linux");
    let grown = peak.saturating_sub(before) / MIB as u64;
    assert!(grown < 64, "resident memory grew by {grown} MiB");
}

/// Where `make test` reads how the collection was run.
const POSTMAN_RUN: &str = "target/postman.txt";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newman_runs_the_collection_where_node_is_at_hand() {
    let tell = |text: String| {
        std::fs::create_dir_all("target").expect("target");
        std::fs::write(POSTMAN_RUN, text).expect("a note");
    };
    let (list, folder) = (Path::new("tests/newman"), Path::new("target/newman"));
    let mut install = Command::new("npm");
    install.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder);
    let program = folder.join("node_modules/.bin/newman");
    let same = |name: &str| {
        let texts = [list, folder].map(|folder| std::fs::read(folder.join(name)).ok());
        texts[0] == texts[1]
    };
    let at_hand = program.exists() && same("package-lock.json") || {
        std::fs::create_dir_all(folder).expect("a folder");
        for name in ["package.json", "package-lock.json"] {
            std::fs::copy(list.join(name), folder.join(name)).expect("the list of packages");
        }
        install.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    if !at_hand {
        return tell("Postman: no Node at hand; a Rust test sent the collection's requests in order.\n".to_owned());
    }
    let app = TestApp::new().await;
    app.user("demo-investigator", &[Role::Investigator]).await;
    app.user("demo-admin", Role::ALL).await;
    let server = app.process(&[]);
    let base = format!("base={}", server.base);
    let (investigator, admin) = (format!("investigator_password={PASSWORD}"), format!("admin_password={PASSWORD}"));
    let ran = Command::new(&program)
        .args(["run", "postman/darkroom.postman_collection.json", "-e", "postman/darkroom.postman_environment.json"])
        .args([
            "--color",
            "off",
            "--working-dir",
            ".",
            "--env-var",
            &base,
            "--env-var",
            &investigator,
            "--env-var",
            &admin,
        ])
        .stdin(Stdio::null())
        .output()
        .expect("newman");
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{text}");
    let summary: Vec<&str> =
        text.lines().filter(|line| line.contains("requests") || line.contains("assertions")).collect();
    tell(format!("Postman: newman ran the collection green: {}\n", summary.join(" ").replace("  ", " ")));
}
