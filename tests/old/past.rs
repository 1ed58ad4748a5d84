//! What else a long past must not harm: locks, hints of what has ended, answers whose jobs are gone, a great submission
//! that is given up.

use std::str::FromStr;

use darkroom::maintenance;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use super::meter::Meter;
use super::routes::{WHOLE, call};
use crate::kit::app::{PASSWORD, TestApp};

/// How many jobs live for which the great submission waits, of each time that history grew.
const WAITED_FOR: u32 = 100;

/// A statement that cannot prune takes a lock on each partition and each of its indexes: twenty of them hold theirs at once, in
/// a lock table of the size that PostgreSQL comes with.
pub async fn twenty_at_once(meter: &Meter) {
    let mut holding = Vec::new();
    for _ in 0..20 {
        let mut db = PgConnectOptions::from_str(&meter.url()).expect("a URL").connect().await.expect("a connection");
        db.execute("BEGIN").await.expect("a transaction");
        db.execute(
            "EXPLAIN SELECT * FROM audit_events AS e JOIN audit_jobs AS j ON j.id = e.job_id WHERE e.reason = '-'",
        )
        .await
        .expect("its locks");
        holding.push(db);
    }
    let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation'";
    let locks: i64 = sqlx::query_scalar(sql).fetch_one(&mut holding[0]).await.expect("a count");
    println!("twenty statements over all of history hold {locks} locks");
    assert!(locks > 20 * 2 * 36, "they were to lock every month");
}

/// The sweep takes hints of jobs that have ended out of a queue, and leaves those of the living.
pub async fn hints_of_ended_jobs_go(app: &TestApp, images: u32) {
    let client = redis::Client::open(app.settings.redis_url.0.clone()).expect("a client");
    let mut redis = client.get_multiplexed_async_connection().await.expect("a connection");
    let queue = format!("{{{}:deep}}:queue", app.settings.namespace);
    let depth = async |redis: &mut _| redis::cmd("ZCARD").arg(&queue).query_async::<u32>(redis).await.expect("a depth");
    app.sweep().await;
    let living = depth(&mut redis).await;
    assert_eq!(living, images / 20);
    let stale = (images / 10).min(100_000);
    let mut hints = redis::cmd("ZADD");
    hints.arg(&queue);
    for n in 0..stale {
        hints.arg(-1).arg(uuid::Uuid::from_u128(n.into()).as_bytes());
    }
    hints.query_async::<()>(&mut redis).await.expect("hints");
    assert_eq!(depth(&mut redis).await, living + stale);
    app.sweep().await;
    assert_eq!(depth(&mut redis).await, living, "of {stale} hints some are still there");
}

/// A redrive among many looks at some at once, and one after the other they meet all that failed.
pub async fn a_great_redrive_goes_on_where_it_was(app: &TestApp, images: u32) {
    let root = app.log_in("root", PASSWORD).await;
    let mut ask = json!({"state": "failed", "submission": WHOLE});
    let (mut met, mut asked) = (0, 0);
    loop {
        let told = root.post("/jobs/redrive", ask.clone()).await.ok(200);
        met += told["items"].as_array().map_or(0, Vec::len) as u32;
        asked += 1;
        ask["cursor"] = told["next_cursor"].clone();
        if ask["cursor"].is_null() {
            break;
        }
    }
    println!("a redrive of {met} jobs among those of {images} images took {asked} requests");
    // One in a thousand failed.
    assert_eq!((met, asked > 1), (images / 1000, true));
}

/// A submission tells how its jobs ended when retention has let them go.
pub async fn answers_outlive_their_jobs(app: &TestApp) {
    let mary = app.log_in("mary", PASSWORD).await;
    let counts = async || mary.get(&format!("/submissions/{WHOLE}?limit=1")).await.ok(200)["counts"].clone();
    let (told, archived) = (counts().await, app.count("SELECT count(*) FROM job_archive").await);
    while maintenance::remove_old(&app.ctx).await.expect("a tick").iter().any(|old| old.count > 0) {}
    let left = app.count("SELECT count(*) FROM job_archive").await;
    println!("of {archived} ended jobs {left} are left");
    assert!(left < archived * 3 / 4, "{left} of {archived}");
    assert_eq!(counts().await, told);
}

/// Step by step; and once all has ended it is not counted again.
pub async fn a_great_submission_is_cancelled(app: &TestApp, meter: &Meter) {
    let mary = app.log_in("mary", PASSWORD).await;
    let cancelled = mary.post(&format!("/submissions/{WHOLE}/cancel"), Value::Null).await.ok(200);
    assert_eq!(cancelled["cancelled"], 2 * WAITED_FOR);
    let path = format!("/submissions/{WHOLE}?limit=1&wait_s=20");
    let counted = mary.get(&path).await.ok(200);
    assert_eq!((&counted["done"], &counted["counts"]["cancelled"]), (&true.into(), &(2 * WAITED_FOR).into()));
    let again = call(meter, &path, Some(100), async || mary.get(&path).await).await;
    assert!(again.0.is_wrong().is_none(), "{} blocks", again.0.blocks);
    assert_eq!(again.1["counts"], counted["counts"]);
    // One more request, and it is told of as well.
    let more = sqlx::query(AssertSqlSafe(format!(
        "WITH opened AS (UPDATE submission SET tally = NULL WHERE id = '{WHOLE}')
         INSERT INTO request (submission_id, image_id, params_id, queue_id, job_id) SELECT '{WHOLE}', 0, 0, queue_id, id FROM job LIMIT 1"
    )));
    more.execute(app.ctx.db.pool()).await.expect("a request");
    let counted = mary.get(&format!("/submissions/{WHOLE}?limit=1")).await.ok(200);
    assert_eq!((&counted["done"], &counted["counts"]["queued"]), (&false.into(), &1.into()));
}
