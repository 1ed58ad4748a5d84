//! `psql` on the server's database, as the application or, read-only, as an auditor.

use std::process::Command;

use anyhow::Context;
use clap::Args;

use super::exit::Exit;
use crate::config::{Auditor, Database, read_secret};
use crate::dev::find;

#[derive(Args)]
pub struct PsqlArgs {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    auditor: Auditor,
    /// See only audit_jobs, audit_events and audit_keys, and change nothing
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
        psql.arg("--no-psqlrc").arg(&url.0).args(&self.more);
        if let Some(file) = password_file {
            psql.env("PGPASSWORD", read_secret(file)?);
        }
        let status = psql.status().context("psql cannot be started")?;
        Ok(if status.success() { Exit::Success } else { Exit::SomeFailed })
    }
}
