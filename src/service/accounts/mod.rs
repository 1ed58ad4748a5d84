//! Accounts of people: made, listed, changed.

mod login;
mod password;
mod user;

use self::password::hash_password;
use super::{Ctx, Error, Result};
use crate::domain::account::Role;
use crate::domain::fault::{Code, Fault};
use crate::domain::name::Name;
use crate::store;
use crate::store::accounts::{self, Account, Change};

pub use self::login::{Token, Tokens, log_in, user};
pub use self::password::{check_password, hash_password_now, made_up_password};
pub use self::user::User;

/// A set of roles: sorted, without repeats.
fn distinct(roles: &[Role]) -> Vec<Role> {
    let mut roles = roles.to_vec();
    roles.sort();
    roles.dedup();
    roles
}

/// Makes an account.
pub async fn create(
    ctx: &Ctx,
    by: &User,
    name: &Name,
    email: Option<&str>,
    password: String,
    roles: &[Role],
) -> Result<Account> {
    check_password(&password)?;
    let hash = hash_password(ctx, password).await?;
    ctx.db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            accounts::create(&mut db, name.as_str(), email, &hash, &distinct(roles), Some(by.account.id)).await.map_err(
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

/// What is to change; what is absent stays.
#[derive(Debug, Default)]
pub struct Wish {
    pub email: Option<Option<String>>,
    pub password: Option<String>,
    pub roles: Option<Vec<Role>>,
    pub disabled: Option<bool>,
}

/// Changes an account: an administrator anything of anybody; others their own e-mail and password.
pub async fn update(ctx: &Ctx, by: &User, name: &str, wish: Wish) -> Result<Account> {
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
            Some(hash_password(ctx, password).await?)
        }
        None => None,
    };
    let change = Change {
        email: wish.email,
        password_hash,
        roles: wish.roles.as_deref().map(distinct),
        disabled: wish.disabled,
    };
    let account = ctx
        .db
        .within(async {
            let mut tx = ctx.db.begin().await?;
            let admins = accounts::lock_admins(&mut tx).await?;
            let (account, _) =
                accounts::find_by_name(&mut tx, name).await?.ok_or_else(|| Fault::not_found("account"))?;
            let loses =
                change.disabled == Some(true) || change.roles.as_ref().is_some_and(|r| !r.contains(&Role::Admin));
            if loses && admins == [account.id] {
                return Err(Fault::new(Code::LastAdmin, format!("{name:?} is the last enabled administrator.")).into());
            }
            let changed = accounts::update(&mut tx, account.id, &change, Some(by.account.id)).await?;
            tx.commit().await?;
            Ok::<_, Error>(changed)
        })
        .await?;
    ctx.accounts.forget(&account.id);
    Ok(account)
}
