//! `darkroom demo --train`: a run on digits, what it brings made a version of a model, and all that was held out predicted with it.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use tokio::process::Command;

use super::cast::{PACKAGE, RESEARCHER, account, say, worker};
use crate::cli::exit::Exit;
use crate::dev::process::Server;
use crate::dev::{FOLDER, private_file};
use crate::domain::account::Role;
use crate::domain::key::Service;
use crate::service::Ctx;

/// The microservices, each in its folder of `examples/`; the second is started for what the first brings.
pub const SERVICES: [&str; 2] = ["digits", "onnx_predict"];
const WALK: &str = "examples/walk.py";

pub async fn demonstrate(ctx: &Ctx, base: &str, python: &Path, start: Instant) -> anyhow::Result<(Exit, Vec<Server>)> {
    let password = account(ctx, RESEARCHER, &[Role::Researcher]).await?;
    let password_file = Path::new(FOLDER).join("demo-researcher.password");
    private_file(&password_file, &password, None)?;
    say(start, "starting the training microservice digits");
    let trainer = worker(ctx, base, python, Service::Train, SERVICES[0]).await?;
    let mut walk = Command::new(python);
    walk.args([WALK, "--server", base, "--user", RESEARCHER, "--password-file"])
        .arg(&password_file)
        .env("PYTHONPATH", Path::new(PACKAGE).canonicalize()?)
        .kill_on_drop(true);
    let walked = walk.status().await.with_context(|| format!("{WALK} cannot be run"))?;
    println!(
        "
Server       {base}
Swagger UI   {base}/docs
Researcher   {RESEARCHER}  {password}
Again        PYTHONPATH={PACKAGE} {python} {WALK} --server {base} --user {RESEARCHER} --password-file {file} model=sgd
",
        python = python.display(),
        file = password_file.display(),
    );
    Ok((if walked.success() { Exit::Success } else { Exit::SomeFailed }, vec![trainer]))
}
