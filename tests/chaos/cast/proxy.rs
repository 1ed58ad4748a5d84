//! A TCP proxy that can turn its connections half-open: both ends keep their sockets, are told nothing, and what
//! they send goes nowhere. Such a connection never comes back; a new one works as soon as the hold is over.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// The most bytes kept of what was held back.
const HELD_MAX: usize = 16 * 1024 * 1024;

/// Where a proxy leads.
#[derive(Clone)]
pub enum Upstream {
    Unix(PathBuf),
    Tcp(String),
}

/// A running proxy.
pub struct Proxy {
    pub port: u16,
    /// Even while it forwards, odd while it holds; connections born under another number are half-open.
    phase: AtomicU64,
    /// Raised to close every connection.
    cut: watch::Sender<u64>,
    /// What clients sent into the void.
    held: Mutex<Vec<u8>>,
}

impl Proxy {
    pub async fn start(upstream: Upstream) -> anyhow::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let cut = watch::channel(0).0;
        let proxy = Arc::new(Self { port, phase: AtomicU64::new(0), cut, held: Mutex::default() });
        let running = Arc::clone(&proxy);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&running).carry(client, upstream.clone()));
            }
        });
        Ok(proxy)
    }

    /// Makes all connections half-open, those that come meanwhile included.
    pub fn hold(&self) {
        self.held().clear();
        self.phase.fetch_add(1, Ordering::SeqCst);
    }

    /// Lets new connections through again; answers what clients sent meanwhile.
    pub fn release(&self) -> Vec<u8> {
        self.phase.fetch_add(1, Ordering::SeqCst);
        std::mem::take(&mut *self.held())
    }

    /// Closes every connection.
    pub fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry(self: Arc<Self>, client: TcpStream, upstream: Upstream) {
        let born = self.phase.load(Ordering::SeqCst);
        let mut cut = self.cut.subscribe();
        let carried = async {
            match upstream {
                Upstream::Unix(path) => {
                    let (from, to) = UnixStream::connect(path).await?.into_split();
                    self.pump(born, client, from, to).await
                }
                Upstream::Tcp(address) => {
                    let (from, to) = TcpStream::connect(address).await?.into_split();
                    self.pump(born, client, from, to).await
                }
            }
        };
        tokio::select! {
            _ = carried => {}
            _ = cut.changed() => {}
        }
    }

    async fn pump(
        &self,
        born: u64,
        client: TcpStream,
        from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
    ) -> std::io::Result<()> {
        let (client_from, client_to) = client.into_split();
        tokio::try_join!(self.one_way(born, client_from, to, true), self.one_way(born, from, client_to, false))
            .map(drop)
    }

    async fn one_way(
        &self,
        born: u64,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        keep: bool,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut buffer).await;
            if self.phase.load(Ordering::SeqCst) == born && born.is_multiple_of(2) {
                match read? {
                    0 => return to.shutdown().await,
                    size => to.write_all(&buffer[..size]).await?,
                }
                continue;
            }
            match read {
                Ok(size) if size > 0 => {
                    let mut held = self.held();
                    if keep && held.len() < HELD_MAX {
                        held.extend_from_slice(&buffer[..size]);
                    }
                }
                // The client gave up: nothing is left to be half of.
                _ if keep => return Err(std::io::ErrorKind::ConnectionAborted.into()),
                // The other end's word does not get through either.
                _ => std::future::pending::<()>().await,
            }
        }
    }
}
