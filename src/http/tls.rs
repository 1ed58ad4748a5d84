//! TLS of the server itself: its certificate, taken up anew when the files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a client may take over its handshake: it keeps one of the places for clients meanwhile.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// The first byte of every TLS connection; no HTTP request begins with it.
const HANDSHAKE: u8 = 0x16;
/// What is read of a request in plain HTTP, so that its sender gets to read the answer.
const PLAIN_BYTES_MAX: u64 = 64 * 1024;
const PLAIN_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 56\r\n\r\n\
    This port speaks TLS: write https:// in place of http://";

/// Accepts TLS connections with the certificate that the files held when they last made sense.
pub struct Tls {
    files: Files,
    /// What they held at first.
    first: Pem,
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What both files hold, as text.
type Pem = (Vec<u8>, Vec<u8>);

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl Tls {
    /// Reads a certificate with its chain, and its private key, both in PEM.
    ///
    /// # Errors
    /// A file cannot be read, holds no such thing, or the two do not belong together.
    pub fn open(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let files = Files { certificate: certificate.to_path_buf(), key: key.to_path_buf() };
        let first = files.read()?;
        let current = Arc::new(Current(RwLock::new(Arc::new(files.understand(&first)?))));
        let resolver = Arc::clone(&current) as Arc<dyn ResolvesServerCert>;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { files, first, acceptor: TlsAcceptor::from(Arc::new(config)), current })
    }

    /// Takes up what the files hold whenever that changes; what makes no sense leaves the certificate before in use.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = Some(self.first.clone());
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let this = Arc::clone(&self);
            let Ok(read) = tokio::task::spawn_blocking(move || this.files.read()).await else { continue };
            let pem = read.as_ref().ok();
            if pem == seen.as_ref() {
                continue;
            }
            let taken = match &read {
                Ok(pem) => self.files.understand(pem),
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            match taken {
                Ok(fresh) => {
                    *self.current.0.write() = Arc::new(fresh);
                    tracing::info!(file = %self.files.certificate.display(), "the new certificate is in use");
                }
                Err(error) => tracing::warn!("the certificate before stays in use: {error:#}"),
            }
            seen = read.ok();
        }
    }

    /// A connection after its handshake; none of one that failed, took too long, or was plain HTTP, which is told so.
    pub(super) async fn accept(&self, mut stream: TcpStream, client_wait: Duration) -> Option<TlsStream<TcpStream>> {
        let handshake = async {
            let mut first = [0];
            if stream.peek(&mut first).await.ok()? == 0 {
                return None;
            }
            if first == [HANDSHAKE] {
                return self.acceptor.accept(stream).await.ok();
            }
            stream.write_all(PLAIN_ANSWER).await.ok()?;
            stream.shutdown().await.ok()?;
            // Closed with bytes unread, the connection would be reset before the answer is seen.
            tokio::io::copy(&mut stream.take(PLAIN_BYTES_MAX), &mut tokio::io::sink()).await.ok()?;
            None
        };
        tokio::time::timeout(client_wait.min(HANDSHAKE_WAIT), handshake).await.ok().flatten()
    }
}

impl Files {
    fn read(&self) -> anyhow::Result<Pem> {
        let read = |file: &Path| std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    fn understand(&self, (certificate, key): &Pem) -> anyhow::Result<CertifiedKey> {
        let (file, key_file) = (self.certificate.display(), self.key.display());
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .with_context(|| format!("{file} is no certificate in PEM"))?;
        if chain.is_empty() {
            bail!("{file} holds no certificate");
        }
        let key = PrivateKeyDer::from_pem_slice(key).with_context(|| format!("{key_file} holds no key in PEM"))?;
        // This also compares the two.
        CertifiedKey::from_der(chain, key, &ring::default_provider())
            .with_context(|| format!("{file} and {key_file} do not make a pair"))
    }
}
