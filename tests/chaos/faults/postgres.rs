//! PostgreSQL falls, stands still, or loses its connections.

use std::time::Duration;

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
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'darkroom'";
    Ok(sqlx::query_scalar(sql).fetch_one(&mut site.sql().await?).await?)
}
