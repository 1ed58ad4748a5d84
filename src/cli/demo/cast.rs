//! Who plays in a demo: its accounts, and microservices with keys of their own.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;

use crate::dev::process::Server;
use crate::dev::{FOLDER, private_file};
use crate::domain::account::Role;
use crate::domain::key::Service;
use crate::service::Ctx;
use crate::service::accounts::{hash_password, made_up_password};
use crate::service::keys::fresh_key;
use crate::store::accounts::{self, AccountChange};
use crate::store::keys::{self, NewKey};

/// Where the package that runs them lies, which needs no other.
pub const PACKAGE: &str = "sdk/python";
pub const RESEARCHER: &str = "demo-researcher";

/// Says what happens, and when.
pub fn say(start: Instant, what: &str) {
    eprintln!("[{:5.1} s] {what}", start.elapsed().as_secs_f64());
}

/// Makes an account for this run, or gives the one of an earlier run a new password.
pub async fn account(ctx: &Ctx, name: &str, roles: &[Role]) -> anyhow::Result<String> {
    let password = made_up_password();
    let hash = hash_password(&password)?;
    let change = AccountChange {
        password_hash: Some(hash.clone()),
        roles: Some(roles.to_vec()),
        disabled: Some(false),
        email: None,
    };
    ctx.db
        .write(async |tx| match accounts::find_by_name(tx, name).await? {
            None => accounts::create(tx, name, None, &hash, roles, None).await,
            Some((account, _)) => accounts::update(tx, account.id, &change, None).await,
        })
        .await?;
    Ok(password)
}

/// Starts a microservice with a key made for this run.
pub async fn worker(ctx: &Ctx, base: &str, python: &Path, service: Service, name: &str) -> anyhow::Result<Server> {
    let key = fresh_key();
    let (names, hash) = ([name.to_owned()], key.secret_sha256());
    let new = NewKey {
        id: &key.id,
        secret_sha256: &hash,
        service,
        models: &names,
        owner: None,
        trusted: true,
        detail: Some("made by darkroom demo"),
        expires_at: None,
    };
    ctx.db.run(async |db| keys::create(db, &new, None).await).await?;
    let key_file = Path::new(FOLDER).join(format!("{name}.key"));
    private_file(&key_file, &key.reveal(), None)?;
    let key_file = key_file.canonicalize()?;
    let package = Path::new(PACKAGE).canonicalize().with_context(|| format!("{PACKAGE} is not here"))?;
    let mut command = vec![
        "env".to_owned(),
        format!("DARKROOM_URL={base}"),
        format!("DARKROOM_API_KEY_FILE={}", key_file.display()),
        format!("PYTHONPATH={}", package.display()),
        python.display().to_string(),
    ];
    let verb = match service {
        Service::Predict => "run",
        Service::Train => "train",
    };
    command.extend(["-m", "darkroom_worker", verb].map(str::to_owned));
    command.push(format!("examples/{name}/{name}.py"));
    Server::start(&command, "TERM", &Path::new(FOLDER).join(format!("{name}.log")), None)
}
