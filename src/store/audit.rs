//! Events of acts that no other statement writes down.

use sqlx::PgConnection;
use uuid::Uuid;

/// Writes down that an account sent bytes that collide with a stored image.
pub async fn md5_collision(db: &mut PgConnection, account: Uuid, image_id: i64) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO job_event (code, account_id, subject_id) VALUES ('md5_collision', $1, $2::text)")
        .bind(account)
        .bind(image_id)
        .execute(db)
        .await?;
    Ok(())
}
