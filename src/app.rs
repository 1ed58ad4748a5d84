//! Composition: configuration → pools → router and loops. The only room that knows every other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use uuid::Uuid;

use crate::blob::Blobs;
use crate::config::{Serve, read_secret};
use crate::dev::{own_folder, private_file};
use crate::domain::key::{KeyText, Service};
use crate::http::tls::Tls;
use crate::http::{self, UseCases};
use crate::service::Ctx;
use crate::service::accounts::{Accounts, Tokens};
use crate::service::acts::FrequentActs;
use crate::service::catalog::Catalog;
use crate::service::clock::DbClock;
use crate::service::events::Events;
use crate::service::items::Items;
use crate::service::keys::{Keys, fresh_key};
use crate::service::mirror::Mirror;
use crate::service::queues::Queues;
use crate::service::readiness::{self, Readiness};
use crate::service::status::Lookups;
use crate::service::submit::Submit;
use crate::service::tallies::Tallies;
use crate::service::versions::Versions;
use crate::service::waiters::Waiters;
use crate::service::work::{Claims, Completions};
use crate::service::workers::Workers;
use crate::store::keys::NewKey;
use crate::store::{self, Db, migrate, settings};
use crate::{maintenance, sdk, telemetry};

/// How long requests under way may go on after the signal to stop.
const DRAIN_WAIT: Duration = Duration::from_secs(20);
/// The shortest key that may sign tokens, in bytes.
const TOKEN_KEY_BYTES_MIN: usize = 32;
/// Streams of events look with at most one in so many of the connections for people.
const EVENT_LOOKS_PART: usize = 3;

/// The connections of the lines of what goes together: as many as their batches run at once.
const HOT_CONNECTIONS: u32 = Submit::CONNECTIONS
    + Lookups::CONNECTIONS
    + Claims::CONNECTIONS
    + Completions::CONNECTIONS
    + Workers::CONNECTIONS
    + Accounts::CONNECTIONS
    + Keys::CONNECTIONS
    + readiness::CONNECTIONS;

/// A composed server that does not listen yet.
pub struct App {
    pub ctx: Arc<Ctx>,
    pub router: Router,
    pub events: Arc<Events>,
    tls: Option<Arc<Tls>>,
    /// Set when the process is about to stop; dropped, it says the same.
    pub stop: watch::Sender<bool>,
}

impl App {
    /// Connects, checks the schema, and puts everything together.
    pub async fn new(config: &Serve) -> anyhow::Result<Self> {
        let limits = config.limits()?;
        let tls = tls(config)?;
        let options = config.database.options()?;
        let db = Db::common(options.clone(), config.db_connections);
        let hot = Db::hot(options.clone(), HOT_CONNECTIONS);
        let (work, search) = (Db::work(options.clone()), Db::search(options.clone()));
        let (upkeep, chores) = (Db::upkeep(options.clone()), Db::chores(options.clone()));
        if db.run(sqlx::Connection::ping).await.is_err() {
            // The pool tried until its time was up, and says no more than that.
            store::connect(&options).await.with_context(|| store::unreached(&options))?;
        }
        let secret = db.run(async |db| prepare(config, db).await).await?;
        let tokens = Tokens::new(&secret);
        let index = Arc::new(config.index(&secret)?);
        let blobs = Blobs::open(&config.data, Duration::from_secs_f64(config.storage_wait_s))
            .with_context(|| format!("cannot use the folder {}", config.data.display()))?;
        let replica = Uuid::new_v4();
        let (stop, stopping) = watch::channel(false);
        let (waiters, catalog, clock, acts) =
            (Waiters::new(), Catalog::new(&work), DbClock::default(), FrequentActs::new(&upkeep));
        let tallies = Tallies::new(&db);
        let (readiness, mirror) = (Readiness::new(&work, &hot), Mirror::new(&index, &work));
        let ctx = Arc::new(Ctx {
            db,
            hot,
            work,
            search,
            upkeep,
            chores,
            readiness,
            mirror,
            index,
            blobs,
            waiters,
            versions: Versions::default(),
            items: Items::default(),
            replica,
            limits,
            decoding: config.decoding(),
            catalog,
            tallies,
            clock,
            acts,
            stopping,
        });
        let keys = Arc::new(Keys::new(&ctx));
        let queues = Arc::new(Queues::new(&ctx));
        let workers = Arc::new(Workers::new(&ctx, &queues));
        let events = Arc::new(Events::new((config.db_connections as usize / EVENT_LOOKS_PART).max(1)));
        let state = UseCases {
            submit: Submit::new(&ctx, &queues),
            lookups: Lookups::new(&ctx),
            claims: Claims::new(&ctx, &keys, &queues, &workers),
            completions: Completions::new(&ctx, &workers),
            workers,
            accounts: Accounts::new(&ctx, tokens),
            keys,
            queues,
            events: Arc::clone(&events),
            ctx: Arc::clone(&ctx),
            proxies: config.trusted_proxies.clone(),
            tls: tls.is_some(),
            sdk: sdk::wheel()?,
            openapi: openapi_bytes()?,
            figures_token: config.figures_token_file.as_deref().map(read_secret).transpose()?,
            prometheus: telemetry::recorder()?,
        };
        Ok(Self { ctx, router: http::router(Arc::new(state), &config.origins()?), events, tls, stop })
    }

    /// Serves until told to stop, then lets requests under way finish for a while.
    pub async fn run(
        self,
        listener: TcpListener,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        if let Err(error) = maintenance::make_partitions(&self.ctx).await {
            tracing::warn!(%error, "partitions could not be made now; rows fall into the default ones");
        }
        let mut loops = maintenance::start(&self.ctx);
        loops.spawn(telemetry::upkeep(telemetry::recorder()?));
        if let Some(tls) = &self.tls {
            loops.spawn(Arc::clone(tls).follow());
        }
        let (stop, ctx) = (self.stop, self.ctx);
        let stopped = async {
            until.await;
            tracing::info!("stopping: requests under way may finish");
            stop.send_replace(true);
        };
        let (wait, connections) = (ctx.limits.client_wait, ctx.limits.connections_max);
        http::serve::serve(listener, self.tls, self.router, wait, connections, stopped, DRAIN_WAIT).await;
        // A tick that is cut off puts back what it had not written.
        loops.shutdown().await;
        if let Err(error) = ctx.acts.write().await {
            tracing::error!(%error, "log-ins that failed, images viewed and keys used lately could not be written down");
        }
        if let Err(error) = ctx.versions.write(&ctx.db).await {
            tracing::warn!(%error, "what versions served lately could not be counted");
        }
        Ok(())
    }
}

/// TLS as it is set, if it is.
pub fn tls(config: &Serve) -> anyhow::Result<Option<Arc<Tls>>> {
    match (&config.tls_cert, &config.tls_key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(Arc::new(Tls::open(certificate, key)?))),
        _ => bail!("DARKROOM_TLS_CERT and DARKROOM_TLS_KEY go together"),
    }
}

/// The OpenAPI document as it is served and committed.
pub fn openapi_bytes() -> anyhow::Result<Bytes> {
    let mut text = http::openapi::document().to_pretty_json()?;
    text.push('\n');
    Ok(text.into())
}

/// Refuses a database that does not fit, takes up the bundled keys, and answers the key that signs tokens.
async fn prepare(config: &Serve, db: &mut sqlx::PgConnection) -> anyhow::Result<Vec<u8>> {
    migrate::check(db).await?;
    let key = token_key(config, db).await?;
    if let Some(folder) = &config.key_hashes {
        take_up_keys(db, folder).await?;
    }
    Ok(key)
}

async fn token_key(config: &Serve, db: &mut sqlx::PgConnection) -> anyhow::Result<Vec<u8>> {
    let text = match &config.token_key_file {
        Some(file) => read_secret(file)?,
        None => {
            let fresh: [u8; 32] = rand::random();
            settings::setting(db, "token_key", &hex::encode(fresh)).await?
        }
    };
    if text.len() < TOKEN_KEY_BYTES_MIN {
        bail!("the token key has {} bytes; it needs {TOKEN_KEY_BYTES_MIN}", text.len());
    }
    Ok(text.into_bytes())
}

/// The hash of a bundled microservice's key, as `setup` writes it.
#[derive(Serialize, Deserialize)]
struct KeyHash {
    id: String,
    secret_sha256: String,
    service: Service,
    models: Vec<String>,
}

async fn take_up_keys(db: &mut sqlx::PgConnection, folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let hash: KeyHash = serde_json::from_slice(&std::fs::read(&path)?)
            .with_context(|| format!("{} is not a key's hash", path.display()))?;
        let secret_sha256 = hex::decode(&hash.secret_sha256)?;
        let new = NewKey {
            id: &hash.id,
            secret_sha256: &secret_sha256,
            service: hash.service,
            models: &hash.models,
            owner: None,
            trusted: true,
            detail: Some("came with the installation"),
            expires_at: None,
        };
        store::keys::create(db, &new, None).await?;
    }
    Ok(())
}

/// Who gets what `setup` writes; without, whoever runs it. Only root can name others.
#[derive(Clone, Copy, Default)]
pub struct Owners {
    /// The id of the user that Darkroom and its microservices run as.
    pub service: Option<u32>,
    /// That of PostgreSQL and Redis, each of which then gets its password in a folder of its own.
    pub servers: Option<u32>,
}

/// Writes what an installation needs before its first start, and nothing that is there already: the passwords of the
/// database's three roles and of Redis, the key that signs tokens, and one key per bundled microservice, for the model that it serves or
/// the dataset that it trains on, each into a folder of its own, with the keys' hashes in another. Only the owner may read a file or enter its folder; a folder of somebody
/// else's is refused.
pub fn setup(folder: &Path, microservices: &[(Service, String)], owners: Owners) -> anyhow::Result<Vec<String>> {
    if !folder.exists() {
        own_folder(folder, None)?;
    }
    let mut made = Vec::new();
    let mut put = |name: &str, text: String, owner: Option<u32>| -> anyhow::Result<String> {
        let path = folder.join(name);
        own_folder(path.parent().unwrap_or(folder), owner)?;
        if !path.exists() {
            private_file(&path, &text, owner)?;
            made.push(path.display().to_string());
        }
        // What stands counts, as an earlier run may have left it.
        read_secret(&path)
    };
    // PostgreSQL is told its owner's alone: `migrate` makes the roles of the server and the auditor.
    let passwords = [("owner", Some("postgres")), ("database", None), ("audit", None), ("redis", Some("redis"))];
    for (ours, server) in passwords {
        let password = put(&format!("{ours}/password"), hex::encode(rand::random::<[u8; 24]>()), owners.service)?;
        if let Some(server) = server.filter(|_| owners.servers.is_some()) {
            put(&format!("for-{server}/password"), password, owners.servers)?;
        }
    }
    put("token/key", hex::encode(rand::random::<[u8; 32]>()), owners.service)?;
    for (service, name) in microservices {
        let place = match service {
            Service::Predict => format!("key-{name}"),
            Service::Train => format!("dataset-{name}"),
        };
        let file = format!("{place}/key");
        let key = put(&file, fresh_key().reveal(), owners.service)?;
        let key = KeyText::parse(&key).with_context(|| format!("{file} holds no key"))?;
        let hash = KeyHash {
            id: key.id.clone(),
            secret_sha256: hex::encode(key.secret_sha256()),
            service: *service,
            models: vec![name.clone()],
        };
        put(&format!("hashes/{place}.json"), serde_json::to_string_pretty(&hash)?, owners.service)?;
    }
    Ok(made)
}

/// Listens there.
///
/// # Errors
/// The address is no place of this machine's, or somebody else listens there.
pub async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        anyhow::anyhow!(
            "cannot listen on {address}: {error}; set DARKROOM_LISTEN to a free address, as DARKROOM_LISTEN=127.0.0.1:8081"
        )
    })
}

/// Runs the server until SIGINT or SIGTERM.
pub async fn serve(config: &Serve) -> anyhow::Result<()> {
    telemetry::init_logs(config.log, config.log_json);
    let app = App::new(config).await?;
    let listener = listen(&config.listen).await?;
    let address = listener.local_addr()?;
    let scheme = if app.tls.is_some() { "https" } else { "http" };
    tracing::info!(%address, "darkroom listens; Swagger UI is at {scheme}://{address}/docs");
    say_how_to_begin(&app.ctx).await;
    app.run(listener, stop_signal()).await
}

async fn say_how_to_begin(ctx: &Ctx) {
    if let Ok(false) = ctx.db.run(store::accounts::has_admin).await {
        tracing::warn!(
            "there is no administrator yet; make one with: darkroom user create admin --roles admin,investigator,researcher \
             (with Compose: docker-compose exec server darkroom user create admin --roles admin,investigator,researcher)"
        );
    }
}

/// Resolves at SIGINT or SIGTERM.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}
