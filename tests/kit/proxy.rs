//! A TCP proxy that can turn connections half-open: both ends keep their sockets, are told nothing, and what they send goes
//! nowhere. Such a connection never comes back; the other end hears of it when the hold is over.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// The most bytes kept of what was held back.
const HELD_MAX: usize = 16 * 1024 * 1024;
/// Every connection.
pub const ALL: &str = "";

/// A running proxy.
pub struct Proxy {
    pub port: u16,
    carried: Mutex<Vec<Weak<Carried>>>,
    /// New connections whose first bytes hold this are half-open as well.
    holds: Mutex<Option<&'static str>>,
    /// Raised to close every connection.
    cut: watch::Sender<u64>,
    /// Raised when a hold is over.
    released: watch::Sender<u64>,
    /// What clients sent into the void.
    held: Mutex<Vec<u8>>,
}

/// A connection that is carried.
#[derive(Default)]
struct Carried {
    /// Set while it is half-open: the number of the release that ends that.
    until: AtomicU64,
    /// What its client sent first: of one to PostgreSQL, the name of its pool.
    greeting: Mutex<Option<Vec<u8>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Carried {
    fn speaks_of(&self, word: &str) -> bool {
        word == ALL
            || lock(&self.greeting).as_ref().is_some_and(|said| memchr::memmem::find(said, word.as_bytes()).is_some())
    }

    fn is_half_open(&self) -> bool {
        self.until.load(Ordering::SeqCst) > 0
    }
}

impl Proxy {
    /// Leads to a Unix socket, or to `host:port`.
    pub async fn start(upstream: &Path) -> anyhow::Result<Arc<Self>> {
        let upstream = upstream.to_path_buf();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (cut, released) = (watch::channel(0).0, watch::channel(0).0);
        let (carried, holds, held) = (Mutex::default(), Mutex::default(), Mutex::default());
        let proxy = Arc::new(Self { port, carried, holds, cut, released, held });
        let running = Arc::clone(&proxy);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&running).carry(client, upstream.clone()));
            }
        });
        Ok(proxy)
    }

    /// Makes the connections half-open whose greeting holds a word, those that come meanwhile included.
    pub fn hold(&self, word: &'static str) {
        lock(&self.held).clear();
        *lock(&self.holds) = Some(word);
        self.lose(word);
    }

    /// Makes those half-open that there are now; answers how many.
    pub fn lose(&self, word: &str) -> usize {
        let mut lost = 0;
        lock(&self.carried).retain(|carried| {
            let Some(carried) = carried.upgrade() else { return false };
            if carried.speaks_of(word) {
                self.half_open(&carried);
                lost += 1;
            }
            true
        });
        lost
    }

    /// Lets new connections through again; answers what clients sent meanwhile. Whoever still uses a half-open one has to find
    /// that out; one that its client gave up ends for the other side, too.
    pub fn release(&self) -> Vec<u8> {
        *lock(&self.holds) = None;
        self.released.send_modify(|n| *n += 1);
        std::mem::take(&mut *lock(&self.held))
    }

    /// Closes every connection.
    pub fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }

    fn half_open(&self, carried: &Carried) {
        carried.until.store(*self.released.borrow() + 1, Ordering::SeqCst);
    }

    async fn carry(self: Arc<Self>, client: TcpStream, upstream: PathBuf) {
        let carried = Arc::new(Carried::default());
        if *lock(&self.holds) == Some(ALL) {
            self.half_open(&carried);
        }
        lock(&self.carried).push(Arc::downgrade(&carried));
        let mut cut = self.cut.subscribe();
        let pumped = async {
            if upstream.is_absolute() {
                let (from, to) = UnixStream::connect(&upstream).await?.into_split();
                return self.pump(&carried, client, from, to).await;
            }
            let (from, to) = TcpStream::connect(upstream.to_string_lossy().as_ref()).await?.into_split();
            self.pump(&carried, client, from, to).await
        };
        tokio::select! {
            _ = pumped => {}
            _ = cut.changed() => {}
        }
    }

    async fn pump(
        &self,
        carried: &Carried,
        client: TcpStream,
        from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
    ) -> std::io::Result<()> {
        let (client_from, client_to) = client.into_split();
        tokio::try_join!(self.one_way(carried, client_from, to, true), self.one_way(carried, from, client_to, false))
            .map(drop)
    }

    async fn one_way(
        &self,
        carried: &Carried,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        from_client: bool,
    ) -> std::io::Result<()> {
        let mut released = self.released.subscribe();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut buffer).await;
            if from_client {
                self.greet(carried, read.as_ref().map_or(&[], |size| &buffer[..*size]));
            }
            if !carried.is_half_open() {
                match read? {
                    0 => return to.shutdown().await,
                    size => to.write_all(&buffer[..size]).await?,
                }
                continue;
            }
            match read {
                Ok(size) if size > 0 && from_client => {
                    let mut held = lock(&self.held);
                    if held.len() < HELD_MAX {
                        held.extend_from_slice(&buffer[..size]);
                    }
                }
                // What either end says, its last word too, does not get through.
                Ok(size) if size > 0 => {}
                _ => {
                    let until = carried.until.load(Ordering::SeqCst);
                    let _ = released.wait_for(|released| *released >= until).await;
                    return Err(std::io::ErrorKind::ConnectionAborted.into());
                }
            }
        }
    }

    /// Notes the first bytes of a client; a new connection is half-open if they are what is held.
    fn greet(&self, carried: &Carried, said: &[u8]) {
        let mut greeting = lock(&carried.greeting);
        if greeting.is_none() {
            *greeting = Some(said.to_vec());
            drop(greeting);
            if lock(&self.holds).is_some_and(|word| carried.speaks_of(word)) {
                self.half_open(carried);
            }
        }
    }
}
