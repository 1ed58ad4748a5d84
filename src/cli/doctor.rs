//! Looks for what is wrong with an installation, and says how to mend it.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::exit::Exit;
use crate::blob::Blobs;
use crate::client::text;
use crate::config::Serve;
use crate::index::keys;
use crate::store::{accounts, migrate, queues};

/// What was found, line by line.
#[derive(Default)]
struct Findings {
    wrong: usize,
}

impl Findings {
    fn fine(&mut self, what: &str) {
        say(&format!("ok    {what}\n"));
    }

    fn odd(&mut self, what: &str, mend: &str) {
        say(&format!("warn  {what}\n      {mend}\n"));
    }

    fn wrong(&mut self, what: &str, mend: &str) {
        self.wrong += 1;
        say(&format!("WRONG {what}\n      {mend}\n"));
    }
}

fn say(text: &str) {
    // Whoever does not read on still gets the exit code.
    let _ = text::print(text);
}

/// Checks settings, PostgreSQL, Redis and the storage; 1 when something is wrong.
pub async fn run(config: &Serve) -> anyhow::Result<Exit> {
    let mut findings = Findings::default();
    match config.limits().and_then(|_| config.origins()) {
        Ok(_) => findings.fine("the settings fit together"),
        Err(error) => {
            findings.wrong(&format!("settings: {error:#}"), "change them; darkroom serve --help explains each");
        }
    }
    match PgConnection::connect_with(&config.database.options()?).await {
        Ok(mut db) => {
            findings.fine("PostgreSQL answers");
            postgres(&mut findings, &mut db).await?;
            redis(&mut findings, config, &mut db).await?;
        }
        Err(error) => findings.wrong(&format!("PostgreSQL: {error}"), "check DATABASE_URL, and that the server runs"),
    }
    match Blobs::open(&config.data, Duration::from_secs_f64(config.storage_wait_s)) {
        Ok(_) => findings.fine(&format!("{} can be written", config.data.display())),
        Err(error) => findings
            .wrong(&format!("{}: {error}", config.data.display()), "make the folder writable, or set DARKROOM_DATA"),
    }
    Ok(if findings.wrong == 0 { Exit::Success } else { Exit::SomeFailed })
}

async fn postgres(findings: &mut Findings, db: &mut PgConnection) -> anyhow::Result<()> {
    match migrate::check(db).await {
        Ok(()) => findings.fine("the schema fits, and PostgreSQL keeps what it says it kept"),
        Err(error) => {
            findings.wrong(&error.to_string(), "until then the server does not start");
            return Ok(());
        }
    }
    if accounts::has_admin(db).await? {
        findings.fine("there is an administrator");
    } else {
        findings.odd("there is no administrator", "darkroom user create admin --roles admin,investigator,researcher");
    }
    if migrate::audit_role_works(db).await? {
        findings.fine("the audit role can read the audit views");
    } else {
        let mend = format!("as a role that may, run:\n{}", migrate::AUDIT_GRANTS);
        findings.odd("the audit role is missing or may not read the audit views", &mend);
    }
    Ok(())
}

async fn redis(findings: &mut Findings, config: &Serve, db: &mut PgConnection) -> anyhow::Result<()> {
    let index = config.index()?;
    let (connection, _) = match index.connect().await {
        Ok(connected) => connected,
        Err(error) => {
            findings.odd(&format!("Redis: {error}"), "nothing is lost without it, but claims and look-ups are slower");
            return Ok(());
        }
    };
    index.trust(connection, "doctor").await?;
    findings.fine("Redis answers");
    match index.eviction_policy().await.as_deref() {
        Some("noeviction") | None => {}
        Some(policy) => findings.odd(&format!("Redis may evict keys ({policy})"), "set maxmemory-policy to noeviction"),
    }
    for depth in queues::depths(db).await? {
        let shown = index.depth(&depth.model).await.unwrap_or(0);
        if shown.abs_diff(u64::try_from(depth.queued).unwrap_or(0)) > 100 {
            let what = format!(
                "{} has {} queued jobs, {} shows {shown}",
                depth.model,
                depth.queued,
                keys::queue(&config.namespace, &depth.model)
            );
            findings.odd(
                &what,
                "jobs not yet due are not in Redis; else the sweep mends it, look at darkroom_index_missing_total",
            );
        }
    }
    Ok(())
}
