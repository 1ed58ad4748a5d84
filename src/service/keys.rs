//! API keys: made, disabled, recognised.

use chrono::{DateTime, Utc};
use rand::Rng;
use uuid::Uuid;

use super::accounts::User;
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
            None => Err(Fault::new(Code::InvalidField, format!("There is no account {name:?}.")).on("/owner").into()),
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

/// The key that a microservice sent, if it holds.
pub async fn api_key(ctx: &Ctx, text: &str) -> Result<ApiKey> {
    let unknown = || Fault::new(Code::UnknownCredential, "The API key is not known here.");
    let sent = KeyText::parse(text).ok_or_else(unknown)?;
    let read = || async {
        let mut db = ctx.db.pool().acquire().await?;
        let key = keys::find(&mut db, &sent.id).await?;
        ctx.clock.anchor(accounts::now(&mut db).await?);
        Ok(key)
    };
    let key = ctx.keys.get(&sent.id, || ctx.db.within(read())).await?.filter(|key| sent.matches(&key.secret_sha256));
    let key = key.ok_or_else(unknown)?;
    if key.disabled_at.is_some() || key.owner_disabled {
        return Err(Fault::new(Code::DisabledCredential, "The API key, or its owner's account, is disabled.").into());
    }
    let expired = |at| ctx.clock.now().is_none_or(|now| now >= at);
    if key.expires_at.is_some_and(expired) {
        return Err(Fault::new(Code::ExpiredCredential, "The API key has expired.").into());
    }
    Ok(key)
}

/// Refuses a key of another service type.
pub fn need_service(key: &ApiKey, service: Service) -> Result<()> {
    if key.service == service {
        return Ok(());
    }
    let (has, needs) = (key.service.as_str(), service.as_str());
    Err(Fault::new(Code::WrongService, format!("The key is of service type {has}; this needs {needs}.")).into())
}
