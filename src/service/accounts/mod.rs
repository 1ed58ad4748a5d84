//! Accounts of people: made, listed, changed.

mod brake;
mod login;
mod password;
mod tokens;
mod user;

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use self::brake::Brake;
use self::password::Stretcher;
use super::batch::{Answers, Batcher, Capacity};
use super::cache::{Cache, STANDING_FRESH, STANDING_STALE};
use super::{Ctx, Error, Result};
use crate::domain::account::Role;
use crate::domain::address::ClientAddress;
use crate::domain::fault::{Code, Fault};
use crate::domain::name::Name;
use crate::store;
use crate::store::accounts::{self, Account, AccountChange, KnownAccount};

pub use self::password::{check_password, hash_password, made_up_password};
pub use self::tokens::Tokens;
pub use self::user::{User, check_role};

/// The line of accounts to be read.
const LINE: Capacity = Capacity { repeatable: true, ..Capacity::USUAL };

/// What is to change; what is absent stays.
#[derive(Debug, Default)]
pub struct AccountWish {
    pub email: Option<Option<String>>,
    pub password: Option<String>,
    /// Must be right where one changes one's own.
    pub present_password: Option<String>,
    pub roles: Option<Vec<Role>>,
    pub disabled: Option<bool>,
}

/// The accounts of all people.
pub struct Accounts {
    ctx: Arc<Ctx>,
    tokens: Tokens,
    known: Cache<Uuid, Option<KnownAccount>>,
    reads: Arc<Batcher<Uuid, Option<KnownAccount>>>,
    brake: Brake,
    stretcher: Stretcher,
}

impl Accounts {
    /// The connections that its line uses at once.
    pub const CONNECTIONS: u32 = LINE.at_once;

    pub fn new(ctx: &Arc<Ctx>, tokens: Tokens) -> Self {
        let own = Arc::clone(ctx);
        Self {
            ctx: Arc::clone(ctx),
            tokens,
            known: Cache::new(STANDING_FRESH, STANDING_STALE),
            reads: Batcher::new(LINE, move |ids| read_together(Arc::clone(&own), ids), |_, _| {}),
            brake: Brake::new(),
            stretcher: Stretcher::new(),
        }
    }

    /// Makes an account.
    pub async fn create(
        &self,
        by: &User,
        name: &Name,
        email: Option<&str>,
        password: String,
        roles: &[Role],
    ) -> Result<Account> {
        check_password(&password)?;
        let hash = self.stretcher.hash(password).await?;
        self.ctx
            .db
            .run(async |db| {
                accounts::create(db, name.as_str(), email, &hash, &distinct(roles), Some(by.account.id)).await.map_err(
                    |error| match store::broken_constraint(&error) {
                        Some("account_name_key") => {
                            Fault::new(Code::NameTaken, format!("An account {:?} exists.", name.as_str())).into()
                        }
                        _ => Error::from(error),
                    },
                )
            })
            .await
    }

    /// Changes an account: an administrator anything of anybody; others their own e-mail and password. Who changes the own
    /// password tells the present one: a token that was stolen must not be worth an account.
    pub async fn update(&self, by: &User, name: &str, wish: AccountWish, from: ClientAddress) -> Result<Account> {
        let own = by.account.name == name;
        if !by.is_admin() && !own {
            return Err(Fault::not_found("account").into());
        }
        if !by.is_admin() && (wish.roles.is_some() || wish.disabled.is_some()) {
            return Err(Fault::new(Code::MissingRole, "Only an administrator changes roles or disables.").into());
        }
        let password_hash = match wish.password {
            Some(password) => {
                check_password(&password)?;
                if own {
                    self.check_present(name, wish.present_password.as_deref(), from).await?;
                }
                Some(self.stretcher.hash(password).await?)
            }
            None => None,
        };
        let change = AccountChange {
            email: wish.email,
            password_hash,
            roles: wish.roles.as_deref().map(distinct),
            disabled: wish.disabled,
        };
        let account = self
            .ctx
            .db
            .write(async |tx| {
                let admins = accounts::lock_admins(tx).await?;
                let (account, _) =
                    accounts::find_by_name(tx, name).await?.ok_or_else(|| Fault::not_found("account"))?;
                let loses =
                    change.disabled == Some(true) || change.roles.as_ref().is_some_and(|r| !r.contains(&Role::Admin));
                if loses && admins == [account.id] {
                    return Err(
                        Fault::new(Code::LastAdmin, format!("{name:?} is the last enabled administrator.")).into()
                    );
                }
                Ok::<_, Error>(accounts::update(tx, account.id, &change, Some(by.account.id)).await?)
            })
            .await?;
        self.known.forget(&account.id);
        Ok(account)
    }

    async fn check_present(&self, name: &str, present: Option<&str>, from: ClientAddress) -> Result<()> {
        let wrong = |detail| Err(Fault::new(Code::InvalidField, detail).on("/present_password").into());
        let Some(present) = present else {
            return wrong("Who changes the own password tells the present one.");
        };
        match self.confirm(name, present, from).await? {
            (Some(_), _) => Ok(()),
            (None, _) => wrong("This is not the present password."),
        }
    }
}

async fn read_together(ctx: Arc<Ctx>, ids: Vec<Uuid>) -> Result<Answers<Option<KnownAccount>>> {
    let (found, now) =
        ctx.hot.run(async |db| Ok::<_, Error>((accounts::find(db, &ids).await?, accounts::now(db).await?))).await?;
    ctx.clock.anchor(now);
    let found: HashMap<Uuid, KnownAccount> = found.into_iter().map(|known| (known.account.id, known)).collect();
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect::<Vec<_>>().into())
}

/// A set of roles: sorted, without repeats.
fn distinct(roles: &[Role]) -> Vec<Role> {
    let mut roles = roles.to_vec();
    roles.sort();
    roles.dedup();
    roles
}
