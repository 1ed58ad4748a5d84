//! A connection to PostgreSQL whose statements go through one at a time, each with leave. The wire is read, so that every
//! statement of the real code is a step, wherever it is sent from.

use std::collections::HashMap;
use std::path::PathBuf;

use darkroom::store::Db;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Executor, PgConnection};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What is no step of its own, and goes with the statement before it: nobody else meets what it changes before the COMMIT. A
/// submission that is named is another matter: see [`STEP`].
const FREE: [&str; 9] = [
    "BEGIN",
    "ROLLBACK",
    "SET ",
    "SELECT pg_backend_pid",
    "SELECT pg_try_advisory_xact_lock",
    "WITH now AS MATERIALIZED",
    "-- Opens submissions",
    "INSERT INTO request",
    "-- Those of the wanted that their submissions have asked for before",
];

/// A step that does nothing; what follows it and is none goes with it.
pub const STEP: &str = "SELECT 1";

/// Which pool of the service's the connection is like: their plans differ, and with them the ways to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    Common,
    Hot,
}

/// The gate of one connection.
pub struct Gate {
    /// The steps that wait for leave, each by its first words.
    pub waiting: UnboundedReceiver<String>,
    leave: UnboundedSender<()>,
    /// The backend of the connection.
    pub pid: i32,
    _socket: TempDir,
}

impl Gate {
    /// Opens a connection behind a gate. No time-out of the service's holds: a step may wait as long as another stands.
    pub async fn open(
        options: &PgConnectOptions,
        upstream: PathBuf,
        pool: Pool,
    ) -> anyhow::Result<(Self, PgConnection)> {
        let socket = tempfile::tempdir()?;
        let listener = UnixListener::bind(socket.path().join(".s.PGSQL.5432"))?;
        let (tell, waiting) = unbounded_channel();
        let (leave, left) = unbounded_channel();
        tokio::spawn(carry(listener, upstream, tell, left));
        let options = options.clone().socket(socket.path()).ssl_mode(PgSslMode::Disable);
        let db = if pool == Pool::Hot { Db::hot(options, 1) } else { Db::common(options, 1) };
        let mut connection = db.pool().acquire().await?.detach();
        for setting in [
            "lock_timeout = 0",
            "deadlock_timeout = '10ms'",
            "idle_in_transaction_session_timeout = 0",
            "synchronous_commit = off",
        ] {
            connection.execute(sqlx::AssertSqlSafe(format!("SET {setting}"))).await?;
        }
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
        Ok((Self { waiting, leave, pid, _socket: socket }, connection))
    }

    /// Lets the step through that waits.
    pub fn let_through(&self) {
        self.leave.send(()).expect("the gate's own task");
    }
}

async fn carry(listener: UnixListener, upstream: PathBuf, tell: UnboundedSender<String>, leave: UnboundedReceiver<()>) {
    let (client, _) = listener.accept().await.expect("a connection");
    let server = UnixStream::connect(upstream).await.expect("PostgreSQL");
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    // It ends with the connection.
    let _ = guard(from_client, to_server, tell, leave).await;
}

/// Passes on what the client sends, up to the end of each statement; what is a step waits there.
async fn guard(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    tell: UnboundedSender<String>,
    mut leave: UnboundedReceiver<()>,
) -> std::io::Result<()> {
    // The first message has no type.
    let length = client.read_u32().await?;
    let mut first = vec![0; length as usize - 4];
    client.read_exact(&mut first).await?;
    server.write_u32(length).await?;
    server.write_all(&first).await?;
    let mut named: HashMap<Vec<u8>, String> = HashMap::new();
    let (mut held, mut statement) = (Vec::new(), None);
    loop {
        let (kind, length) = (client.read_u8().await?, client.read_u32().await?);
        let mut body = vec![0; length as usize - 4];
        client.read_exact(&mut body).await?;
        let mut texts = body.split(|byte| *byte == 0);
        let mut text = || texts.next().unwrap_or_default();
        match kind {
            b'P' => {
                let (name, sql) = (text().to_vec(), String::from_utf8_lossy(text()).into_owned());
                named.insert(name, sql);
            }
            b'B' => {
                text();
                statement = named.get(text()).cloned();
            }
            b'Q' => statement = Some(String::from_utf8_lossy(text()).into_owned()),
            _ => {}
        }
        held.push(kind);
        held.extend(length.to_be_bytes());
        held.extend(body);
        if !matches!(kind, b'S' | b'Q' | b'X' | b'p') {
            continue;
        }
        if let Some(sql) = statement.take().filter(|sql| !FREE.iter().any(|free| sql.starts_with(free))) {
            let words = sql.trim_start_matches("-- ").chars().take(60).collect::<String>();
            if tell.send(words).is_err() || leave.recv().await.is_none() {
                return Ok(());
            }
        }
        server.write_all(&held).await?;
        held.clear();
    }
}
