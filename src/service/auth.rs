//! Who is calling: tokens of people, keys of microservices, and the log-in that makes the former.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::batch::Answers;
use super::{Ctx, Error, Result};
use crate::domain::account::Role;
use crate::domain::fault::{Code, Fault};
use crate::domain::key::{KeyText, Service};
use crate::store;
use crate::store::accounts::Account;
use crate::store::keys::ApiKey;

/// How long a log-in waits for its turn to stretch a password.
const STRETCH_WAIT: Duration = Duration::from_secs(3);
const ISSUER: &str = "darkroom";

/// Signs and reads the tokens of people (JWT, HS256).
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: Uuid,
    /// The account's token generation: a raised one withdraws this token.
    generation: i32,
    iat: i64,
    exp: i64,
}

impl Tokens {
    /// From a secret of at least 32 bytes.
    pub fn new(secret: &[u8]) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Judged by the database's clock instead of this machine's.
        validation.validate_exp = false;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret), validation }
    }
}

/// A user whose token holds.
#[derive(Debug, Clone)]
pub struct User {
    pub account: Account,
}

impl User {
    pub fn has(&self, role: Role) -> bool {
        self.account.roles.contains(&role)
    }

    pub fn is_admin(&self) -> bool {
        self.has(Role::Admin)
    }

    /// The account that what is seen is narrowed to; nothing for an administrator, who sees all.
    pub fn scope(&self) -> Option<Uuid> {
        (!self.is_admin()).then_some(self.account.id)
    }
}

/// A token and how long it is valid, in seconds.
pub struct Token {
    pub text: String,
    pub expires_in_s: i64,
}

/// Checks a name and password and makes a token. Attempts are counted by name and address before the password
/// is looked at; an unknown name costs as much as a known one.
pub async fn log_in(ctx: &Ctx, name: &str, password: &str, source: &str) -> Result<Token> {
    let name: String = name.chars().take(64).collect();
    if name.contains('\0') || password.contains('\0') {
        return Err(Fault::new(Code::NulCharacter, "The name or password holds U+0000.").into());
    }
    let (found, now) = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            let (tries, left_s) =
                store::accounts::count_login(&mut db, &name, source, ctx.limits.login_window_s).await?;
            if tries > ctx.limits.logins_max {
                let wait = left_s.clamp(1.0, 86_400.0).ceil() as u32;
                return Err(Error::from(
                    Fault::new(Code::TooManyLogins, format!("{} log-ins failed.", tries - 1)).retry_after(wait),
                ));
            }
            Ok((store::accounts::find_by_name(&mut db, &name).await?, store::accounts::now(&mut db).await?))
        })
        .await?;
    let (account, hash) = found.map_or((None, None), |(account, hash)| (Some(account), Some(hash)));
    let right = verify_password(ctx, password, hash).await?;
    let account = account
        .filter(|a| right && a.disabled_at.is_none())
        .ok_or_else(|| Fault::new(Code::WrongPassword, "The name and password do not belong together."))?;
    ctx.db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            Ok::<_, Error>(store::accounts::clear_logins(&mut db, &name, source).await?)
        })
        .await?;
    ctx.clock.anchor(now);
    issue(ctx, &account, now.timestamp())
}

fn issue(ctx: &Ctx, account: &Account, now: i64) -> Result<Token> {
    let claims = Claims {
        iss: ISSUER.to_owned(),
        sub: account.id,
        generation: account.token_generation,
        iat: now,
        exp: now + ctx.limits.token_s,
    };
    let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &ctx.tokens.encoding)
        .map_err(|e| Error::Internal(e.into()))?;
    Ok(Token { text, expires_in_s: ctx.limits.token_s })
}

/// The user of a token. What is known of the account is at most a few seconds old while PostgreSQL answers;
/// expiry is judged by the database's clock.
pub async fn user(ctx: &Arc<Ctx>, token: &str) -> Result<User> {
    let claims = jsonwebtoken::decode::<Claims>(token, &ctx.tokens.decoding, &ctx.tokens.validation)
        .map_err(|_| Fault::new(Code::UnknownCredential, "The token was not made here, or was altered."))?
        .claims;
    let account = ctx
        .accounts
        .get(&claims.sub, || find_account(ctx, claims.sub))
        .await?
        .ok_or_else(|| Fault::new(Code::UnknownCredential, "The token's account does not exist."))?;
    if account.disabled_at.is_some() {
        return Err(Fault::new(Code::DisabledCredential, "The account is disabled.").into());
    }
    if account.token_generation != claims.generation {
        return Err(Fault::new(Code::ExpiredCredential, "The token was withdrawn, as by a new password.").into());
    }
    if ctx.clock.now().is_none_or(|now| now.timestamp() >= claims.exp) {
        return Err(Fault::new(Code::ExpiredCredential, "The token has expired.").into());
    }
    Ok(User { account })
}

/// Reads an account together with those of other calls that come at the same time.
async fn find_account(ctx: &Arc<Ctx>, id: Uuid) -> Result<Option<Account>> {
    let run = {
        let ctx = Arc::clone(ctx);
        move |ids| find_accounts(Arc::clone(&ctx), ids)
    };
    ctx.db.within(ctx.batches.accounts.call(id, 1, run, |_, _| {})).await
}

async fn find_accounts(ctx: Arc<Ctx>, ids: Vec<Uuid>) -> Result<Answers<Option<Account>>> {
    let reading = async {
        let mut db = ctx.db.hot().acquire().await?;
        let found = store::accounts::find(&mut db, &ids).await?;
        ctx.clock.anchor(store::accounts::now(&mut db).await?);
        Ok::<_, Error>(found)
    };
    let found: HashMap<Uuid, Account> = ctx.db.within(reading).await?.into_iter().map(|a| (a.id, a)).collect();
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect::<Vec<_>>().into())
}

/// The key that a microservice sent, if it holds.
pub async fn api_key(ctx: &Ctx, text: &str) -> Result<ApiKey> {
    let unknown = || Fault::new(Code::UnknownCredential, "The API key is not known here.");
    let sent = KeyText::parse(text).ok_or_else(unknown)?;
    let read = || async {
        let mut db = ctx.db.pool().acquire().await?;
        let key = store::keys::find(&mut db, &sent.id).await?;
        ctx.clock.anchor(store::accounts::now(&mut db).await?);
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

/// Stretches a new password (Argon2id, OWASP's parameters).
pub async fn hash_password(ctx: &Ctx, password: String) -> Result<String> {
    stretch(ctx, move || hash_password_now(&password)).await?
}

/// The same on this thread, for the command line.
pub fn hash_password_now(password: &str) -> Result<String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|e| Error::Internal(e.to_string().into()))
}

async fn verify_password(ctx: &Ctx, password: &str, hash: Option<String>) -> Result<bool> {
    let password = password.to_owned();
    stretch(ctx, move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let parsed = PasswordHash::new(&hash);
        let right = parsed.is_ok_and(|h| Argon2::default().verify_password(password.as_bytes(), &h).is_ok());
        right && known
    })
    .await
}

/// The hash of nobody's password, so that unknown names take as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$UYVeVSP4FXDbSuJ4nR2B5mCYP8MJs3E1b1sLxYtFUYI";

async fn stretch<T: Send + 'static>(ctx: &Ctx, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let busy = || Fault::new(Code::TooManyRequests, "Too many passwords are being checked.").retry_after(3);
    let permit = tokio::time::timeout(STRETCH_WAIT, ctx.stretching.acquire()).await.map_err(|_| busy())?;
    let _permit = permit.map_err(|_| busy())?;
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Internal(e.into()))
}
