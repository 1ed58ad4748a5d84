//! Where PostgreSQL spends its time and WAL, statement by statement: `PROFILE=1 make bench ONLY=lifecycle`.

use sqlx::Row;

use crate::site::Site;

/// How many statements are shown, and how much of each.
const SHOWN: i64 = 14;
const SHOWN_CHARS: usize = 110;

/// What PostgreSQL is started with, besides, when statements are to be counted.
pub const SETTINGS: [&str; 2] = ["shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_planning=on"];

pub fn is_wanted() -> bool {
    std::env::var("PROFILE").is_ok_and(|value| value == "1")
}

/// Begins to count afresh.
pub async fn begin(site: &Site) -> anyhow::Result<()> {
    sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(&site.admin).await?;
    sqlx::query("SELECT pg_stat_statements_reset()").execute(&site.admin).await?;
    Ok(())
}

/// Prints the costliest statements of a database since.
pub async fn print(site: &Site, database: &str, jobs: usize) -> anyhow::Result<()> {
    let rows = sqlx::query(
        "SELECT s.query, s.calls, s.total_exec_time, s.total_plan_time, s.wal_bytes::float8 AS wal
         FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid
         WHERE d.datname = $1 ORDER BY s.total_exec_time + s.total_plan_time DESC LIMIT $2",
    )
    .bind(database)
    .bind(SHOWN)
    .fetch_all(&site.admin)
    .await?;
    println!("      per job: µs executing, µs planning, bytes of WAL; calls; statement");
    for row in rows {
        let per_job = |column: &str, scale: f64| row.try_get::<f64, _>(column).map(|v| v * scale / jobs as f64);
        let query: String = row.try_get("query")?;
        let text: String = query.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN_CHARS).collect();
        println!(
            "    {:7.1} {:7.1} {:7.0} {:7} {text}",
            per_job("total_exec_time", 1000.0)?,
            per_job("total_plan_time", 1000.0)?,
            per_job("wal", 1.0)?,
            row.try_get::<i64, _>("calls")?
        );
    }
    Ok(())
}
