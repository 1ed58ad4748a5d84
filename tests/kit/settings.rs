//! The settings of a server that is composed in process.

use std::path::PathBuf;

use clap::Parser;
use darkroom::config::{Secret, Serve};

/// What an installation has that sets nothing else.
pub fn settings(database_url: &str, redis_url: &str, data: PathBuf) -> Serve {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        serve: Serve,
    }
    let mut serve = Cli::parse_from(["darkroom"]).serve;
    serve.database.database_url = Secret(database_url.to_owned());
    serve.database.database_password_file = None;
    serve.redis_url = Secret(redis_url.to_owned());
    serve.redis_password_file = None;
    serve.data = data;
    serve
}
