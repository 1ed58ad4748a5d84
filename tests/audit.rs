//! What an auditor finds in SQL.

use axum::body::Body;
use axum::http::{Method, Request};
use darkroom::domain::account::Role;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Column, Connection, Executor, PgConnection, Row, TypeInfo};

use crate::kit::app::{PASSWORD, TestApp, Worker};
use crate::kit::images::{md5_of, photo};
use crate::kit::servers;

fn page() -> String {
    std::fs::read_to_string("docs/audit.md").expect("docs/audit.md")
}

/// The page's queries, in their order.
fn queries() -> Vec<String> {
    page().split("```sql\n").skip(1).filter_map(|part| part.split("```").next()).map(str::to_owned).collect()
}

/// A history with a known outcome: two successes, one rejection, one cancellation, one job that waits.
async fn seeded() -> TestApp {
    let app = TestApp::new().await;
    let admin = app.admin().await;
    admin.post("/auth/users", json!({"name": "ines", "password": PASSWORD, "roles": ["investigator"]})).await.ok(201);
    let ines = app.log_in("ines", PASSWORD).await;
    let rosa = app.user("rosa", &[Role::Researcher]).await;
    let idle = rosa.post("/auth/key", json!({"service": "train", "models": ["*"]})).await.ok(201);
    rosa.delete(&format!("/auth/key/{}", idle["id"].as_str().expect("an id"))).await.ok(204);
    let worker = Worker::register(app.key_of(&rosa, "predict", &["ocr"]).await, "ocr", "v1").await;
    app.sweep().await;
    for n in 1..=5 {
        ines.submit(&[("a.png", photo(n))], &["ocr"]).await;
    }
    let jobs = worker.claim(3).await;
    let boxed = json!({"type": "box", "box": [0, 0, 1, 1], "label": "person", "score": 0.9});
    let seen = json!({"items": [boxed, {"type": "label", "label": "person", "score": 0.2}], "fields": {"faces": 3}});
    worker.complete(&jobs[0], json!({"outcome": "succeeded", "result": seen})).await;
    worker.succeed(&jobs[1]).await;
    worker.complete(&jobs[2], json!({"outcome": "rejected", "error": {"type": "ValueError"}})).await;
    let queued = ines.get("/jobs?state=queued").await.ok(200)["items"][0]["id"].as_str().expect("an id").to_owned();
    ines.post(&format!("/jobs/{queued}/cancel"), Value::Null).await.ok(200);
    admin.patch("/models/ocr", json!({"paused": true})).await.ok(200);
    for _ in 0..2 {
        assert_eq!(ines.get(&format!("/images/{}/content", md5_of(&photo(1)))).await.status, 200);
    }
    app.ctx.acts.write().await.expect("a tick");
    app.write_down_items().await;
    app
}

async fn auditor(app: &TestApp) -> PgConnection {
    PgConnection::connect(&servers::as_auditor(&app.settings.database.database_url.0)).await.expect("a connection")
}

/// Runs a query as an auditor, and answers its rows as text.
async fn ask(app: &TestApp, sql: &str) -> Vec<Vec<Option<String>>> {
    let mut db = auditor(app).await;
    db.execute("SET default_transaction_read_only = on").await.expect("read-only");
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut db).await.expect("the query");
    let text = |row: &sqlx::postgres::PgRow, n: usize| match row.column(n).type_info().name() {
        "INT4" => row.get::<Option<i32>, _>(n).map(|v| v.to_string()),
        "INT8" => row.get::<Option<i64>, _>(n).map(|v| v.to_string()),
        "INT2" => row.get::<Option<i16>, _>(n).map(|v| v.to_string()),
        "FLOAT8" => row.get::<Option<f64>, _>(n).map(|v| v.to_string()),
        "BOOL" => row.get::<Option<bool>, _>(n).map(|v| v.to_string()),
        "UUID" => row.get::<Option<uuid::Uuid>, _>(n).map(|v| v.to_string()),
        "TIMESTAMPTZ" => row.get::<Option<chrono::DateTime<chrono::Utc>>, _>(n).map(|_| "a time".to_owned()),
        "TEXT[]" => row.get::<Option<Vec<String>>, _>(n).map(|v| v.join(",")),
        _ => row.get::<Option<String>, _>(n),
    };
    rows.iter().map(|row| (0..row.len()).map(|n| text(row, n)).collect()).collect()
}

fn column(rows: &[Vec<Option<String>>], n: usize) -> Vec<&str> {
    rows.iter().map(|row| row[n].as_deref().unwrap_or("-")).collect()
}

#[tokio::test]
async fn the_pages_five_queries_answer_a_known_history() {
    let app = seeded().await;
    let queries = queries();
    assert_eq!(queries.len(), 10);
    let ends = ask(&app, &queries[0]).await;
    assert_eq!(column(&ends, 1), ["cancelled", "failed", "queued", "succeeded"]);
    assert_eq!(column(&ends, 2), ["-", "rejected", "-", "-"]);
    assert_eq!(column(&ends, 3), ["1", "1", "1", "2"]);
    let failed = ask(&app, &queries[1]).await;
    assert_eq!((column(&failed, 1), column(&failed, 3)), (vec![md5_of(&photo(3)).as_str()], vec!["rejected"]));
    let steps = ask(&app, &queries[2]).await;
    assert_eq!(column(&steps, 2), ["created", "claimed", "succeeded"]);
    assert_eq!(column(&steps, 7), ["ines", "-", "-"]);
    assert!(steps[1][6].is_some() && steps[1][5].is_some(), "the key and worker that claimed it are named");
    let keys = ask(&app, &queries[3]).await;
    assert_eq!((column(&keys, 1), column(&keys, 4), column(&keys, 6)), (vec!["rosa"], vec!["1"], vec!["false"]));
    let acts = ask(&app, &queries[4]).await;
    assert_eq!(
        column(&acts, 2),
        ["user_created", "user_created", "user_created", "key_created", "key_disabled", "key_created", "model_changed"]
    );
    assert_eq!(column(&acts, 1), ["-", "root", "-", "rosa", "rosa", "rosa", "root"]);
    assert_eq!(acts[6][6].as_deref(), Some("paused"));
    let seen = ask(&app, &queries[5]).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (column(&seen, 0), column(&seen, 1), column(&seen, 2)),
        (vec!["ines"], vec![md5_of(&photo(1)).as_str()], vec!["2"])
    );
    for (query, said) in [(&queries[6], "0.9"), (&queries[7], "3")] {
        let found = ask(&app, query).await;
        assert_eq!((column(&found, 0), column(&found, 3)), (vec![md5_of(&photo(1)).as_str()], vec![said]));
    }
    // Everybody has a case of their own.
    let members = ask(&app, &queries[8]).await;
    assert_eq!((column(&members, 1), column(&members, 2)), (vec!["ines", "root", "rosa"], vec!["owner"; 3]));
    assert!(ask(&app, &queries[9]).await.is_empty());
}

#[tokio::test]
async fn log_ins_and_views_are_told_in_sums_with_names() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1)), ("b.png", photo(2))], &["ocr"]).await;
    let content = |n: u64| format!("/images/{}/content", md5_of(&photo(n)));
    for n in [1, 1, 2, 1] {
        assert_eq!(ines.get(&content(n)).await.status, 200);
    }
    // Neither a microservice, nor who is sent nothing, views.
    let etag = ines.call(Method::HEAD, &content(1), None).await.headers["etag"].clone();
    let again = Request::get(content(1)).header("if-none-match", etag).body(Body::empty()).expect("a request");
    assert_eq!(ines.send(again).await.status, 304);
    assert_eq!(worker.claim(2).await.len(), 2);
    assert_eq!(worker.key.get(&content(1)).await.status, 200);
    app.investigator("otto").await.get(&content(1)).await.problem(404, "not_found");
    for (name, times) in [("ines", 3), ("nobody-of-that-name", 2)] {
        for _ in 0..times {
            let answer =
                app.nobody().form("/auth/login", &[("username", name), ("password", "a wrong password")]).await;
            answer.problem(401, "wrong_password");
        }
    }
    let rows = "SELECT account, subject, count FROM audit_events WHERE code IN ('image_viewed', 'log_in_failed') ORDER BY 1, 2, 3";
    assert!(ask(&app, rows).await.is_empty(), "no request writes a row");
    app.ctx.acts.write().await.expect("a tick");
    app.ctx.acts.write().await.expect("a tick with nothing to tell");
    let (one, two) = (md5_of(&photo(1)), md5_of(&photo(2)));
    let mut told = [
        [Some("ines"), Some(one.as_str()), Some("3")],
        [Some("ines"), Some(two.as_str()), Some("1")],
        [None, Some("ines"), Some("3")],
        [None, None, Some("2")],
    ];
    told[..2].sort();
    assert_eq!(
        ask(&app, rows).await,
        told.iter().map(|row| row.map(|c| c.map(str::to_owned)).to_vec()).collect::<Vec<_>>()
    );
    let backwards = "SELECT count(*) FROM audit_events WHERE since > at OR (count IS NULL) <> (since IS NULL)";
    assert_eq!(app.count(backwards).await, 0);
    let log_ins =
        "SELECT count(*) FROM audit_events WHERE code = 'user_logged_in' AND account = 'ines' AND subject = 'ines'";
    assert_eq!(app.count(log_ins).await, 1);
}

#[tokio::test]
async fn what_cannot_be_written_down_now_is_told_later() {
    let app = TestApp::new().await;
    app.alter("ALTER TABLE job_event RENAME TO elsewhere").await;
    app.ctx.acts.log_in_failed(None).await.expect("counted");
    app.ctx.acts.write().await.expect_err("a tick that cannot write");
    app.ctx.acts.log_in_failed(None).await.expect("counted");
    app.alter("ALTER TABLE elsewhere RENAME TO job_event").await;
    app.ctx.acts.write().await.expect("a tick");
    assert_eq!(app.count("SELECT count::bigint FROM audit_events WHERE code = 'log_in_failed'").await, 2);
}

/// The names in the first column of the first table under a heading.
fn listed(page: &str, heading: &str) -> Vec<String> {
    let section = page.split(&format!("### `{heading}`\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let rows =
        section.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| row.split('`').nth(1)).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_page_lists_every_column_of_the_views() {
    let app = TestApp::new().await;
    for view in [
        "audit_jobs",
        "audit_events",
        "audit_items",
        "audit_fields",
        "audit_runs",
        "audit_cases",
        "audit_members",
        "audit_keys",
    ] {
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT column_name::text FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position",
        )
        .bind(view)
        .fetch_all(&app.outside)
        .await
        .expect("columns");
        assert_eq!(listed(&page(), view), columns, "docs/audit.md, {view}");
    }
}

#[tokio::test]
async fn events_hold_ids_codes_and_numbers_only() {
    let app = seeded().await;
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT job_event::text FROM job_event").fetch_all(&app.outside).await.expect("events");
    for n in 1..=5 {
        assert!(
            !rows
                .iter()
                .any(|(row,)| row.contains(&md5_of(&photo(n))) || row.contains("a.png") || row.contains("ValueError"))
        );
    }
    let unordered = "SELECT count(*) FROM audit_events a JOIN audit_events b ON a.job_id = b.job_id AND a.id < b.id AND a.at > b.at";
    assert_eq!(app.count(unordered).await, 0, "a job's events are in the order of their ids");
    assert_eq!(app.count("SELECT count(*) FROM job_event WHERE code = 'worker_registered'").await, 1);
}

#[tokio::test]
async fn partitions_are_made_once_and_take_what_is_new() {
    let app = seeded().await;
    darkroom::maintenance::make_partitions(&app.ctx).await.expect("a tick");
    assert_eq!(app.count("SELECT count(*) FROM job_event_default").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM job_archive_default").await, 0);
    // A month without a partition: rows fall into DEFAULT, and are moved out when it is made.
    let mut db = app.outside.acquire().await.expect("a connection");
    let month: String = sqlx::query_scalar("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMM')")
        .fetch_one(&mut *db)
        .await
        .expect("a month");
    for table in ["job_event", "job_archive"] {
        let sql = format!(
            "ALTER TABLE {table} DETACH PARTITION {table}_{month}; INSERT INTO {table} SELECT * FROM {table}_{month}; DROP TABLE {table}_{month}"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *db).await.expect("a month lost");
    }
    assert!(app.count("SELECT count(*) FROM job_event_default").await > 0);
    darkroom::maintenance::make_partitions(&app.ctx).await.expect("a tick");
    assert_eq!(app.count("SELECT count(*) FROM job_event_default").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM job_archive").await, 4);
}
