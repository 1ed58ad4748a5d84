//! The chaos program: real processes, every kind of fault again and again, and at the end the books of producers
//! and workers compared with the database in plain SQL.
//!
//! `make chaos` runs it. Settings are environment variables: `DURATION` in seconds, `LEASE_S`, `SEED` to repeat the
//! order of faults, `KEEP=1` to keep the scratch folder. The same binary is also each worker, trainer
//! and producer.

mod cast;
mod faults;
mod judge;
/// What of the kit this program needs.
#[path = "../kit"]
mod kit {
    pub mod family;
    pub mod faults;
    pub mod form;
    pub mod images;
    pub mod proxy;
    pub mod scratch;
    pub mod settings;
    pub mod shim;
    pub mod wait;
}
mod run;
mod site;
mod start;

use std::process::ExitCode;
use std::str::FromStr;

fn main() -> ExitCode {
    // Which library of cryptography clients use is said once per process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let role = std::env::args().nth(1).unwrap_or_default();
    let threads = if role.is_empty() { 2 } else { 1 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match role.as_str() {
                "worker" => cast::worker::main().await.map(|()| true),
                "trainer" => cast::trainer::main().await.map(|()| true),
                "producer" => cast::producer::main().await.map(|()| true),
                "" => run::main().await,
                // Test runners ask every target for its list of tests.
                _ => Ok(true),
            }
        })
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// An environment variable, or what stands for it when it is not set.
fn setting<T: FromStr>(name: &str, default: T) -> anyhow::Result<T> {
    match std::env::var(name) {
        Ok(text) => text.trim().parse().map_err(|_| anyhow::anyhow!("{name}={text:?} cannot be read")),
        Err(_) => Ok(default),
    }
}

/// Seconds since 1970 by this machine's clock, which PostgreSQL here shares.
fn now_s() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// A time of day as the servers' logs have it.
fn clock(at_s: f64) -> String {
    let at = chrono::DateTime::from_timestamp_micros((at_s * 1e6) as i64).unwrap_or_default();
    at.format("%H:%M:%S%.3f").to_string()
}
