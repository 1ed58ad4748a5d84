//! API keys: made, disabled, recognised.

use std::collections::HashMap;
use std::sync::Arc;

use super::accounts::User;
use super::batch::{Answers, Batcher, Capacity};
use super::cache::{Cache, STANDING_FRESH, STANDING_STALE};
use super::{Ctx, Error, Result};
use crate::domain::fault::{Code, Fault};
use crate::domain::key::{KeyText, Service};
use crate::domain::name::Glob;
use crate::store::accounts;
use crate::store::keys::{self, ApiKey, NewKey};
use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use sqlx::PgConnection;
use uuid::Uuid;

/// The farthest expiry that is taken: whatever lies beyond is a slip of the pen.
const EXPIRY_MAX: TimeDelta = TimeDelta::days(36_525);

/// What a new key is to be.
#[derive(Debug)]
pub struct KeyWish {
    pub service: Service,
    pub models: Vec<Glob>,
    /// Another account's name, for administrators.
    pub owner: Option<String>,
    pub detail: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// The keys of all microservices.
pub struct Keys {
    ctx: Arc<Ctx>,
    known: Cache<String, ApiKey>,
    reads: Arc<Batcher<String, Option<ApiKey>>>,
}

/// The line of keys to be read: whoever invents keys is served by no more connections than this, together with all others.
const LINE: Capacity = Capacity { at_once: 1, repeatable: true, ..Capacity::USUAL };

impl Keys {
    /// The connections that its line uses at once.
    pub const CONNECTIONS: u32 = LINE.at_once;

    pub fn new(ctx: &Arc<Ctx>) -> Self {
        let own = Arc::clone(ctx);
        let reads = Batcher::new(LINE, move |ids| read_together(Arc::clone(&own), ids), |_, _| {});
        Self { ctx: Arc::clone(ctx), known: Cache::new(STANDING_FRESH, STANDING_STALE), reads }
    }

    /// Makes a key. Its text is in the answer and nowhere else.
    pub async fn create(&self, user: &User, wish: &KeyWish) -> Result<(ApiKey, KeyText)> {
        let text = fresh_key();
        let models: Vec<String> = wish.models.iter().map(|glob| glob.as_str().to_owned()).collect();
        let key = self
            .ctx
            .db
            .write(async |tx| {
                let owner = owner(tx, user, wish.owner.as_deref()).await?;
                let now = accounts::now(tx).await?;
                wish.expires_at.map_or(Ok(()), |at| check_expiry(at, now))?;
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
                keys::create(tx, &new, Some(user.account.id)).await?;
                Ok::<_, Error>(keys::find(tx, &text.id).await?.ok_or(sqlx::Error::RowNotFound)?)
            })
            .await?;
        Ok((key, text))
    }

    /// Disables a key of the user's, or anybody's for an administrator. It stops working here at once, and on other
    /// replicas within seconds.
    pub async fn disable(&self, user: &User, id: &str) -> Result<()> {
        let known = self.ctx.db.run(async |db| keys::disable(db, id, user.owner(), user.account.id).await).await?;
        self.known.forget(&id.to_owned());
        if known { Ok(()) } else { Err(Fault::not_found("API key").into()) }
    }

    /// Disables all keys of the user's; answers how many. They stop working as one that is disabled by itself does.
    pub async fn disable_all(&self, user: &User) -> Result<usize> {
        let own = user.account.id;
        let disabled = self.ctx.db.run(async |db| keys::disable_all(db, own, own).await).await?;
        disabled.iter().for_each(|id| self.known.forget(id));
        Ok(disabled.len())
    }

    /// The key that a microservice sent, if it holds.
    pub async fn recognise(&self, text: &str) -> Result<ApiKey> {
        let sent = KeyText::parse(text).ok_or_else(unknown)?;
        let key = self.look_up(&sent.id).await?;
        if !sent.matches(&key.secret_sha256) {
            return Err(unknown().into());
        }
        self.check(&key)?;
        self.ctx.acts.key_used(&key.id);
        Ok(key)
    }

    /// Whether a key that was recognised some time ago still holds: what was waited for is not handed to one that was shut out
    /// meanwhile.
    pub async fn still(&self, key: &ApiKey) -> Result<()> {
        let key = self.look_up(&key.id).await?;
        self.check(&key)
    }

    /// What is known of a key: at most a few seconds old while PostgreSQL answers.
    async fn look_up(&self, id: &String) -> Result<ApiKey> {
        // An id that nobody has is not remembered: invented ones would push out those that an outage is lived through with.
        let read = async || {
            let found = self.reads.call(id.clone(), 1).await?;
            found.ok_or_else(|| Error::from(unknown()))
        };
        self.known.get(id, read).await
    }

    fn check(&self, key: &ApiKey) -> Result<()> {
        if key.disabled_at.is_some() {
            return Err(Fault::new(Code::DisabledCredential, "The API key is disabled.").into());
        }
        if key.owner_barred {
            let detail = "The key's owner is disabled, or has no role any more that holds keys.";
            return Err(Fault::new(Code::DisabledCredential, detail).into());
        }
        let expired = |at| self.ctx.clock.now().is_none_or(|now| now >= at);
        if key.expires_at.is_some_and(expired) {
            return Err(Fault::new(Code::ExpiredCredential, "The API key has expired.").into());
        }
        Ok(())
    }
}

async fn read_together(ctx: Arc<Ctx>, ids: Vec<String>) -> Result<Answers<Option<ApiKey>>> {
    let read = async |db: &mut PgConnection| {
        let keys = keys::find_each(db, &ids).await?;
        let now = if keys.is_empty() { None } else { Some(accounts::now(db).await?) };
        Ok::<_, Error>((keys, now))
    };
    let (keys, now) = ctx.hot.run(read).await?;
    now.into_iter().for_each(|now| ctx.clock.anchor(now));
    let keys: HashMap<&str, &ApiKey> = keys.iter().map(|key| (key.id.as_str(), key)).collect();
    Ok(ids.iter().map(|id| keys.get(id.as_str()).copied().cloned()).collect::<Vec<_>>().into())
}

fn unknown() -> Fault {
    Fault::new(Code::UnknownCredential, "The API key is not known here.")
}

fn check_expiry(at: DateTime<Utc>, now: DateTime<Utc>) -> std::result::Result<(), Fault> {
    let detail = match at {
        at if at <= now => format!("expires_at is {}, which has passed.", at.to_rfc3339()),
        at if at > now + EXPIRY_MAX => format!("expires_at is {at}, more than a century away."),
        _ => return Ok(()),
    };
    let fault =
        Fault::new(Code::InvalidField, detail).mend("Name a time to come, or leave it out for a key without an end.");
    Err(fault.on("/expires_at"))
}

async fn owner(db: &mut PgConnection, user: &User, named: Option<&str>) -> Result<Uuid> {
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

/// Whether a key's globs match a model or dataset.
pub fn in_scope(key: &ApiKey, name: &str) -> bool {
    key.models.iter().any(|glob| Glob::parse(glob).is_ok_and(|glob| glob.matches(name)))
}

/// Whether a key may work for a model of this owner.
pub fn reaches(key: &ApiKey, name: &str, owner: Option<Uuid>) -> bool {
    in_scope(key, name) && (key.trusted || owner == key.owner)
}

/// Refuses a key of another service type.
pub fn need_service(key: &ApiKey, service: Service) -> Result<()> {
    if key.service == service {
        return Ok(());
    }
    let (has, needs) = (key.service.as_str(), service.as_str());
    Err(Fault::new(Code::WrongService, format!("The key is of service type {has}; this needs {needs}.")).into())
}
