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
    /// The server, on this machine [default: `http://127.0.0.1:8080`, or `https:` if it is given a certificate]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The server's certificate, as it is given to it; looked at only for whether there is one
    #[arg(long, env = "DARKROOM_TLS_CERT", hide = true)]
    tls_cert: Option<String>,
}

impl HealthcheckArgs {
    pub async fn run(self) -> anyhow::Result<Exit> {
        let scheme = if self.tls_cert.is_some_and(|file| !file.is_empty()) { "https" } else { "http" };
        let server = self.server.unwrap_or_else(|| format!("{scheme}://127.0.0.1:8080"));
        let _: IgnoredAny = Api::on_this_machine(&server)?.get(&["health", "ready"], &[], ANSWER_WAIT).await?;
        Ok(Exit::Success)
    }
}
