//! Log-ins of people, and who holds a token.

use super::{Accounts, User};
use crate::domain::fault::{Code, Fault};
use crate::service::{Error, Result};
use crate::store::accounts;

/// A token and how long it is valid, in seconds.
pub struct Token {
    pub text: String,
    pub expires_in_s: i64,
}

impl Accounts {
    /// Checks a name and password and makes a token. Attempts are counted by name and address before the password
    /// is looked at; an unknown name costs as much as a known one.
    pub async fn log_in(&self, name: &str, password: &str, source: &str) -> Result<Token> {
        let name: String = name.chars().take(64).collect();
        if name.contains('\0') || password.contains('\0') {
            return Err(Fault::new(Code::NulCharacter, "The name or password holds U+0000.").into());
        }
        let (found, now) = self
            .ctx
            .db
            .run(async |db| {
                let (tries, left_s) = accounts::count_login(db, &name, source, self.ctx.limits.login_window_s).await?;
                if tries > self.ctx.limits.logins_max {
                    let wait = left_s.clamp(1.0, 86_400.0).ceil() as u32;
                    return Err(Error::from(
                        Fault::new(Code::TooManyLogins, format!("{} log-ins failed.", tries - 1)).retry_after(wait),
                    ));
                }
                Ok((accounts::find_by_name(db, &name).await?, accounts::now(db).await?))
            })
            .await?;
        let (account, hash) = found.map_or((None, None), |(account, hash)| (Some(account), Some(hash)));
        let right = self.stretcher.verify(password, hash).await?;
        let account = account
            .filter(|a| right && a.disabled_at.is_none())
            .ok_or_else(|| Fault::new(Code::WrongPassword, "The name and password do not belong together."))?;
        self.ctx.db.run(async |db| accounts::clear_logins(db, &name, source).await).await?;
        self.ctx.clock.anchor(now);
        let valid_s = self.ctx.limits.token_s;
        let text = self.tokens.sign(&account, now.timestamp(), valid_s)?;
        Ok(Token { text, expires_in_s: valid_s })
    }

    /// The user of a token. What is known of the account is at most a few seconds old while PostgreSQL answers;
    /// expiry is judged by the database's clock.
    pub async fn user(&self, token: &str) -> Result<User> {
        let said = self
            .tokens
            .read(token)
            .ok_or_else(|| Fault::new(Code::UnknownCredential, "The token was not made here, or was altered."))?;
        let account = self
            .known
            .get(&said.account, || self.reads.call(said.account, 1))
            .await?
            .ok_or_else(|| Fault::new(Code::UnknownCredential, "The token's account does not exist."))?;
        if account.disabled_at.is_some() {
            return Err(Fault::new(Code::DisabledCredential, "The account is disabled.").into());
        }
        if account.token_generation != said.generation {
            return Err(Fault::new(Code::ExpiredCredential, "The token was withdrawn, as by a new password.").into());
        }
        if self.ctx.clock.now().is_none_or(|now| now.timestamp() >= said.expires) {
            return Err(Fault::new(Code::ExpiredCredential, "The token has expired.").into());
        }
        Ok(User { account })
    }
}
