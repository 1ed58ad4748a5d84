//! `psql` on the server's database, as the application or, read-only, as an auditor.

use std::process::Command;

use anyhow::Context;
use clap::Args;
use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::exit::Exit;
use crate::config::{Auditor, Database, read_secret};
use crate::dev::find;

#[derive(Args)]
pub struct PsqlArgs {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    auditor: Auditor,
    /// See only the views audit_*, and change nothing
    #[arg(long)]
    audit: bool,
    /// More arguments for psql, after `--`, as: -- -c 'SELECT count(*) FROM audit_jobs'
    #[arg(last = true)]
    more: Vec<String>,
}

impl PsqlArgs {
    pub fn run(self) -> anyhow::Result<Exit> {
        let program = find::psql().context("psql is not installed; as root: apt-get install -y postgresql-client")?;
        let mut psql = Command::new(program);
        let (url, password_file) = if self.audit {
            psql.env("PGOPTIONS", "-c default_transaction_read_only=on");
            let missing = "set DARKROOM_AUDIT_URL to the database as an auditor, whose role `darkroom migrate` makes";
            (self.auditor.audit_url.as_ref().context(missing)?, &self.auditor.audit_password_file)
        } else {
            (&self.database.database_url, &self.database.database_password_file)
        };
        let (url, password) = without_password(&url.0);
        psql.arg("--no-psqlrc").arg(url).args(&self.more);
        let password = password_file.as_deref().map(read_secret).transpose()?.or(password);
        psql.envs(password.map(|password| ("PGPASSWORD", password)));
        let status = psql.status().context("psql cannot be started")?;
        Ok(if status.success() { Exit::Success } else { Exit::SomeFailed })
    }
}

/// A URL and the password that was in it: whoever lists the machine's processes reads their arguments.
fn without_password(url: &str) -> (String, Option<String>) {
    let Ok(mut parsed) = Url::parse(url) else { return (url.to_owned(), None) };
    let password = parsed.password().map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned());
    match parsed.set_password(None) {
        Ok(()) => (parsed.into(), password),
        Err(()) => (url.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_among_the_arguments() {
        for (url, without, password) in [
            (
                "postgres://ada:s%40lt@db:5432/darkroom?sslmode=require",
                "postgres://ada@db:5432/darkroom?sslmode=require",
                Some("s@lt"),
            ),
            ("postgres://ada@%2Frun%2Fpg:5432/darkroom", "postgres://ada@%2Frun%2Fpg:5432/darkroom", None),
            ("dbname=darkroom", "dbname=darkroom", None),
        ] {
            assert_eq!(without_password(url), (without.to_owned(), password.map(str::to_owned)));
        }
    }
}
