//! `darkroom healthcheck`: whether a server is ready, for containers that have no other HTTP client.

use std::time::Duration;

use clap::Args;
use serde::de::IgnoredAny;

use super::exit::Exit;
use crate::client::http::Api;

/// The longest that the server may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct HealthcheckArgs {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    server: String,
}

impl HealthcheckArgs {
    pub async fn run(self) -> anyhow::Result<Exit> {
        let _: IgnoredAny = Api::new(&self.server, None)?.get(&["health", "ready"], &[], ANSWER_WAIT).await?;
        Ok(Exit::Success)
    }
}
