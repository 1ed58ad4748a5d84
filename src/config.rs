//! Settings of the server, from flags and the environment. The only place that reads them.

mod databases;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::http::HeaderValue;
use clap::Args;
use ipnet::IpNet;
use redis::IntoConnectionInfo;
use tracing_subscriber::filter::LevelFilter;

pub use self::databases::{Auditor, Database, Databases};
use crate::derive::{Decoding, Program};
use crate::index::{Index, Seal};
use crate::inspect::Bounds;
use crate::service::{Keep, Limits};

/// The most files or hashes in one request.
const IMAGES_MAX: usize = 1_000;
/// The most image × model pairs in one request: a transaction of some seconds.
const JOBS_MAX: usize = 10_000;
/// The most frames that an image may have.
const FRAMES_MAX: u32 = 1_000;
/// The longest side that an image may declare, in pixels.
const SIDE_MAX: u32 = 65_535;

/// Everything that `serve` may be told. `--help` and the table of docs/settings.md are made from these lines.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// Address to listen on
    #[arg(long, env = "DARKROOM_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// A file with the server's certificate and its chain, in PEM; with it the server speaks TLS, and takes up what changes
    #[arg(long, env = "DARKROOM_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// A file with the private key of that certificate, in PEM
    #[arg(long, env = "DARKROOM_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    #[command(flatten)]
    pub database: Database,
    /// Redis, as `redis://host:6379`; the server works without it, only slower
    #[arg(long, env = "REDIS_URL", hide_env_values = true, default_value = "redis://127.0.0.1:6379")]
    pub redis_url: Secret,
    /// A file with the password of Redis, in place of one in the URL
    #[arg(long, env = "REDIS_PASSWORD_FILE")]
    pub redis_password_file: Option<PathBuf>,
    /// Prefix of every Redis key, for several installations on one Redis
    #[arg(long, env = "DARKROOM_NAMESPACE", default_value = "darkroom")]
    pub namespace: String,
    /// Milliseconds that Redis may take to answer before the server goes on without it
    #[arg(long, env = "DARKROOM_REDIS_WAIT_MS", default_value_t = 300)]
    pub redis_wait_ms: u64,
    /// Folder of the image bytes
    #[arg(long, env = "DARKROOM_DATA", default_value = "data")]
    pub data: PathBuf,
    /// Seconds that one call to the image store may take
    #[arg(long, env = "DARKROOM_STORAGE_WAIT_S", default_value_t = 20.0)]
    pub storage_wait_s: f64,
    /// A file with the key that signs tokens (32 bytes or more); else one is made and kept in the database
    #[arg(long, env = "DARKROOM_TOKEN_KEY_FILE")]
    pub token_key_file: Option<PathBuf>,
    /// A file with the token that `/metrics` and `/queues` ask for; anybody may read them when not set
    #[arg(long, env = "DARKROOM_FIGURES_TOKEN_FILE")]
    pub figures_token_file: Option<PathBuf>,
    /// Folder with the hashes of the bundled microservices' keys, as `darkroom setup` writes them
    #[arg(long, env = "DARKROOM_KEY_HASHES")]
    pub key_hashes: Option<PathBuf>,
    /// Origins that browsers may call from, comma-separated; `*` allows any
    #[arg(long, env = "DARKROOM_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
    /// Addresses and networks of proxies, comma-separated, as `10.0.0.7,172.16.0.0/12`: theirs is what X-Forwarded-For is believed from
    #[arg(long, env = "DARKROOM_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// The most connections to PostgreSQL, besides 30 of its own
    #[arg(long, env = "DARKROOM_DB_CONNECTIONS", default_value_t = 10)]
    pub db_connections: u32,
    /// Seconds between a worker's beats
    #[arg(long, env = "DARKROOM_HEARTBEAT_S", default_value_t = 10.0)]
    pub heartbeat_s: f64,
    /// Seconds without a sign of life after which a worker is given up
    #[arg(long, env = "DARKROOM_LEASE_S", default_value_t = 30.0)]
    pub lease_s: f64,
    /// Seconds that a client may be silent within a request, or idle between two
    #[arg(long, env = "DARKROOM_CLIENT_WAIT_S", default_value_t = 30.0)]
    pub client_wait_s: f64,
    /// Seconds that the body of a request may take in all
    #[arg(long, env = "DARKROOM_BODY_WAIT_S", default_value_t = 3600.0)]
    pub body_wait_s: f64,
    /// The largest image, in bytes
    #[arg(long, env = "DARKROOM_IMAGE_BYTES_MAX", default_value_t = 64 * 1024 * 1024)]
    pub image_bytes_max: u64,
    /// The largest checkpoint or model of a training run, in bytes
    #[arg(long, env = "DARKROOM_ARTIFACT_BYTES_MAX", default_value_t = 2 * 1024 * 1024 * 1024)]
    pub artifact_bytes_max: u64,
    /// The largest upload request, in bytes
    #[arg(long, env = "DARKROOM_UPLOAD_BYTES_MAX", default_value_t = 2 * 1024 * 1024 * 1024)]
    pub upload_bytes_max: u64,
    /// The largest result, in bytes of JSON
    #[arg(long, env = "DARKROOM_RESULT_BYTES_MAX", default_value_t = 1024 * 1024)]
    pub result_bytes_max: usize,
    /// The most clients connected at once; more wait. Each may cost 30 kB
    #[arg(long, env = "DARKROOM_CONNECTIONS_MAX", default_value_t = 12_000)]
    pub connections_max: usize,
    /// The most bytes of JSON bodies and answers in flight at once; each costs memory three times over
    #[arg(long, env = "DARKROOM_BYTES_IN_FLIGHT_MAX", default_value_t = 64 * 1024 * 1024)]
    pub bytes_in_flight_max: usize,
    /// The most uploads at once; each takes some 2 MB of memory while it streams
    #[arg(long, env = "DARKROOM_UPLOADS_MAX", default_value_t = 32)]
    pub uploads_max: usize,
    /// The most claims that wait for work at once; each holds a connection
    #[arg(long, env = "DARKROOM_CLAIMS_WAITING_MAX", default_value_t = 7_500)]
    pub claims_waiting_max: usize,
    /// The most look-ups that wait for an end at once; each looks again every two seconds
    #[arg(long, env = "DARKROOM_LOOKUPS_WAITING_MAX", default_value_t = 4_000)]
    pub lookups_waiting_max: usize,
    /// The most streams of events at once, one for each page that is looked at; each holds a connection
    #[arg(long, env = "DARKROOM_STREAMS_MAX", default_value_t = 400)]
    pub streams_max: usize,
    /// The most pixels that an image may declare
    #[arg(long, env = "DARKROOM_PIXELS_MAX", default_value_t = 250_000_000)]
    pub pixels_max: u64,
    /// The most decoders at once, which make thumbnails and read EXIF of new images in the background; none with 0
    #[arg(long, env = "DARKROOM_DECODERS", default_value_t = 1)]
    pub decoders: usize,
    /// The most memory of a decoder, in bytes; a photograph that needs more has no thumbnail
    #[arg(long, env = "DARKROOM_DECODER_BYTES_MAX", default_value_t = 512 * 1024 * 1024)]
    pub decoder_bytes_max: u64,
    /// Keep where photographs were taken, if their EXIF says so
    #[arg(long, env = "DARKROOM_GPS")]
    pub gps: bool,
    /// What is run as a decoder: this program, but for tests.
    #[arg(skip)]
    pub decoder: Program,
    /// The most bytes of the exports of an account together
    #[arg(long, env = "DARKROOM_EXPORT_BYTES_MAX", default_value_t = 64 * 1024 * 1024 * 1024)]
    pub export_bytes_max: u64,
    /// Seconds that an export is kept after it was made
    #[arg(long, env = "DARKROOM_EXPORT_KEPT_S", default_value_t = 86_400.0)]
    pub export_kept_s: f64,
    /// Days that an image is kept after its newest upload; for ever when not set
    #[arg(long, env = "DARKROOM_KEEP_IMAGES_DAYS")]
    pub keep_images_days: Option<u32>,
    /// Days that results are kept
    #[arg(long, env = "DARKROOM_KEEP_RESULTS_DAYS")]
    pub keep_results_days: Option<u32>,
    /// Days that errors and tracebacks are kept
    #[arg(long, env = "DARKROOM_KEEP_ATTEMPTS_DAYS")]
    pub keep_attempts_days: Option<u32>,
    /// Days that ended jobs, their events, submissions and sessions are kept
    #[arg(long, env = "DARKROOM_KEEP_JOBS_DAYS")]
    pub keep_jobs_days: Option<u32>,
    /// Days that events are kept, where that is shorter than their jobs
    #[arg(long, env = "DARKROOM_KEEP_EVENTS_DAYS")]
    pub keep_events_days: Option<u32>,
    /// Days that ended training runs are kept, with metrics and files; those that are versions of a model stay
    #[arg(long, env = "DARKROOM_KEEP_RUNS_DAYS")]
    pub keep_runs_days: Option<u32>,
    /// Days that checkpoints of ended training runs are kept, where that is shorter than their runs
    #[arg(long, env = "DARKROOM_KEEP_CHECKPOINTS_DAYS")]
    pub keep_checkpoints_days: Option<u32>,
    /// Seconds that a token is valid
    #[arg(long, env = "DARKROOM_TOKEN_S", default_value_t = 12 * 60 * 60)]
    pub token_s: i64,
    /// What to log: error, warn, info, debug or trace
    #[arg(long, env = "DARKROOM_LOG", default_value = "info")]
    pub log: LevelFilter,
    /// Log JSON lines
    #[arg(long, env = "DARKROOM_LOG_JSON")]
    pub log_json: bool,
}

impl Serve {
    /// The limits, checked against each other; all problems are told at once.
    pub fn limits(&self) -> anyhow::Result<Limits> {
        let sane = [
            ((0.05..=3600.0).contains(&self.heartbeat_s), "DARKROOM_HEARTBEAT_S is from 0.05 to 3600"),
            (
                (2.0 * self.heartbeat_s..=86_400.0).contains(&self.lease_s),
                "DARKROOM_LEASE_S is at least two heartbeats, or a single lost beat kills a worker, and at most a day",
            ),
            ((0.1..=3600.0).contains(&self.storage_wait_s), "DARKROOM_STORAGE_WAIT_S is from 0.1 to 3600"),
            ((0.1..=3600.0).contains(&self.client_wait_s), "DARKROOM_CLIENT_WAIT_S is from 0.1 to 3600"),
            (
                (64 << 20..=1 << 40).contains(&self.bytes_in_flight_max),
                "DARKROOM_BYTES_IN_FLIGHT_MAX is from 64 MiB to 1 TiB: a quarter of it holds the largest body",
            ),
            (
                (1.0..=43_200.0).contains(&self.body_wait_s),
                "DARKROOM_BODY_WAIT_S is from 1 to 43200: bytes that nothing names yet are collected after a day",
            ),
            (
                self.image_bytes_max <= self.upload_bytes_max,
                "DARKROOM_IMAGE_BYTES_MAX is over DARKROOM_UPLOAD_BYTES_MAX, so no such image could be sent",
            ),
            (self.decoding().is_sane(), Decoding::SANE),
            (self.db_connections >= 2, "DARKROOM_DB_CONNECTIONS is at least 2"),
            ((60.0..=2_592_000.0).contains(&self.export_kept_s), "DARKROOM_EXPORT_KEPT_S is from 60 to 2592000"),
            (self.export_bytes_max >= 1 << 20, "DARKROOM_EXPORT_BYTES_MAX is at least 1 MiB"),
            (self.token_s >= 60, "DARKROOM_TOKEN_S is at least 60"),
            (is_namespace(&self.namespace), "DARKROOM_NAMESPACE is letters, digits, - and _"),
        ];
        let wrong: Vec<&str> = sane
            .into_iter()
            .chain(self.shared_sanely())
            .chain(self.kept_sanely())
            .filter(|(sane, _)| !sane)
            .map(|(_, rule)| rule)
            .collect();
        if !wrong.is_empty() {
            bail!("{}", wrong.join("; "));
        }
        Ok(Limits {
            heartbeat_s: self.heartbeat_s,
            lease_s: self.lease_s,
            client_wait: Duration::from_secs_f64(self.client_wait_s),
            body_wait: Duration::from_secs_f64(self.body_wait_s),
            keep: self.keep(),
            result_bytes_max: self.result_bytes_max,
            image_bytes_max: self.image_bytes_max,
            artifact_bytes_max: self.artifact_bytes_max,
            upload_bytes_max: self.upload_bytes_max,
            export_bytes_max: self.export_bytes_max,
            export_kept_s: self.export_kept_s,
            connections_max: self.connections_max,
            bytes_in_flight_max: self.bytes_in_flight_max,
            uploads_max: self.uploads_max,
            claims_waiting_max: self.claims_waiting_max,
            lookups_waiting_max: self.lookups_waiting_max,
            streams_max: self.streams_max,
            images_max: IMAGES_MAX,
            jobs_max: JOBS_MAX,
            bounds: Bounds { max_pixels: self.pixels_max, max_frames: FRAMES_MAX, max_side: SIDE_MAX },
            token_s: self.token_s,
        })
    }

    /// The rules for what there is for all at once, and whether they hold.
    fn shared_sanely(&self) -> [(bool, &'static str); 2] {
        let connected = [self.claims_waiting_max, self.lookups_waiting_max, self.uploads_max, self.streams_max];
        let all = connected.iter().fold(0, |sum: usize, most| sum.saturating_add(*most));
        [
            (
                connected.iter().chain([&self.connections_max]).all(|most| (4..=1_000_000).contains(most)),
                "DARKROOM_CONNECTIONS_MAX, _UPLOADS_MAX, _CLAIMS_WAITING_MAX, _LOOKUPS_WAITING_MAX and _STREAMS_MAX are from 4 to 1000000",
            ),
            (
                all <= self.connections_max,
                "DARKROOM_CLAIMS_WAITING_MAX, _LOOKUPS_WAITING_MAX, _UPLOADS_MAX and _STREAMS_MAX are together over \
                 DARKROOM_CONNECTIONS_MAX: each of them holds a connection, and the quarters of one account would be more than a quarter \
                 of these",
            ),
        ]
    }

    /// The rules for how long things are kept, and whether they hold.
    fn kept_sanely(&self) -> [(bool, &'static str); 3] {
        [
            (
                self.keep().kinds().iter().all(|(_, days)| (1..=36_500).contains(&days.0)),
                "DARKROOM_KEEP_*_DAYS are from 1 to 36500",
            ),
            (
                self.keep_events_days.zip(self.keep_jobs_days).is_none_or(|(events, jobs)| events <= jobs),
                "DARKROOM_KEEP_EVENTS_DAYS is over DARKROOM_KEEP_JOBS_DAYS, and events do not outlive the jobs that they tell of",
            ),
            (
                self.keep_checkpoints_days.zip(self.keep_runs_days).is_none_or(|(files, runs)| files <= runs),
                "DARKROOM_KEEP_CHECKPOINTS_DAYS is over DARKROOM_KEEP_RUNS_DAYS, and files do not outlive the runs that they are of",
            ),
        ]
    }

    /// How decoders are run.
    pub fn decoding(&self) -> Decoding {
        Decoding {
            decoders: self.decoders,
            bytes_max: self.decoder_bytes_max,
            gps: self.gps,
            program: self.decoder.clone(),
        }
    }

    fn keep(&self) -> Keep {
        Keep {
            images: self.keep_images_days,
            results: self.keep_results_days,
            attempts: self.keep_attempts_days,
            jobs: self.keep_jobs_days,
            events: self.keep_events_days,
            runs: self.keep_runs_days,
            checkpoints: self.keep_checkpoints_days,
        }
    }

    /// The index of queues and statuses, not connected yet; the secret is what its seal is made from.
    pub fn index(&self, secret: &[u8]) -> anyhow::Result<Index> {
        let wait = Duration::from_millis(self.redis_wait_ms);
        let mut redis = self.redis_url.0.as_str().into_connection_info().context("REDIS_URL is no Redis URL")?;
        if let Some(file) = &self.redis_password_file {
            let settings = redis.redis_settings().clone().set_password(read_secret(file)?);
            redis = redis.set_redis_settings(settings);
        }
        Ok(Index::new(redis, &self.namespace, Seal::new(secret), wait)?)
    }

    /// The allowed origins as header values.
    pub fn origins(&self) -> anyhow::Result<Vec<HeaderValue>> {
        let parse =
            |origin: &String| HeaderValue::from_str(origin.trim()).with_context(|| format!("{origin:?} is no origin"));
        self.cors_origins.iter().filter(|o| !o.trim().is_empty()).map(parse).collect()
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = text.trim().parse().or_else(|_| text.trim().parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| format!("{text:?} is no address, and no network like 10.0.0.0/8"))
}

fn is_namespace(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Reads a secret from a file, without the line's end.
pub fn read_secret(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}
