//! What results say, a row for each item and field: derived from outcomes in the order in which they were committed.

use sqlx::{FromRow, PgConnection};

use super::settings::{replace_setting, setting};
use crate::domain::result::ItemRow;

/// The setting that says from which transaction on results are not written down.
const FROM: &str = "items_from";

/// Which transactions to look at: ids of PostgreSQL's, which only rise.
#[derive(Debug)]
pub struct Next {
    /// The first, as it was read.
    pub from: String,
    /// The first that may not be over.
    pub until: i64,
}

impl Next {
    /// How many transactions these are.
    pub fn span(&self) -> i64 {
        self.until - self.from.parse().unwrap_or(0)
    }
}

/// A result by its key.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct ResultKey {
    pub image_id: i64,
    pub params_id: i64,
    pub queue_id: i32,
    pub version_id: i32,
    /// The transaction that wrote it.
    pub written: i64,
}

/// A result that is not written down yet.
#[derive(Debug, FromRow)]
pub struct UnsaidResult {
    #[sqlx(flatten)]
    pub of: ResultKey,
    /// As JSON text.
    pub document: String,
}

/// What a result says.
#[derive(Debug)]
pub struct SaidResult {
    pub of: ResultKey,
    pub rows: Vec<ItemRow>,
}

/// Where to go on. What committed late is not passed over: no transaction is looked at before all older ones are over. In a database
/// that was restored into another server, whose transactions count anew, it begins again.
pub async fn next(db: &mut PgConnection) -> sqlx::Result<Next> {
    let (until, beyond): (i64, i64) = sqlx::query_as(
        "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() AS s",
    )
    .fetch_one(&mut *db)
    .await?;
    let from = setting(&mut *db, FROM, "0").await?;
    if from.parse::<i64>().is_ok_and(|from| from <= beyond) {
        return Ok(Next { from, until });
    }
    Ok(Next { from: replace_setting(db, FROM, &from, "0").await?, until })
}

/// The next results, at most so many and so large, but for what their last transaction adds; they cannot go before this one ends.
pub async fn unsaid(db: &mut PgConnection, next: &Next, most: i64, bytes: i64) -> sqlx::Result<Vec<UnsaidResult>> {
    sqlx::query_as(include_str!("sql/items/unsaid.sql"))
        .bind(&next.from)
        .bind(next.until.to_string())
        .bind(most)
        .bind(bytes)
        .fetch_all(db)
        .await
}

/// Writes down what results say, in place of what they said before.
pub async fn replace(db: &mut PgConnection, results: &[SaidResult]) -> sqlx::Result<()> {
    let rows: Vec<(i64, &ItemRow)> =
        (1..).zip(results).flat_map(|(no, result)| result.rows.iter().map(move |row| (no, row))).collect();
    sqlx::query(include_str!("sql/items/replace.sql"))
        .bind(results.iter().map(|result| result.of.image_id).collect::<Vec<_>>())
        .bind(results.iter().map(|result| result.of.params_id).collect::<Vec<_>>())
        .bind(results.iter().map(|result| result.of.queue_id).collect::<Vec<_>>())
        .bind(results.iter().map(|result| result.of.version_id).collect::<Vec<_>>())
        .bind(results.len() as i64)
        .bind(rows.iter().map(|(no, _)| *no).collect::<Vec<i64>>())
        .bind(rows.iter().map(|(_, row)| row.place).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.kind).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.label.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.value).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.text.as_deref()).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

/// How long the oldest result that is not written down has been there, in seconds; nothing where all are.
pub async fn lag(db: &mut PgConnection) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar(
        "SELECT extract(epoch FROM clock_timestamp() - finished_at)::double precision FROM outcome
         WHERE version_id > 0 AND written >= coalesce((SELECT value FROM setting WHERE name = $1), '0')::xid8 ORDER BY written LIMIT 1",
    )
    .bind(FROM)
    .fetch_optional(db)
    .await
}

/// Notes that everything is written down up to the transaction `last`.
pub async fn go_on(db: &mut PgConnection, next: &Next, last: i64) -> sqlx::Result<()> {
    replace_setting(db, FROM, &next.from, &(last + 1).to_string()).await.map(drop)
}
