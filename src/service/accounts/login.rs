//! Log-ins of people, and the tokens that they make.

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::password::verify_password;
use super::user::User;
use crate::domain::fault::{Code, Fault};
use crate::service::batch::Answers;
use crate::service::{Ctx, Error, Result};
use crate::store::accounts::{self, Account};

const ISSUER: &str = "darkroom";

/// Signs and reads the tokens of people (JWT, HS256).
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
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

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: Uuid,
    /// The account's token generation: a raised one withdraws this token.
    generation: i32,
    iat: i64,
    exp: i64,
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
            let (tries, left_s) = accounts::count_login(&mut db, &name, source, ctx.limits.login_window_s).await?;
            if tries > ctx.limits.logins_max {
                let wait = left_s.clamp(1.0, 86_400.0).ceil() as u32;
                return Err(Error::from(
                    Fault::new(Code::TooManyLogins, format!("{} log-ins failed.", tries - 1)).retry_after(wait),
                ));
            }
            Ok((accounts::find_by_name(&mut db, &name).await?, accounts::now(&mut db).await?))
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
            Ok::<_, Error>(accounts::clear_logins(&mut db, &name, source).await?)
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
        let found = accounts::find(&mut db, &ids).await?;
        ctx.clock.anchor(accounts::now(&mut db).await?);
        Ok::<_, Error>(found)
    };
    let found: HashMap<Uuid, Account> = ctx.db.within(reading).await?.into_iter().map(|a| (a.id, a)).collect();
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect::<Vec<_>>().into())
}
