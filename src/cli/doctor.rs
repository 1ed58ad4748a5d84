//! Looks for what is wrong with an installation, and says how to mend it.

use std::path::Path;
use std::time::Duration;

use sqlx::PgConnection;

use super::exit::Exit;
use crate::app;
use crate::blob::Blobs;
use crate::client::text;
use crate::config::{Serve, read_secret};
use crate::index::keys;
use crate::store::{accounts, connect, items, migrate, queues, rights, unreached};

/// How long each part may take to answer: longer than connecting may.
const CHECK_WAIT: Duration = Duration::from_secs(8);

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

/// Checks settings, PostgreSQL, Redis and the storage, each whatever the others are like; 1 when something is wrong.
pub async fn run(config: &Serve) -> anyhow::Result<Exit> {
    let mut findings = Findings::default();
    let part = &mut findings;
    in_time(part, "the name in DARKROOM_LISTEN", async |part| settings(part, config).await).await;
    let mut db = in_time(part, "PostgreSQL", async |part| postgres(part, config).await).await.flatten();
    in_time(part, "Redis, or what PostgreSQL says beside it,", async |part| redis(part, config, db.as_mut()).await)
        .await;
    in_time(part, "the storage", async |part| storage(part, &config.data).await).await;
    Ok(if findings.wrong == 0 { Exit::Success } else { Exit::SomeFailed })
}

/// Carries out one check, and says so when it gets no answer: the others go on.
async fn in_time<T>(findings: &mut Findings, what: &str, check: impl AsyncFnOnce(&mut Findings) -> T) -> Option<T> {
    let checked = tokio::time::timeout(CHECK_WAIT, check(findings)).await.ok();
    if checked.is_none() {
        let late = format!("{what} did not answer within {} s", CHECK_WAIT.as_secs());
        findings.wrong(&late, "it stands still, is locked, or cannot be reached; look at its log");
    }
    checked
}

async fn settings(findings: &mut Findings, config: &Serve) {
    let listen = tokio::net::lookup_host(&config.listen).await.map(Vec::from_iter);
    let listen_far = listen.as_ref().is_ok_and(|places| places.iter().any(|place| !place.ip().is_loopback()));
    let checks = [
        config.limits().map(drop),
        config.origins().map(drop),
        listen.map(drop).map_err(|error| anyhow::anyhow!("DARKROOM_LISTEN is {:?}: {error}", config.listen)),
        app::tls(config).map(drop),
        config.token_key_file.as_deref().map_or(Ok(()), |file| read_secret(file).map(drop)),
    ];
    let mut fine = true;
    for error in checks.into_iter().filter_map(Result::err) {
        fine = false;
        findings.wrong(&format!("settings: {error:#}"), "change it; darkroom serve --help explains each");
    }
    if fine {
        findings.fine("the settings fit together");
    }
    if listen_far && config.tls_cert.is_none() {
        let mend =
            "unless a proxy with TLS or a private network is in front, set DARKROOM_TLS_CERT and DARKROOM_TLS_KEY";
        findings.odd(&format!("{} takes passwords and photographs in clear from other machines", config.listen), mend);
    }
}

/// A connection to the database, if its schema fits.
async fn postgres(findings: &mut Findings, config: &Serve) -> Option<PgConnection> {
    let options = match config.database.options() {
        Ok(options) => options,
        Err(error) => {
            findings.wrong(&format!("settings: {error:#}"), "change it; darkroom serve --help explains each");
            return None;
        }
    };
    let mut db = match connect(&options).await {
        Ok(db) => db,
        Err(error) => {
            findings.wrong(&format!("PostgreSQL: {error}"), &unreached(&options));
            return None;
        }
    };
    findings.fine("PostgreSQL answers");
    if let Err(error) = migrate::check(&mut db).await {
        findings.wrong(&error.to_string(), "until then the server does not start");
        return None;
    }
    findings.fine("the schema fits, and PostgreSQL keeps what it says it kept");
    let looked = async {
        people(findings, &mut db).await?;
        results(findings, &mut db).await
    };
    if let Err(error) = looked.await {
        findings.wrong(&format!("PostgreSQL: {error}"), "look at its log");
        return None;
    }
    Some(db)
}

async fn people(findings: &mut Findings, db: &mut PgConnection) -> sqlx::Result<()> {
    if accounts::has_admin(db).await? {
        findings.fine("there is an administrator");
    } else {
        findings.odd("there is no administrator", "darkroom user create admin --roles admin,investigator,researcher");
    }
    if rights::may_alter_audit(db).await? {
        findings.odd(
            "the application owns its tables: whoever has DATABASE_URL can alter what the audit says",
            "give it a role of its own: docs/operations.md, \"Three roles\"",
        );
    } else {
        findings.fine("the application can only add to what the audit says");
    }
    Ok(())
}

/// How long a result may be there that searches do not find: a minute, some sixty looks for such.
const ITEMS_LAG_MAX_S: f64 = 60.0;

/// Whether results become searchable.
async fn results(findings: &mut Findings, db: &mut PgConnection) -> sqlx::Result<()> {
    match items::lag(db).await? {
        Some(lag) if lag > ITEMS_LAG_MAX_S => findings.odd(
            &format!("searches miss the results of the last {lag:.0} s"),
            "end the transaction that is open for longest, of whatever database of this PostgreSQL (pg_stat_activity, ORDER BY xact_start; \
             pg_prepared_xacts); if there is none, look at the log of the server",
        ),
        _ => findings.fine("searches find what results say"),
    }
    Ok(())
}

async fn redis(findings: &mut Findings, config: &Serve, db: Option<&mut PgConnection>) {
    // It reads nothing that is sealed.
    let index = match config.index(&[]) {
        Ok(index) => index,
        Err(error) => {
            return findings.wrong(
                &format!("settings: {error:#}"),
                "write it as redis://host:6379; a password may lie in REDIS_PASSWORD_FILE",
            );
        }
    };
    let connected = async { index.trust(index.connect().await?.0, "doctor", "doctor").await };
    if let Err(error) = connected.await {
        let cost = "nothing is lost without it, but claims and look-ups are slower";
        return findings.odd(&format!("Redis: {error}"), cost);
    }
    findings.fine("Redis answers");
    match index.eviction_policy().await.as_deref() {
        Some("noeviction") | None => {}
        Some(policy) => findings.odd(&format!("Redis may evict keys ({policy})"), "set maxmemory-policy to noeviction"),
    }
    let Some(db) = db else { return };
    let depths = match queues::depths(db).await {
        Ok(depths) => depths,
        Err(error) => return findings.wrong(&format!("PostgreSQL: {error}"), "look at its log"),
    };
    for depth in depths {
        let shown = index.depth(&depth.model).await.unwrap_or(0);
        if shown.abs_diff(u64::try_from(depth.queued).unwrap_or(0)) > 100 {
            let key = keys::queue(&config.namespace, &depth.model);
            findings.odd(
                &format!("{} has {} queued jobs, {key} shows {shown}", depth.model, depth.queued),
                "jobs not yet due are not in Redis; else the sweep mends it, look at darkroom_index_missing_total",
            );
        }
    }
}

async fn storage(findings: &mut Findings, folder: &Path) {
    let shown = folder.display();
    let (done, probed) = tokio::sync::oneshot::channel();
    let folder = folder.to_path_buf();
    // A thread of its own: the end of the program waits for none that hangs in a dead file system.
    std::thread::spawn(move || done.send(Blobs::probe(&folder)));
    match probed.await {
        Ok(Ok(())) => findings.fine(&format!("{shown} can be written")),
        Ok(Err(error)) => {
            findings.wrong(&format!("{shown}: {error}"), "make the folder writable, or set DARKROOM_DATA");
        }
        Err(_) => findings.wrong(&format!("{shown} could not be tried"), "look at what the system says of it"),
    }
}
