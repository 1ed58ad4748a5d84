//! Where PostgreSQL is, for each of the roles that log in.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use clap::Args;
use percent_encoding::percent_decode_str;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::{Secret, read_secret};
use crate::store::rights::{Login, Logins};

/// Where PostgreSQL is, for the application.
#[derive(Args, Clone, Debug)]
pub struct Database {
    /// PostgreSQL, as `postgres://user:password@host:5432/database`
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "postgres://darkroom@localhost/darkroom"
    )]
    pub database_url: Secret,
    /// A file with the database password, in place of one in the URL
    #[arg(long, env = "DATABASE_PASSWORD_FILE")]
    pub database_password_file: Option<PathBuf>,
}

impl Database {
    /// The options to connect with.
    pub fn options(&self) -> anyhow::Result<PgConnectOptions> {
        connect_options("DATABASE_URL", &self.database_url, self.database_password_file.as_deref())
    }
}

/// Where the same database is for an auditor.
#[derive(Args, Clone, Debug)]
pub struct Auditor {
    /// The same database as an auditor, whose role may only read the audit's views; `migrate` makes it
    #[arg(long, env = "DARKROOM_AUDIT_URL", hide_env_values = true)]
    pub audit_url: Option<Secret>,
    /// A file with the auditor's password, in place of one in the URL
    #[arg(long, env = "DARKROOM_AUDIT_PASSWORD_FILE")]
    pub audit_password_file: Option<PathBuf>,
}

/// Where the database is for each of the three roles.
#[derive(Args, Clone, Debug)]
pub struct Databases {
    #[command(flatten)]
    pub application: Database,
    /// The same database as the owner of its tables, who makes the others' roles; else DATABASE_URL is its owner's
    #[arg(long, env = "DARKROOM_OWNER_URL", hide_env_values = true)]
    pub owner_url: Option<Secret>,
    /// A file with the owner's password, in place of one in the URL
    #[arg(long, env = "DARKROOM_OWNER_PASSWORD_FILE")]
    pub owner_password_file: Option<PathBuf>,
    #[command(flatten)]
    pub auditor: Auditor,
}

impl Databases {
    /// The options to connect as the owner with, and who else is to log in.
    pub fn roles(&self) -> anyhow::Result<(PgConnectOptions, Logins)> {
        let application = self.application.options()?;
        let owner = match &self.owner_url {
            None => application.clone(),
            Some(url) => connect_options("DARKROOM_OWNER_URL", url, self.owner_password_file.as_deref())?,
        };
        let auditor = match &self.auditor.audit_url {
            None => None,
            Some(url) => {
                let options = connect_options("DARKROOM_AUDIT_URL", url, self.auditor.audit_password_file.as_deref())?;
                Some(login(&options)?)
            }
        };
        let other = application.get_username() != owner.get_username();
        let logins = Logins { application: other.then(|| login(&application)).transpose()?, auditor };
        Ok((owner, logins))
    }
}

fn connect_options(setting: &str, url: &Secret, password_file: Option<&Path>) -> anyhow::Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(&url.0).with_context(|| {
        format!("{setting} is not a PostgreSQL URL, as postgres://user:password@host:5432/database")
    })?;
    match password_file {
        None => Ok(options),
        Some(file) => Ok(options.password(&read_secret(file)?)),
    }
}

fn login(options: &PgConnectOptions) -> anyhow::Result<Login> {
    let url = options.to_url_lossy();
    let password = url.password().map(|encoded| percent_decode_str(encoded).decode_utf8());
    let password = password.transpose().context("a password is not UTF-8")?;
    Ok(Login { name: options.get_username().to_owned(), password: password.map(Cow::into_owned) })
}
