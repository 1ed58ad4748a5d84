//! Cases: whether they take changes, and, a file each, what belongs to them.

pub mod filters;
pub mod members;
pub mod notes;
pub mod records;
pub mod removal;
pub mod tags;

use sqlx::PgConnection;
use uuid::Uuid;

/// Locks those of these cases that are open, and answers them: until the transaction ends none is closed or deleted.
pub async fn lock_open(db: &mut PgConnection, cases: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT id FROM casefile WHERE id = ANY($1) AND closed_at IS NULL AND deleted_at IS NULL ORDER BY id FOR KEY SHARE",
    )
    .bind(cases)
    .fetch_all(db)
    .await
}

/// Locks a case of which something is to change, if it is open, and answers whether: who changes it takes turns, so that what is counted
/// stays so, and who submits to it waits for nobody.
pub async fn take_turn(db: &mut PgConnection, case: Uuid) -> sqlx::Result<bool> {
    let open = sqlx::query(
        "SELECT FROM casefile WHERE id = $1 AND closed_at IS NULL AND deleted_at IS NULL FOR NO KEY UPDATE",
    );
    Ok(open.bind(case).fetch_optional(db).await?.is_some())
}

/// Whether a case is closed; nothing where there is none, or no more.
pub async fn is_closed(db: &mut PgConnection, case: Uuid) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar("SELECT closed_at IS NOT NULL FROM casefile WHERE id = $1 AND deleted_at IS NULL")
        .bind(case)
        .fetch_optional(db)
        .await
}
