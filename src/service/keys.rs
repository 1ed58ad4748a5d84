//! API keys: made, listed, disabled.

use chrono::{DateTime, Utc};
use rand::Rng;
use uuid::Uuid;

use super::auth::User;
use super::{Ctx, Error, Result};
use crate::domain::fault::{Code, Fault};
use crate::domain::key::{KeyText, Service};
use crate::domain::name::Glob;
use crate::store::accounts;
use crate::store::keys::{self, ApiKey, NewKey};

/// What a new key is to be.
#[derive(Debug)]
pub struct Wish {
    pub service: Service,
    pub models: Vec<Glob>,
    /// Another account's name, for administrators.
    pub owner: Option<String>,
    pub detail: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes a key. Its text is in the answer and nowhere else.
pub async fn create(ctx: &Ctx, user: &User, wish: &Wish) -> Result<(ApiKey, KeyText)> {
    let text = fresh_key();
    let models: Vec<String> = wish.models.iter().map(|glob| glob.as_str().to_owned()).collect();
    let key = ctx
        .db
        .within(async {
            let mut tx = ctx.db.begin().await?;
            let owner = owner(&mut tx, user, wish.owner.as_deref()).await?;
            let hash = text.secret_sha256();
            let new = NewKey {
                id: &text.id,
                secret_sha256: &hash,
                service: wish.service,
                models: &models,
                owner: Some(owner),
                trusted: user.is_admin(),
                detail: wish.detail.as_deref(),
                expires_at: wish.expires_at,
            };
            keys::create(&mut tx, &new, Some(user.account.id)).await?;
            let key = keys::find(&mut tx, &text.id).await?.ok_or(Error::from(sqlx::Error::RowNotFound))?;
            tx.commit().await?;
            Ok::<_, Error>(key)
        })
        .await?;
    Ok((key, text))
}

async fn owner(db: &mut sqlx::PgConnection, user: &User, named: Option<&str>) -> Result<Uuid> {
    match named {
        None => Ok(user.account.id),
        Some(name) if name == user.account.name => Ok(user.account.id),
        Some(_) if !user.is_admin() => {
            Err(Fault::new(Code::MissingRole, "Only an administrator makes keys for others.").into())
        }
        Some(name) => match accounts::find_by_name(db, name).await? {
            Some((account, _)) => Ok(account.id),
            None => Err(Fault::invalid("body", "/owner", format!("There is no account {name:?}.")).into()),
        },
    }
}

/// A new random key.
pub fn fresh_key() -> KeyText {
    let mut random = rand::rng();
    KeyText::from_random(random.random(), random.random())
}

/// Disables a key of the user's, or anybody's for an administrator. It stops working here at once, and on other
/// replicas within seconds.
pub async fn disable(ctx: &Ctx, user: &User, id: &str) -> Result<()> {
    let known = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            Ok::<_, Error>(keys::disable(&mut db, id, user.scope(), user.account.id).await?)
        })
        .await?;
    ctx.keys.forget(&id.to_owned());
    if known { Ok(()) } else { Err(Fault::not_found("API key").into()) }
}
