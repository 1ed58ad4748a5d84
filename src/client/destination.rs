//! Where a server is, and by what the client trusts it.

use std::path::PathBuf;

use anyhow::Context;
use reqwest::{Certificate, Client, ClientBuilder, Url};
use serde::{Deserialize, Serialize};

use super::error::ClientFault;

/// A server, and what was allowed for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Its address, e.g. `https://darkroom.example` or `http://127.0.0.1:8080`.
    pub server: String,
    /// Certificates in PEM of the authorities that vouch for it, in place of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether plain HTTP may leave this machine.
    #[serde(default)]
    pub insecure: bool,
}

impl Destination {
    /// A server that the system's authorities vouch for, or one on this machine.
    pub fn of(server: impl Into<String>) -> Self {
        Self { server: server.into(), ca_file: None, insecure: false }
    }

    /// Its address, if passwords and photographs may go there.
    pub(super) fn url(&self) -> Result<Url, ClientFault> {
        let server = &self.server;
        let url = Url::parse(server).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = url else {
            return Err(ClientFault::Usage(format!(
                "`{server}` is no address of a server: give one like https://darkroom.example or http://127.0.0.1:8080"
            )));
        };
        if url.scheme() == "http" && !self.insecure && !is_loopback(&url) {
            return Err(ClientFault::Usage(format!(
                "{server} would send passwords and photographs in clear over the network: use https://, or, where nobody \
                 can listen on the way, add --insecure"
            )));
        }
        Ok(url)
    }

    /// How to connect to `url`.
    pub(super) fn connector(&self, url: &Url) -> anyhow::Result<ClientBuilder> {
        // Which library of cryptography TLS uses is said once per process; who said it before said the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // No call is answered by another address; whoever names one gets neither credential nor photograph.
        let mut builder = Client::builder().redirect(reqwest::redirect::Policy::none());
        if is_loopback(url) {
            // A proxy set for the outside world does not know this machine's ports.
            builder = builder.no_proxy();
        }
        Ok(match &self.ca_file {
            // The system's authorities are not looked for: a container that speaks to itself has none.
            _ if url.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
            Some(file) => {
                let shown = file.display();
                let pem = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
                let authorities = Certificate::from_pem_bundle(&pem).with_context(|| format!("{shown} is no PEM"))?;
                if authorities.is_empty() {
                    return Err(ClientFault::Usage(format!("{shown} holds no certificate")).into());
                }
                builder.tls_certs_only(authorities)
            }
        })
    }
}

/// Whether an address is of this machine, which no network comes between.
pub(super) fn is_loopback(url: &Url) -> bool {
    let bare = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(server: &str, insecure: bool) -> Result<Url, String> {
        Destination { insecure, ..Destination::of(server) }.url().map_err(|fault| fault.to_string())
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_told() {
        for server in
            ["http://localhost:8080", "http://127.0.0.1", "http://127.9.9.9:1", "http://[::1]:8080", "https://box"]
        {
            assert!(url(server, false).is_ok(), "{server}");
        }
        for server in ["http://box", "http://10.0.0.1:8080", "http://localhost.example", "http://127.0.0.1.example"] {
            assert!(url(server, false).is_err_and(|told| told.contains("--insecure")), "{server}");
            assert!(url(server, true).is_ok(), "{server}");
        }
        for server in ["localhost:8080", "ftp://box", "box", ""] {
            assert!(url(server, true).is_err_and(|told| told.contains("no address")), "{server}");
        }
    }
}
