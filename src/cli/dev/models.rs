//! The models that `darkroom dev` serves: each loads again when its file changes, and outlives the server.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;

use crate::config::read_secret;
use crate::dev::{FOLDER, private_file, python};
use crate::domain::key::{KeyText, Service};
use crate::service::keys::fresh_key;
use crate::store;
use crate::store::keys::{self, NewKey};

/// Where Python finds the package.
const PACKAGE: &str = "sdk/python";

/// Starts a worker for each file, with what the requirements beside it list; they wait for the server by themselves.
pub(super) async fn start(files: &[PathBuf], listen: &str, database_url: &str) -> anyhow::Result<Vec<Child>> {
    let package = Path::new(PACKAGE).canonicalize().with_context(|| format!("{PACKAGE} is not here"))?;
    let key = key(database_url).await?;
    let python = python::environment()?;
    let server = format!("http://{}", listen.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]"));
    let mut workers = Vec::new();
    for file in files {
        let requirements = file.with_file_name("requirements.txt");
        if requirements.exists() {
            python::install_requirements(&requirements)?;
        }
        let mut worker = Command::new(&python);
        worker
            .args(["-m", "darkroom_worker", "run", "--watch", "--server", &server, "--api-key-file"])
            .arg(&key)
            .arg(file)
            .env("PYTHONPATH", &package)
            // What it would leave there is watched.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            // Away from the terminal's Ctrl-C, which would make ours the second signal: that one gives up what is in hand.
            .process_group(0);
        workers.push(worker.spawn().with_context(|| format!("cannot serve {}", file.display()))?);
    }
    Ok(workers)
}

/// The file with a key for any model, the same at every start.
async fn key(database_url: &str) -> anyhow::Result<PathBuf> {
    let file = Path::new(FOLDER).join("dev-worker.key");
    if !file.exists() {
        private_file(&file, &fresh_key().reveal(), None)?;
    }
    let key = KeyText::parse(&read_secret(&file)?).with_context(|| format!("{} holds no key", file.display()))?;
    let (models, secret_sha256) = (["*".to_owned()], key.secret_sha256());
    let new = NewKey {
        id: &key.id,
        secret_sha256: &secret_sha256,
        service: Service::Predict,
        models: &models,
        owner: None,
        trusted: true,
        detail: Some("made by darkroom dev"),
        expires_at: None,
    };
    let mut db = store::connect(&PgConnectOptions::from_str(database_url)?).await?;
    keys::create(&mut db, &new, None).await?;
    Ok(file)
}
