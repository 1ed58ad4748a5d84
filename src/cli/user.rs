//! Accounts made beside the server, on its database: how the first administrator comes to be.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use sqlx::ConnectOptions;

use super::exit::Exit;
use crate::config::{Database, read_secret};
use crate::domain::account::Role;
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
    /// Make an account; without a password file one is made up and printed, once
    Create {
        name: String,
        /// What it may do
        #[arg(long, value_delimiter = ',', required = true,
              value_parser = PossibleValuesParser::new(["admin", "investigator", "researcher"]).try_map(Role::try_from))]
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
            Act::Create { name, roles, email, password } => {
                let name = Name::parse(&name).map_err(anyhow::Error::msg)?;
                let (text, made_up) = password.text()?;
                let hash = hash_password(&text)?;
                let mut db = password.database.options()?.connect().await.context("cannot connect to PostgreSQL")?;
                store::migrate::check(&mut db).await?;
                let made = store::accounts::create(&mut db, name.as_str(), email.as_deref(), &hash, &roles, None).await;
                match made {
                    Ok(_) => {}
                    Err(error) if store::broken_constraint(&error) == Some("account_name_key") => {
                        bail!(
                            "an account {:?} exists; reset its password with: darkroom user reset-password {name}",
                            name.as_str()
                        )
                    }
                    Err(error) => return Err(error.into()),
                }
                tell(name.as_str(), &text, made_up);
            }
            Act::ResetPassword { name, password } => {
                let (text, made_up) = password.text()?;
                let hash = hash_password(&text)?;
                let mut db = password.database.options()?.connect().await.context("cannot connect to PostgreSQL")?;
                store::migrate::check(&mut db).await?;
                let Some((account, _)) = store::accounts::find_by_name(&mut db, &name).await? else {
                    bail!("there is no account {name:?}");
                };
                let change = AccountChange { password_hash: Some(hash), ..AccountChange::default() };
                store::accounts::update(&mut db, account.id, &change, None).await?;
                tell(&name, &text, made_up);
            }
        }
        Ok(Exit::Success)
    }
}

impl Password {
    /// The password, and whether it was made up here.
    fn text(&self) -> anyhow::Result<(String, bool)> {
        let Some(file) = &self.password_file else { return Ok((made_up_password(), true)) };
        let text = read_secret(file)?;
        check_password(&text).map_err(|fault| anyhow::anyhow!("{}", fault.detail))?;
        Ok((text, false))
    }
}

fn tell(name: &str, password: &str, made_up: bool) {
    if made_up {
        println!("{name}\n{password}");
        eprintln!("This is the only time the password is shown.");
    } else {
        eprintln!("done: {name}");
    }
}
