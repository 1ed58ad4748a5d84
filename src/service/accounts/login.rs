//! Log-ins of people, who holds a token, and log-outs.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::tokens::Said;
use super::{Accounts, User};
use crate::domain::address::ClientAddress;
use crate::domain::fault::{Code, Fault};
use crate::service::{Error, Result};
use crate::store::accounts::{self, Account, KnownAccount};
use crate::store::acts;

/// A token and how long it is valid, in seconds.
pub struct Token {
    pub text: String,
    pub expires_in_s: i64,
}

impl Accounts {
    /// Checks a name and password and makes a token.
    pub async fn log_in(&self, name: &str, password: &str, from: ClientAddress) -> Result<Token> {
        let name: String = name.chars().take(64).collect();
        if name.contains('\0') || password.contains('\0') {
            return Err(Fault::new(Code::NulCharacter, "The name or password holds U+0000.").into());
        }
        let (account, now) = self.confirm(&name, password, from).await?;
        let account = account.ok_or_else(|| {
            tracing::warn!(?name, %from, "a log-in was refused");
            Fault::new(Code::WrongPassword, "The name and password do not belong together.")
        })?;
        self.ctx.db.run(async |db| acts::tell_log_in(db, account.id).await).await?;
        self.ctx.clock.anchor(now);
        let valid_s = self.ctx.limits.token_s;
        let text = self.tokens.sign(&account, now.timestamp(), valid_s)?;
        Ok(Token { text, expires_in_s: valid_s })
    }

    /// The enabled account of that name, if the password is its, and the database's time. Who fails is slowed, before anything is
    /// read or stretched; an unknown name costs as much as a known one.
    pub(super) async fn confirm(
        &self,
        name: &str,
        password: &str,
        from: ClientAddress,
    ) -> Result<(Option<Account>, DateTime<Utc>)> {
        let attempt = self.brake.admit(name, from)?;
        let checked = async {
            let (found, now) = self
                .ctx
                .db
                .run(async |db| Ok::<_, Error>((accounts::find_by_name(db, name).await?, accounts::now(db).await?)))
                .await?;
            let (account, hash) = found.map_or((None, None), |(account, hash)| (Some(account), Some(hash)));
            let right = self.stretcher.verify(password, hash).await?;
            let whose = account.as_ref().map(|account| account.id);
            let account = account.filter(|account| right && account.disabled_at.is_none());
            if account.is_none() {
                self.ctx.acts.log_in_failed(whose).await?;
            }
            Ok((account, now))
        };
        let checked = checked.await;
        if !matches!(checked, Ok((None, _))) {
            attempt.forgive();
        }
        checked
    }

    /// The user of a token. What is known of the account is at most a few seconds old while PostgreSQL answers;
    /// expiry is judged by the database's clock.
    pub async fn user(&self, token: &str) -> Result<User> {
        let said = self
            .tokens
            .read(token)
            .ok_or_else(|| Fault::new(Code::UnknownCredential, "The token was not made here, or was altered."))?;
        let known = self.known.get(&said.account, || self.reads.call(said.account, 1)).await?;
        self.holder(said, known)
    }

    /// The same user some time later, if the token still holds: what was waited for is not handed to one who was shut out meanwhile.
    pub async fn again(&self, user: &User) -> Result<User> {
        let Said { account, .. } = user.said;
        let known = self.known.get(&account, || self.reads.call(account, 1)).await?;
        self.holder(user.said, known)
    }

    /// The same user as PostgreSQL knows it now: before somebody is refused who may have been let in a moment ago.
    pub async fn refreshed(&self, user: &User) -> Result<User> {
        let Said { account, .. } = user.said;
        let known = self.known.refresh(&account, self.reads.call(account, 1)).await?;
        self.holder(user.said, known)
    }

    /// Forgets what is known of an account that this server has just changed; other servers do within seconds.
    pub fn forget(&self, account: Uuid) {
        self.known.forget(&account);
    }

    /// Who sent a token, if it holds by what is known of its account.
    fn holder(&self, said: Said, known: Option<KnownAccount>) -> Result<User> {
        let known = known.ok_or_else(|| Fault::new(Code::UnknownCredential, "The token's account does not exist."))?;
        if known.account.disabled_at.is_some() {
            return Err(Fault::new(Code::DisabledCredential, "The account is disabled.").into());
        }
        if known.account.token_generation != said.generation || known.ended_tokens.contains(&said.id) {
            let detail = "The token was withdrawn, as by logging out or by a new password.";
            return Err(Fault::new(Code::ExpiredCredential, detail).into());
        }
        if self.ctx.clock.now().is_none_or(|now| now.timestamp() >= said.expires) {
            return Err(Fault::new(Code::ExpiredCredential, "The token has expired.").into());
        }
        let KnownAccount { account, own_case, cases, .. } = known;
        Ok(User { account, own_case, cases, said })
    }

    /// Ends the user's token, or all tokens of the account: here at once, on other replicas within seconds.
    pub async fn log_out(&self, user: &User, everywhere: bool) -> Result<()> {
        let Said { account, id, expires, .. } = user.said;
        self.ctx.db.write(async |tx| accounts::log_out(tx, account, id, expires, everywhere).await).await?;
        self.known.forget(&account);
        Ok(())
    }
}
