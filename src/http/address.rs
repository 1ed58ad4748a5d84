//! Where a request comes from, as far as that can be believed, and by which address it reached this server.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use ipnet::IpNet;

use super::Shared;
use crate::domain::address::ClientAddress;

impl FromRequestParts<Shared> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Infallible> {
        Ok(behind(peer(parts), &parts.headers, &state.proxies).into())
    }
}

fn peer(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip())
}

fn is_trusted(address: IpAddr, proxies: &[IpNet]) -> bool {
    proxies.iter().any(|proxies| proxies.contains(&address.to_canonical()))
}

/// This server's address as the caller reached it, as `https://darkroom.example.org:8443`. A host that is none is not repeated.
pub struct OwnAddress(pub String);

impl FromRequestParts<Shared> for OwnAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Infallible> {
        let said = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let proxied = is_trusted(peer(parts), &state.proxies);
        let told = |name: &str| said(name).filter(|_| proxied);
        let host = told("x-forwarded-host").or(said(header::HOST.as_str())).filter(|host| is_host(host));
        let secure = told("x-forwarded-proto").map_or(state.tls, |scheme| scheme == "https");
        let scheme = if secure { "https" } else { "http" };
        Ok(Self(format!("{scheme}://{}", host.unwrap_or("SERVER"))))
    }
}

/// Whether it is a name or an address, perhaps with a port: nothing that a shell or a page takes for more.
fn is_host(text: &str) -> bool {
    (1..=261).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b))
}

/// Whom a trusted proxy speaks for, by what it wrote at the end of X-Forwarded-For; another trusted one was told before that. What
/// anybody else wrote there is not believed.
fn behind(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let told = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let told: Vec<&str> = told.flat_map(|line| line.split(',')).map(str::trim).collect();
    let mut address = peer;
    for earlier in told.into_iter().rev() {
        match earlier.parse() {
            Ok(earlier) if is_trusted(address, proxies) => address = earlier,
            _ => break,
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let behind = |peer: &str, told: &str, proxies: &[&str]| {
            let headers = HeaderMap::from_iter([("x-forwarded-for".parse().unwrap(), told.parse().unwrap())]);
            let proxies: Vec<IpNet> = proxies.iter().map(|net| net.parse().unwrap()).collect();
            super::behind(peer.parse().unwrap(), &headers, &proxies).to_string()
        };
        for (peer, told, proxies, client) in [
            ("9.9.9.9", "1.1.1.1", &[][..], "9.9.9.9"),
            ("9.9.9.9", "1.1.1.1", &["10.0.0.0/8"], "9.9.9.9"),
            ("10.0.0.1", "1.1.1.1", &["10.0.0.0/8"], "1.1.1.1"),
            ("::ffff:10.0.0.1", "1.1.1.1", &["10.0.0.0/8"], "1.1.1.1"),
            ("10.0.0.1", "6.6.6.6, 1.1.1.1", &["10.0.0.0/8"], "1.1.1.1"),
            ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", &["10.0.0.0/8"], "1.1.1.1"),
            ("10.0.0.1", "1.1.1.1, nonsense", &["10.0.0.0/8"], "10.0.0.1"),
            ("10.0.0.1", "", &["10.0.0.0/8"], "10.0.0.1"),
        ] {
            assert_eq!(behind(peer, told, proxies), client, "{peer} {told}");
        }
    }
}
