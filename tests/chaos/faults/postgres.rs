//! PostgreSQL falls, stands still, loses its connections, or has a bad disk.

use std::time::{Duration, Instant};

use crate::cast::servers::Database;
use crate::site::Site;

/// Ends it by a signal and starts it again after a pause.
pub async fn fall(database: &mut Database, signal: &str, pause: Duration) -> anyhow::Result<()> {
    database.down(signal).await?;
    tokio::time::sleep(pause).await;
    database.restart().await
}

pub async fn stand_still(database: &Database, how_long: Duration) -> anyhow::Result<()> {
    let _frozen = database.freeze()?;
    tokio::time::sleep(how_long).await;
    Ok(())
}

/// Answers how many connections of the service it closed.
pub async fn cut_connections(site: &Site) -> anyhow::Result<i64> {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'darkroom%'";
    Ok(sqlx::query_scalar(sql).fetch_one(&mut site.sql().await?).await?)
}

/// Leaves the data no room to grow and frees it after a while; reached when PostgreSQL said so. Its log lies elsewhere, as it
/// should: without room for that it stops, and somebody has to start it again.
pub async fn fill_disk(site: &Site, database: &Database, how_long: Duration) -> anyhow::Result<bool> {
    let mut sql = site.sql().await?;
    database.disk("grow")?;
    let grown = sqlx::raw_sql("CREATE TABLE filler AS SELECT generate_series(1, 100000)").execute(&mut sql).await;
    tokio::time::sleep(how_long).await;
    database.disk("")?;
    Ok(matches!(grown, Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("53100")))
}

/// Makes every fsync take two seconds longer, those of COMMITs too; reached when one did.
pub async fn slow_disk(site: &Site, database: &Database, how_long: Duration) -> anyhow::Result<bool> {
    let mut sql = site.sql().await?;
    database.disk("slow")?;
    let start = Instant::now();
    let committed = sqlx::raw_sql("CREATE TABLE slow (); DROP TABLE slow").execute(&mut sql).await;
    let took = start.elapsed();
    tokio::time::sleep(how_long).await;
    database.disk("")?;
    Ok(committed.is_ok() && took > Duration::from_secs(2))
}
