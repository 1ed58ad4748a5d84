//! The statements of `src/store/sql` against the real schema: all of them are understood, and those that every job pays
//! for find their rows by key, however empty or full the tables are.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row, SqlSafeStr};

use crate::kit::app::TestApp;

/// What every submission, claim and completion runs.
const HOT: [&str; 14] = [
    "submit/attach",
    "submit/cached",
    "submit/insert",
    "submit/insert_or_attach",
    "work/claim",
    "work/claim_ranked",
    "work/succeed",
    "work/settled",
    "work/hold_leases",
    "work/hold_jobs",
    "work/end",
    "work/requeue",
    "workers/touch",
    "workers/beat",
];
/// Whose rows are found by key alone.
const KEYED: [&str; 6] = ["job", "outcome", "item", "job_archive", "worker_session", "claim"];

/// Sixty thousand jobs, two thousand of them running, and as many that have ended.
const MUCH: &str = "
  INSERT INTO account (name, password_hash, roles) VALUES ('much', '-', '{}');
  INSERT INTO api_key (id, secret_sha256, service, models, trusted) VALUES ('muchmuchmuch', decode(repeat('00', 32), 'hex'), 'predict', '{*}', true);
  INSERT INTO queue (name, last_version) SELECT 'm' || n, 'v1' FROM generate_series(1, 20) AS n;
  INSERT INTO model_version (queue_id, name) SELECT id, 'v1' FROM queue;
  INSERT INTO params (hash, body) VALUES (decode(repeat('00', 32), 'hex'), '{}');
  INSERT INTO worker_session (key_id, queue_id, version_id, instance, batch_max, alive_until, ended_at, end_reason)
    SELECT 'muchmuchmuch', 1 + n % 20, 1 + n % 20, gen_random_uuid(), 8, clock_timestamp() + interval '1 h',
           CASE WHEN n > 1000 THEN clock_timestamp() END, CASE WHEN n > 1000 THEN 'left' END
    FROM generate_series(1, 5000) AS n;
  INSERT INTO job (id, image_id, params_id, run_at, finish_by, queue_id, due, submission_id, account_id)
    SELECT uuid_v7(), n, 1, clock_timestamp(), clock_timestamp() + interval '30 d', 1 + n % 20, n % 50 > 0, gen_random_uuid(), gen_random_uuid()
    FROM generate_series(1, 60000) AS n;
  WITH taken AS (
    UPDATE job SET state = 'running', lease_no = 1, attempt = 1, started_at = clock_timestamp(), claim_id = id,
                   session_id = (SELECT id FROM worker_session ORDER BY id LIMIT 1)
    WHERE due AND image_id <= 2000 RETURNING id, session_id, claim_id, queue_id
  )
  INSERT INTO claim (session_id, claim_id, queue_id, at, deadline_at, open, jobs)
    SELECT session_id, claim_id, queue_id, clock_timestamp(), clock_timestamp() + interval '1 h', 1, ARRAY[id] FROM taken;
  INSERT INTO job_archive (id, image_id, params_id, run_at, finish_by, finished_at, queue_id, lease_no, version, version_id, state, priority,
                           attempt, deaths, submission_id, account_id)
    SELECT uuid_v7(), n, 1, clock_timestamp(), clock_timestamp(), clock_timestamp(), 1 + n % 20, 1, 3, 1 + n % 20, 'succeeded', 0, 1, 0,
           gen_random_uuid(), gen_random_uuid()
    FROM generate_series(60001, 120000) AS n;
  INSERT INTO outcome (image_id, params_id, finished_at, queue_id, version_id, job_version, state, attempt, job_id, document)
    SELECT image_id, params_id, finished_at, queue_id, version_id, version, state, attempt, id, '{}' FROM job_archive;
  INSERT INTO item (image_id, params_id, queue_id, version_id, kind, place, label, value)
    SELECT image_id, params_id, queue_id, version_id, 'box', 0, 'l' || image_id % 100, random() FROM outcome;
  ANALYZE;";

/// All of it ended while statistics were taken: the tables are long, and thought to be empty.
const EMPTIED: [&str; 2] = ["DELETE FROM job; DELETE FROM claim", "ANALYZE job, claim"];

/// What autovacuum makes of a queue that was worked off: the tables have no page and no row.
const VACUUMED: [&str; 1] = ["VACUUM (ANALYZE) job, claim"];

/// Every statement that is kept in a file, with its name.
fn statements() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let root = Path::new("src/store/sql");
    let mut found = Vec::new();
    walk(root, &mut found);
    found.sort();
    let name = |path: &Path| path.strip_prefix(root).expect("below it").with_extension("").display().to_string();
    found.iter().map(|path| (name(path), std::fs::read_to_string(path).expect("a statement"))).collect()
}

#[tokio::test]
async fn every_statement_is_understood() {
    let app = TestApp::new().await;
    let mut db = app.ctx.db.pool().acquire().await.expect("a connection");
    let statements = statements();
    assert!(HOT.iter().all(|hot| statements.iter().any(|(name, _)| name == hot)), "a hot statement has moved");
    let mut wrong = Vec::new();
    for (name, text) in statements {
        if let Err(error) = db.prepare(AssertSqlSafe(text).into_sql_str()).await {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_hot_statements_find_every_row_by_key_whatever_the_statistics_say() {
    let app = TestApp::new().await;
    let mut wrong = Vec::new();
    let sizes: [(&str, &[&str]); 5] = [
        ("new", &[]),
        ("empty", &["VACUUM (ANALYZE)"]),
        ("full", &[MUCH]),
        ("emptied", &EMPTIED),
        ("vacuumed", &VACUUMED),
    ];
    for (size, fill) in sizes {
        for sql in fill {
            app.alter(sql).await;
        }
        let mut db = app.ctx.hot.pool().acquire().await.expect("a connection of the group commits");
        for (name, text) in statements().into_iter().filter(|(name, _)| HOT.contains(&name.as_str())) {
            let plan = plan_of(&mut db, &text).await;
            judge(&plan, &mut |what| wrong.push(format!("{name}, {size}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whose rows searches find by an index.
const SEARCHED: [&str; 7] = ["upload", "item", "outcome", "image", "derived", "tag", "job"];
/// Searches that read an index from its beginning, as far as they may.
const FROM_THE_START: [&str; 3] = ["search/camera", "search/live", "search/unsuccessful"];
/// Those that stop when they have enough: who makes a map of an index first does not.
const STOPPING: [&str; 6] =
    ["search/live", "search/said", "search/taken", "search/unsuccessful", "search/walk", "search/walk_all"];
/// Those by indexes of which there are only maps: where there is next to nothing, none is made.
const BY_MAP: [&str; 4] = ["search/named", "search/of_model", "search/of_version", "search/read"];

/// Twenty thousand titles, and what is known of their images without a model.
const TITLES: &str = "
  INSERT INTO casefile (name) VALUES ('much');
  INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, blob)
    SELECT decode(md5(n::text), 'hex'), sha256(n::text::bytea), 1, 'image/png', 1, 1, 1, gen_random_uuid() FROM generate_series(1, 20000) AS n;
  INSERT INTO upload (case_id, image_id, submission_id, account_id, name)
    SELECT c.id, i.id, gen_random_uuid(), a.id, i.id || '.png' FROM image AS i, casefile AS c, account AS a WHERE c.name = 'much';
  INSERT INTO derived (image_id, state, error, taken_at, camera)
    SELECT id, 'failed', 'x', timestamp '2020-01-01' + interval '1 h' * id, 'Camera ' || id % 50 FROM image;
  ANALYZE";

#[tokio::test]
async fn searches_find_every_row_by_an_index_whatever_the_statistics_say() {
    let app = TestApp::new().await;
    let mut wrong = Vec::new();
    for (size, fill) in [("new", &[][..]), ("empty", &["VACUUM (ANALYZE)"]), ("full", &[MUCH, TITLES])] {
        for sql in fill {
            app.alter(sql).await;
        }
        let mut db = app.ctx.search.pool().acquire().await.expect("a connection of searches");
        let statements = statements().into_iter().filter(|(name, _)| name.starts_with("search/"));
        for (name, text) in statements.filter(|(name, _)| size == "full" || !BY_MAP.contains(&name.as_str())) {
            let plan = plan_of(&mut db, &text).await;
            let is_one = |of: &[&str]| of.contains(&name.as_str());
            let (from_start, stops) = (is_one(&FROM_THE_START), is_one(&STOPPING));
            let mut tell = |what| wrong.push(format!("{name}, {size}: {what}"));
            judge_by(&plan, &SEARCHED, &mut tell, &|kind, plan| match kind {
                "Index Scan" | "Index Only Scan" => from_start || plan["Index Cond"].is_string(),
                _ => !stops && kind == "Bitmap Heap Scan",
            });
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The plan that a statement is carried out by, whatever it is given: that of the pool is made once.
async fn plan_of(db: &mut PgConnection, text: &str) -> Value {
    let run = async |db: &mut PgConnection, sql: String| db.execute(AssertSqlSafe(sql)).await.map(drop);
    run(db, format!("PREPARE hot AS {text}")).await.expect("a statement");
    let parameters: i32 =
        sqlx::query_scalar("SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'hot'")
            .fetch_one(&mut *db)
            .await
            .expect("its parameters");
    let given = vec!["NULL"; parameters as usize].join(", ");
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE hot ({given})");
    let row = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *db).await.expect("a plan");
    let plan: String = row.try_get_unchecked(0).expect("text");
    run(db, "DEALLOCATE hot".to_owned()).await.expect("to forget it");
    serde_json::from_str(&plan).expect("JSON")
}

/// Tells of every way to the rows of [`KEYED`] that is not a search by key in an index.
fn judge(plan: &Value, tell: &mut impl FnMut(String)) {
    judge_by(plan, &KEYED, tell, &|kind, plan| {
        matches!(kind, "Index Scan" | "Index Only Scan") && plan["Index Cond"].is_string()
            || ["Tid Scan", "ModifyTable"].contains(&kind)
    });
}

/// Tells of every way to the rows of these tables, and their partitions, that is not such a one.
fn judge_by(plan: &Value, tables: &[&str], tell: &mut impl FnMut(String), good: &impl Fn(&str, &Value) -> bool) {
    let relation = plan["Relation Name"].as_str().unwrap_or_default();
    let judged = tables
        .iter()
        .any(|name| relation == *name || relation.strip_prefix(name).is_some_and(|part| part.starts_with('_')));
    let kind = plan["Node Type"].as_str().unwrap_or_default();
    if judged && !good(kind, plan) {
        tell(format!("{kind} of {relation} by {}", plan["Index Name"]));
    }
    for below in plan.as_array().into_iter().flatten().chain(plan["Plans"].as_array().into_iter().flatten()) {
        judge_by(
            &below["Plan"].as_object().map_or(below.clone(), |plan| Value::Object(plan.clone())),
            tables,
            tell,
            good,
        );
    }
}
