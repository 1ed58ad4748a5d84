//! `psql` on the server's database, for auditors read-only and as the audit role.

use std::process::Command;

use anyhow::Context;
use clap::Args;

use super::exit::Exit;
use crate::config::{Database, read_secret};
use crate::dev::find;

#[derive(Args)]
pub struct PsqlArgs {
    #[command(flatten)]
    database: Database,
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
        psql.arg("--no-psqlrc").arg(&self.database.database_url.0).args(&self.more);
        if let Some(file) = &self.database.database_password_file {
            psql.env("PGPASSWORD", read_secret(file)?);
        }
        if self.audit {
            psql.env("PGOPTIONS", "-c role=darkroom_audit -c default_transaction_read_only=on");
        }
        let status = psql.status().context("psql cannot be started")?;
        Ok(if status.success() { Exit::Success } else { Exit::SomeFailed })
    }
}
