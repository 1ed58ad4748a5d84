//! `darkroom demo`: from nothing to answers of real models in one command.

mod cast;
mod faces;
mod train;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Args, Parser};
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;

use self::cast::{RESEARCHER, account, say, worker};
use super::dev::{LISTEN, ListenArgs};
use super::exit::Exit;
use super::table;
use crate::app::{self, App};
use crate::client::destination::Destination;
use crate::client::http::Api;
use crate::client::options::Options;
use crate::client::progress::Progress;
use crate::client::submit::{SubmitReport, submit};
use crate::config::{Secret, Serve};
use crate::dev::postgres::{APPLICATION, AUDITOR};
use crate::dev::process::Server;
use crate::dev::{Alone, FOLDER, Postgres, Redis, data_folder, own_folder, private_file, python};
use crate::domain::account::Role;
use crate::domain::key::Service;
use crate::report::{self, Pictures};
use crate::service::Ctx;
use crate::store::rights::{Login, Logins};
use crate::store::{migrate, models};

/// The microservices, each in its folder of `examples/`.
const MODELS: [&str; 3] = ["face_detect", "image_stats", "image_hash"];
const PHOTOS: &str = "examples/photos";
const INVESTIGATOR: &str = "demo-investigator";
const ADMIN: &str = "demo-admin";
/// What is shown.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Train instead: a run on digits, its model promoted, and all that was held out predicted and compared with scikit-learn
    #[arg(long)]
    train: bool,
    #[command(flatten)]
    place: ListenArgs,
}

/// Runs the demo; stays up until SIGINT or SIGTERM, or, with `DEMO_EXIT=1`, ends with 0 only if every photograph
/// was computed now by every model and every marked face was found; or, with `--train`, if every digit is scikit-learn's.
pub async fn run(args: &DemoArgs) -> anyhow::Result<Exit> {
    if !Path::new(PHOTOS).is_dir() {
        bail!("{PHOTOS} is not here; run the demo from the folder of the repository");
    }
    let start = Instant::now();
    own_folder(Path::new(FOLDER), None)?;
    let mut alone = match Alone::take(&Path::new(FOLDER).join("demo.lock"))? {
        Ok(alone) => alone,
        Err(said) => bail!("a demo runs here already{said}; stop it with Ctrl-C first, or use it"),
    };
    let listener = listen(args.place.said(), start).await?;
    let folder = data_folder()?.join("demo");
    say(start, "starting a PostgreSQL and a Redis of its own");
    let postgres = Postgres::start(&folder.join("postgres"), &[], false).await?;
    let redis = Redis::start(&folder.join("redis"), false).await?;
    say(start, "preparing Python for the microservices");
    for service in if args.train { &train::SERVICES[..] } else { &MODELS } {
        python::install_requirements(&Path::new("examples").join(service).join("requirements.txt"))?;
    }
    let python = python::environment()?;
    say(start, "migrating and starting the server");
    let database = PgConnectOptions::from_str(&postgres.url("postgres"))?;
    let keeps = || format!("the demo's servers keep their data in {}", folder.display());
    migrate::migrate(&database).await.with_context(keeps)?;
    let login = |name: &str| Some(Login { name: name.to_owned(), password: None });
    migrate::settle_rights(&database, &Logins { application: login(APPLICATION), auditor: login(AUDITOR) }).await?;
    let app = App::new(&settings(&postgres, &redis)).await?;
    let ctx = Arc::clone(&app.ctx);
    let base = format!("http://{}", listener.local_addr()?);
    alone.say(&format!(": {base}, its passwords were printed where it was started"))?;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(app.run(listener, async { drop(ended.await) }));
    let demo = if args.train {
        train::demonstrate(&ctx, &base, &python, start).await
    } else {
        demonstrate(&ctx, &base, &python, start).await
    };
    let audit = postgres.url_as(AUDITOR, "postgres");
    println!("Audit in SQL with:\n\nDARKROOM_AUDIT_URL='{audit}' cargo run --quiet -- psql --audit\n");
    let exit = match demo {
        Ok((exit, workers)) => {
            if std::env::var("DEMO_EXIT").is_ok_and(|v| v == "1") {
                drop(workers);
                exit
            } else {
                say(start, "everything stays up until Ctrl-C");
                app::stop_signal().await;
                eprintln!("stopping what was started");
                drop(workers);
                Exit::Success
            }
        }
        Err(error) => {
            drop(end);
            let _ = server.await;
            return Err(error);
        }
    };
    drop(end);
    server.await??;
    drop((redis, postgres));
    Ok(exit)
}

fn settings(postgres: &Postgres, redis: &Redis) -> Serve {
    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        serve: Serve,
    }
    let mut serve = Defaults::parse_from(["darkroom"]).serve;
    serve.database.database_url = Secret(postgres.url_as(APPLICATION, "postgres"));
    serve.database.database_password_file = None;
    serve.redis_url = Secret(redis.url());
    serve.redis_password_file = None;
    serve.data = Path::new(FOLDER).join("demo-data");
    serve
}

/// Where it was said to; else where the pages say, if nobody else listens there.
async fn listen(said: Option<&str>, start: Instant) -> anyhow::Result<TcpListener> {
    if let Some(place) = said {
        return app::listen(place).await;
    }
    if let Ok(listener) = TcpListener::bind(LISTEN).await {
        return Ok(listener);
    }
    let free = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.context("cannot listen on 127.0.0.1")?;
    let place = free.local_addr()?;
    say(start, &format!("{LISTEN} is taken: write http://{place} wherever a page says http://localhost:8080"));
    Ok(free)
}

async fn demonstrate(ctx: &Ctx, base: &str, python: &Path, start: Instant) -> anyhow::Result<(Exit, Vec<Server>)> {
    let passwords = Passwords {
        investigator: account(ctx, INVESTIGATOR, &[Role::Investigator]).await?,
        researcher: account(ctx, RESEARCHER, &[Role::Researcher]).await?,
        admin: account(ctx, ADMIN, Role::ALL).await?,
    };
    say(start, &format!("starting the microservices {}", MODELS.join(", ")));
    let mut workers = Vec::new();
    for model in MODELS {
        workers.push(worker(ctx, base, python, Service::Predict, model).await?);
    }
    wait_for_workers(ctx, start).await?;
    say(start, "submitting the photographs");
    let server = Destination::of(base);
    let nobody = Api::new(&server, None)?;
    let token = nobody.log_in(INVESTIGATOR, &passwords.investigator).await?;
    let api = Api::new(&server, Some(token.access_token))?;
    let mut options = Options::new(vec![PathBuf::from(PHOTOS)], MODELS.map(str::to_owned).to_vec());
    options.rerun = true;
    let outcome = Arc::new(submit(&options, &api, Progress::stderr()).await?);
    println!("{}", table::of_report(&outcome));
    let for_report = Arc::clone(&outcome);
    let html = tokio::task::spawn_blocking(move || report::render(&for_report, Pictures::Small)).await??;
    let report = Path::new(FOLDER).join("report.html");
    private_file(&report, &html, None)?;
    let environment = Path::new(FOLDER).join("postman_environment.json");
    private_file(&environment, &postman_environment(base, &passwords)?, None)?;
    let faces = faces::missed(&Path::new(PHOTOS).join("expected.json"), &outcome.photos)?;
    println!("{}", farewell(base, &passwords, &report, &environment, &outcome));
    let all_now = outcome.photos.iter().all(|p| p.jobs.len() == MODELS.len()) && outcome.rejected.is_empty();
    let computed_now = outcome.counts.computed_now == outcome.photos.len() * MODELS.len();
    for miss in &faces {
        println!("NOT FOUND: {miss}");
    }
    let good = all_now
        && computed_now
        && faces.is_empty()
        && Exit::of_report(&outcome) == Exit::Success
        && !outcome.photos.is_empty();
    Ok((if good { Exit::Success } else { Exit::SomeFailed }, workers))
}

/// Of the accounts of this run.
struct Passwords {
    investigator: String,
    researcher: String,
    admin: String,
}

async fn wait_for_workers(ctx: &Ctx, start: Instant) -> anyhow::Result<()> {
    let began = Instant::now();
    let names = MODELS.map(str::to_owned).to_vec();
    loop {
        let found = ctx.db.run(async |db| models::find(db, &names).await).await?;
        if found.iter().filter(|model| model.workers > 0).count() == MODELS.len() {
            say(start, "the microservices have registered");
            return Ok(());
        }
        if began.elapsed().as_secs() > 60 {
            bail!("the microservices did not register within a minute; look at {FOLDER}/*.log");
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

fn postman_environment(base: &str, passwords: &Passwords) -> anyhow::Result<String> {
    let value = |key: &str, value: &str, kind: &str| serde_json::json!({ "key": key, "value": value, "type": kind, "enabled": true });
    let environment = serde_json::json!({
        "name": "Darkroom demo",
        "values": [
            value("base", base, "default"),
            value("investigator", INVESTIGATOR, "default"),
            value("investigator_password", &passwords.investigator, "secret"),
            value("admin", ADMIN, "default"),
            value("admin_password", &passwords.admin, "secret"),
            value("photo", "examples/photos/astronaut.jpg", "default"),
        ],
    });
    Ok(serde_json::to_string_pretty(&environment)?)
}

fn farewell(base: &str, passwords: &Passwords, report: &Path, environment: &Path, outcome: &SubmitReport) -> String {
    let md5 = outcome.photos.first().map_or("", |photo| photo.md5.as_str());
    let report = report.canonicalize().unwrap_or_else(|_| report.to_path_buf());
    let program = std::env::current_exe().unwrap_or_default();
    format!(
        "
Page         {base}
Swagger UI   {base}/docs
Investigator {INVESTIGATOR}  {password}
Researcher   {RESEARCHER}  {researcher}
Admin        {ADMIN}  {admin}
Report       file://{report}
Postman      {environment} (with postman/darkroom.postman_collection.json)

Go on as README.md does, from \"Use it\":

export PATH={programs}:$PATH
darkroom login --server {base} --user {INVESTIGATOR}

Submit and look up with curl:

TOKEN=$(curl -s {base}/auth/login -d username={INVESTIGATOR} -d password={password} | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')
curl -s {base}/predict -H \"Authorization: Bearer $TOKEN\" -F images=@{PHOTOS}/astronaut.jpg -F models=face_detect,image_stats
curl -s \"{base}/predict/{md5}?wait_s=30\" -H \"Authorization: Bearer $TOKEN\"
",
        password = passwords.investigator,
        researcher = passwords.researcher,
        admin = passwords.admin,
        report = report.display(),
        programs = program.parent().unwrap_or(Path::new(".")).display(),
        environment = environment.display(),
    )
}
