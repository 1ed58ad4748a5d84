//! Who can write Redis, or holds one of the database's passwords, gains no more than that.

use std::str::FromStr;
use std::sync::Arc;

use darkroom::index::keys;
use darkroom::service::announce;
use darkroom::store::migrate;
use darkroom::store::rights::{Login, Logins};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use uuid::Uuid;

use crate::kit::app::{TestApp, until};
use crate::kit::client::Client;
use crate::kit::images::{md5_of, photo};
use crate::kit::servers;
use crate::lookup::Mirror;

fn path(n: u64) -> String {
    format!("/predict/{}", md5_of(&photo(n)))
}

/// Two images of Ines's that have ended, and are mirrored whole.
async fn mirrored() -> (TestApp, Client, [Mirror; 2]) {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    for n in [1, 2] {
        ines.submit(&[("a.png", photo(n))], &["ocr"]).await;
        worker.succeed(&worker.claim(1).await[0]).await;
        assert_eq!(ines.get(&path(n)).await.ok(200)["status"], "succeeded");
    }
    let mirrors = [Mirror::of(&app).await, Mirror::of_image(&app, &md5_of(&photo(2))).await];
    assert_eq!(darkroom::maintenance::count_forged(&app.ctx), 0);
    (app, ines, mirrors)
}

#[tokio::test]
async fn who_writes_redis_grants_itself_no_image() {
    let (app, _, [one, two]) = mirrored().await;
    let otto = app.investigator("otto").await;
    let of_ines = one.field("c:").await.expect("her case");
    let made = otto.submit(&[("b.png", photo(2))], &["ocr"]).await;
    otto.get(&path(2)).await.ok(200);
    let of_other_image = two.field("c:").await.expect("his case, which holds the other");
    // Both are named, in the order in which they came to be: his case without its dashes.
    let own = made["case"].as_str().expect("a case").replace('-', "");
    assert!(of_other_image.contains(&own), "{of_other_image}");
    // Those of another image, his beside hers under her seal, and whatever comes to mind.
    let forged =
        [of_other_image, format!("{of_ines} {own}"), own.clone(), String::new(), format!("{} {own}", "0".repeat(32))];
    for granted in forged {
        one.put_field("c:", &granted).await;
        otto.get(&path(1)).await.problem(404, "not_found");
        let asked = json!({"images": [md5_of(&photo(1))]});
        assert_eq!(otto.post("/predict/status", asked).await.ok(200)["items"][0]["status"], Value::Null, "{granted:?}");
        assert!(darkroom::maintenance::count_forged(&app.ctx) > 0, "{granted:?}");
    }
}

#[tokio::test]
async fn who_writes_redis_forges_no_result() {
    let (app, ines, [one, two]) = mirrored().await;
    let truth = ines.get(&path(1)).await.ok(200);
    let both = async || {
        let status =
            ines.post("/predict/status", json!({"images": [md5_of(&photo(1))], "results": true})).await.ok(200);
        [ines.get(&path(1)).await.ok(200)["results"].clone(), status["items"][0]["results"].clone()]
    };
    let (answer, status) = (one.field("a:").await.expect("an answer"), one.field("s:").await.expect("a status"));
    for (field, own, other_field) in [("a:", &answer, &status), ("s:", &status, &answer)] {
        let of_other_image = two.field(field).await.expect("a value");
        let (seal, value) = own.split_once(' ').expect("a seal");
        let altered = value.replace("\"ok\": true", "\"ok\": false");
        assert_ne!(altered, value);
        let left_out = r#"{"jobs":{},"results":{}}"#;
        let forged = [
            altered.clone(),
            format!("{seal} {altered}"),
            format!("{seal} {left_out}"),
            of_other_image,
            other_field.clone(),
        ];
        for forged in forged {
            until("the truth to be mirrored", async || one.field("s:").await.as_ref() == Some(&status)).await;
            one.put_field(field, &forged).await;
            assert_eq!(both().await, [truth["results"].clone(), truth["results"].clone()], "{field} {forged}");
            assert!(darkroom::maintenance::count_forged(&app.ctx) > 0, "{field} {forged}");
        }
    }
}

#[tokio::test]
async fn what_was_sealed_in_another_epoch_is_a_miss() {
    let (app, ines, [one, _]) = mirrored().await;
    let (answer, status) = (one.field("a:").await.expect("an answer"), one.field("s:").await.expect("a status"));
    // As at another Redis: a new epoch, under which the old values are put again.
    app.alter("UPDATE setting SET value = split_part(value, ' ', 1) || ' another' WHERE name = 'redis_epoch'").await;
    app.ctx.index.disconnect();
    darkroom::maintenance::reconnect(&app.ctx).await.expect("redis");
    let later = Mirror::of(&app).await;
    later.put_field("a:", &answer).await;
    later.put_field("s:", &status).await;
    assert_eq!(ines.get(&path(1)).await.ok(200)["done"], true);
    assert!(darkroom::maintenance::count_forged(&app.ctx) > 0);
    assert_ne!(later.field("s:").await, Some(status), "it was read from PostgreSQL, and mirrored anew");
}

#[tokio::test]
async fn forged_hints_and_wake_ups_hand_out_nothing_wrong() {
    let app = TestApp::new().await;
    let (ocr, face) = (app.worker("ocr").await, app.worker("face").await);
    let ines = app.investigator("ines").await;
    let submitted = ines.submit(&[("a.png", photo(1))], &["face"]).await;
    let of_face: Uuid = submitted["images"][0]["jobs"][0]["id"].as_str().expect("an id").parse().expect("a UUID");
    let redis = redis::Client::open(app.settings.redis_url.0.as_str()).expect("a client");
    let mut redis = redis.get_multiplexed_async_connection().await.expect("a connection");
    let listening = tokio::spawn({
        let ctx = Arc::clone(&app.ctx);
        async move { announce::listen(&ctx).await }
    });
    until("it to listen", async || app.ctx.index.listeners().await == Some(1)).await;
    let mut put = redis::cmd("ZADD");
    put.arg(keys::queue(&app.settings.namespace, "ocr"));
    for hint in [of_face.as_bytes().as_slice(), Uuid::new_v4().as_bytes(), b"no id at all", b""] {
        put.arg(i64::MIN).arg(hint);
    }
    put.query_async::<()>(&mut redis).await.expect("hints");
    for news in ["x model ocr 99999999999999999999", "x model", "x image zz", "x suspect nothing", "", "\u{0}"] {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(keys::wake(&app.settings.namespace)).arg(news);
        publish.query_async::<()>(&mut redis).await.expect("news");
    }
    assert!(ocr.claim(8).await.is_empty(), "the job of another model");
    assert_eq!(face.claim(8).await.len(), 1, "its own");
    ines.submit(&[("a.png", photo(2))], &["ocr"]).await;
    assert_eq!(ocr.claim(8).await.len(), 1);
    assert!(!listening.is_finished(), "no word ends the listening");
}

/// Runs each statement, and expects that the role may not.
async fn refused(url: &str, statements: &[String]) {
    let mut db = PgConnection::connect(url).await.expect("a connection");
    for statement in statements {
        let error = db.execute(AssertSqlSafe(statement.clone())).await.expect_err(statement);
        let code = error.as_database_error().and_then(|e| e.code()).map(|code| code.into_owned());
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
    }
}

fn owned<const N: usize>(statements: [&str; N]) -> Vec<String> {
    statements.map(str::to_owned).to_vec()
}

/// The names of what the schema has of a kind, without partitions of months.
async fn relations(app: &TestApp, kinds: &str) -> Vec<String> {
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind::text = ANY(string_to_array($1, NULL))
               AND relname !~ '_[0-9]{6}$' ORDER BY 1";
    sqlx::query_scalar(sql).bind(kinds).fetch_all(&app.outside).await.expect("relations")
}

#[tokio::test]
async fn the_application_can_only_add_to_what_has_been() {
    let app = TestApp::new().await;
    app.admin().await;
    let url = &app.settings.database.database_url.0;
    let month = "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMM')";
    refused(
        url,
        &owned([
            "UPDATE job_event SET code = 'nothing'",
            "DELETE FROM job_event",
            "TRUNCATE job_event",
            "DELETE FROM job_event_default",
            "DROP TABLE job_event",
            "ALTER TABLE job_event RENAME TO gone",
            "UPDATE job_archive SET state = 'failed'",
            "DELETE FROM job_archive",
            "SET ROLE test_owner",
            "SET ROLE darkroom",
            "CREATE TABLE mine ()",
            "CREATE ROLE mine",
            "SELECT make_partition('job_event', '2001-01-01', 'at', '2001-01-01', '2001-02-01')",
        ]),
    )
    .await;
    // What removes history for it judges by itself what is old, and writes down what it removed.
    let mut db = PgConnection::connect(url).await.expect("a connection");
    for (parent, name) in [("'job_event'", format!("'job_event_' || {month}")), ("'account'", "'account'".to_owned())] {
        let sql = format!("SELECT drop_partition({parent}, {name}, '-100 years')");
        let dropped: bool = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut db).await.expect("an answer");
        assert!(!dropped, "{name}");
    }
    app.alter("INSERT INTO job_event (at, code) VALUES (clock_timestamp() - interval '23 h' + interval '1 year', 'of no month')").await;
    let removed: i64 =
        sqlx::query_scalar("SELECT remove_stray_events('-100 years', 1000)").fetch_one(&mut db).await.expect("a count");
    assert_eq!(removed, 0);
}

#[tokio::test]
async fn the_application_may_read_every_table() {
    let app = TestApp::new().await;
    let mut db = PgConnection::connect(&app.settings.database.database_url.0).await.expect("a connection");
    for table in relations(&app, "rp").await {
        let may = sqlx::query_scalar::<_, bool>("SELECT has_table_privilege($1, 'SELECT')")
            .bind(&table)
            .fetch_one(&mut db)
            .await;
        assert!(may.expect("an answer"), "{table} is not in store/sql/rights/grants.sql");
    }
}

#[tokio::test]
async fn an_auditor_reads_the_views_and_nothing_else() {
    let app = TestApp::new().await;
    app.admin().await;
    let url = servers::as_auditor(&app.settings.database.database_url.0);
    let views = relations(&app, "v").await;
    assert_eq!(
        views,
        [
            "audit_cases",
            "audit_derived",
            "audit_events",
            "audit_fields",
            "audit_items",
            "audit_jobs",
            "audit_keys",
            "audit_members",
            "audit_runs"
        ]
    );
    let mut db = PgConnection::connect(&url).await.expect("a connection");
    for view in &views {
        let rows = format!("SELECT * FROM {view}");
        db.execute(AssertSqlSafe(rows)).await.expect("a view");
    }
    let tables = relations(&app, "rpS").await;
    let mut statements: Vec<String> = tables.iter().map(|table| format!("SELECT * FROM {table}")).collect();
    for relation in tables.iter().chain(&views) {
        statements.extend(["DELETE FROM", "TRUNCATE", "INSERT INTO"].map(|verb| match verb {
            "INSERT INTO" => format!("{verb} {relation} DEFAULT VALUES"),
            _ => format!("{verb} {relation}"),
        }));
    }
    statements.extend(owned([
        "SET ROLE test_owner",
        "SET ROLE test_application",
        "SET ROLE darkroom",
        "CREATE TABLE mine ()",
        "SELECT make_partitions(1)",
        "SELECT drop_partition('job_event', 'job_event_202001', '1 day')",
        "SELECT remove_stray_events('1 day', 1)",
        "SELECT pg_read_file('/etc/passwd')",
    ]));
    // A view over several tables, a sequence, takes no rows from anybody, whoever asks.
    statements.retain(|s| {
        !(views.iter().any(|view| s.ends_with(view) || s.contains(&format!("{view} DEFAULT")))
            || s.contains("_seq") && !s.starts_with("SELECT"))
    });
    refused(&url, &statements).await;
}

#[tokio::test]
async fn a_role_that_another_database_makes_at_the_same_moment_is_taken_for_ones_own() {
    let (url, other) = (servers::empty_database().await, servers::empty_database().await);
    let options = PgConnectOptions::from_str(&url).expect("a URL");
    migrate::migrate(&options).await.expect("a schema");
    let mut rival = PgConnection::connect(&other).await.expect("a connection");
    let mut tx = rival.begin().await.expect("a transaction");
    tx.execute("CREATE ROLE \"An \"\"application\"\"\" LOGIN").await.expect("a role");
    let login = |name: &str| Some(Login { name: name.to_owned(), password: Some("it's \\ \"secret\"".to_owned()) });
    let logins = Logins { application: login("An \"application\""), auditor: login("an auditor's") };
    let settling = tokio::spawn({
        let options = options.clone();
        async move { migrate::settle_rights(&options, &logins).await }
    });
    let looking = PgPool::connect_lazy(&url).expect("a URL");
    let blocked =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
    until("it to wait for the other", async || {
        sqlx::query_scalar(blocked).fetch_one(&looking).await.expect("an answer")
    })
    .await;
    tx.commit().await.expect("a commit");
    assert_eq!(settling.await.expect("an end").expect("rights"), Vec::<String>::new());
}
