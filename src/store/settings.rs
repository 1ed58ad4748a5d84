//! Settings that all replicas share.

use sqlx::PgConnection;

/// The value of a setting, made on first use: of several replicas one wins and all read the same.
pub async fn setting(db: &mut PgConnection, name: &str, fresh: &str) -> sqlx::Result<String> {
    sqlx::query("INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT setting_pkey DO NOTHING")
        .bind(name)
        .bind(fresh)
        .execute(&mut *db)
        .await?;
    sqlx::query_scalar("SELECT value FROM setting WHERE name = $1").bind(name).fetch_one(db).await
}

/// Replaces a setting only if it still has the value that was read; answers the value that stands.
pub async fn replace_setting(db: &mut PgConnection, name: &str, read: &str, new: &str) -> sqlx::Result<String> {
    sqlx::query("UPDATE setting SET value = $3 WHERE name = $1 AND value = $2")
        .bind(name)
        .bind(read)
        .bind(new)
        .execute(&mut *db)
        .await?;
    sqlx::query_scalar("SELECT value FROM setting WHERE name = $1").bind(name).fetch_one(db).await
}
