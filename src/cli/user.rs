//! Accounts: listed, enabled and disabled over HTTP; made beside the server, on its database, which is how the first
//! administrator comes to be.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgConnection};

use super::exit::Exit;
use super::listing::{Listing, Question, minute};
use super::session::Connection;
use crate::api::accounts::UserOut;
use crate::client::text;
use crate::config::{Database, read_secret};
use crate::domain::account::{Role, check_email};
use crate::domain::name::Name;
use crate::service::accounts::{check_password, hash_password, made_up_password};
use crate::store;
use crate::store::accounts::AccountChange;

#[derive(Args)]
pub struct UserArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// List the accounts; for administrators
    List(Listing),
    /// Disable an account: its tokens and keys stop working within seconds; for administrators
    Disable(Named),
    /// Let a disabled account work again; for administrators
    Enable(Named),
    /// Give an account these roles, in place of those that it has; for administrators
    Roles {
        #[command(flatten)]
        named: Named,
        /// What it may do from now on, as investigator,researcher
        #[arg(required = true, value_delimiter = ',', value_parser = roles())]
        roles: Vec<Role>,
    },
    /// Make an account; without a password file one is made up and printed, once
    Create {
        name: String,
        /// What it may do
        #[arg(long, value_delimiter = ',', required = true, value_parser = roles())]
        roles: Vec<Role>,
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        password: Password,
    },
    /// Give an account a new password; tokens given out before stop working
    ResetPassword {
        name: String,
        #[command(flatten)]
        password: Password,
    },
}

#[derive(Args)]
struct Named {
    name: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
struct Password {
    /// A file with the password
    #[arg(long)]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    database: Database,
}

impl UserArgs {
    pub async fn run(self) -> anyhow::Result<Exit> {
        match self.act {
            Act::List(listing) => return list(listing).await,
            Act::Disable(named) => named.set(&json!({ "disabled": true })).await?,
            Act::Enable(named) => named.set(&json!({ "disabled": false })).await?,
            Act::Roles { named, roles } => named.set(&json!({ "roles": roles })).await?,
            Act::Create { name, roles, email, password } => {
                let name = Name::parse(&name).map_err(anyhow::Error::msg)?;
                email.as_deref().map_or(Ok(()), check_email)?;
                let (text, hash, mut db) = password.ready().await?;
                let made = store::accounts::create(&mut db, name.as_str(), email.as_deref(), &hash, &roles, None).await;
                if made.as_ref().is_err_and(|error| store::broken_constraint(error) == Some("account_name_key")) {
                    bail!(
                        "an account {:?} exists; reset its password with: darkroom user reset-password {name}",
                        name.as_str()
                    );
                }
                made?;
                password.tell(name.as_str(), &text);
            }
            Act::ResetPassword { name, password } => {
                let (text, hash, mut db) = password.ready().await?;
                let Some((account, _)) = store::accounts::find_by_name(&mut db, &name).await? else {
                    bail!("there is no account {name:?}");
                };
                let change = AccountChange { password_hash: Some(hash), ..AccountChange::default() };
                store::accounts::update(&mut db, account.id, &change, None).await?;
                password.tell(&name, &text);
            }
        }
        Ok(Exit::Success)
    }
}

async fn list(listing: Listing) -> anyhow::Result<Exit> {
    let question =
        Question { path: &["auth", "users"], query: Vec::new(), most: None, nothing: "There is no account." };
    let row = |user: &UserOut| {
        [
            text::clean(&user.name),
            roles_of(user),
            state(user).to_owned(),
            text::one_line(user.email.as_deref().unwrap_or("-"), 40),
            minute(user.created_at),
        ]
    };
    listing.show(question, ["NAME", "ROLES", "STATE", "E-MAIL", "CREATED (UTC)"], row).await
}

impl Named {
    async fn set(&self, change: &Value) -> anyhow::Result<()> {
        let user: UserOut = self.connection.api()?.patch(&["auth", "users", &self.name], change).await?;
        text::say(&format!("{} is {}: {}.", text::clean(&user.name), state(&user), roles_of(&user)));
        Ok(())
    }
}

/// Takes the name of a role.
fn roles() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(["admin", "investigator", "researcher"]).try_map(Role::try_from)
}

fn roles_of(user: &UserOut) -> String {
    user.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",")
}

fn state(user: &UserOut) -> &'static str {
    if user.disabled_at.is_some() { "disabled" } else { "active" }
}

impl Password {
    /// The password, its hash, and a connection to the database that it goes to.
    async fn ready(&self) -> anyhow::Result<(String, String, PgConnection)> {
        let text = match &self.password_file {
            Some(file) => read_secret(file)?,
            None => made_up_password(),
        };
        check_password(&text).map_err(|fault| anyhow::anyhow!("{}", fault.detail))?;
        let hash = hash_password(&text)?;
        let options = self.database.options()?;
        let mut db = options.connect().await.with_context(|| store::unreached(&options))?;
        store::migrate::check(&mut db).await?;
        Ok((text, hash, db))
    }

    /// Says that it is done; a password that was made up here is shown.
    fn tell(&self, name: &str, password: &str) {
        if self.password_file.is_some() {
            eprintln!("done: {name}");
        } else {
            // Whoever does not read it resets it.
            let _ = text::print(&format!("{name}\n{password}\n"));
            eprintln!("This is the only time the password is shown.");
        }
    }
}
