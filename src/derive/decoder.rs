//! Our side: a decoder is started when there is a photograph, asked one after the other, and ended when it is late, dies, or has worked
//! long enough.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::wire::{LINE_BYTES_MAX, Photograph, Reply, THUMBS_BYTES_MAX};
use super::{Decoding, Program};
use crate::domain::derived::bounded_error;

/// How long one that has said its last word may take to be gone.
const END_WAIT: Duration = Duration::from_secs(2);
/// After so much work another is started, well within the processor time that one has.
const WORK_MAX: Duration = Duration::from_secs(60);

/// Why there is no answer. The decoder is gone, or is to go: what it would say next is not known.
#[derive(Debug)]
pub enum NoReply<E> {
    /// The photograph could not be brought: nothing is said of it.
    Source(E),
    /// It could not be started.
    Start(io::Error),
    /// It died of the photograph, or was killed for it. The line says how.
    Died(String),
}

/// A process that decodes photographs. It is killed when this is dropped.
pub struct Decoder {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    wait: Duration,
    worked: Duration,
}

impl Decoder {
    /// Starts one, with nothing of ours but its three pipes.
    pub fn start(decoding: &Decoding) -> io::Result<Self> {
        let Program { path, wait } = &decoding.program;
        let mut command = Command::new(path);
        command.arg("derive").arg("--bytes-max").arg(decoding.bytes_max.to_string());
        if decoding.gps {
            command.arg("--gps");
        }
        let mut child = command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Away from the terminal's Ctrl-C: it ends with us.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a decoder without pipes"));
        };
        Ok(Self { child, stdin, stdout: BufReader::new(stdout), wait: *wait, worked: Duration::ZERO })
    }

    /// Whether it may be asked once more.
    pub fn is_fresh(&self) -> bool {
        self.worked < WORK_MAX
    }

    /// Has a photograph worked out; answers what came of it, and its thumbnails one after the other.
    pub async fn ask<E>(
        &mut self,
        photograph: &Photograph,
        bytes: impl Stream<Item = Result<Bytes, E>>,
        late: impl FnOnce() -> E,
    ) -> Result<(Reply, Bytes), NoReply<E>> {
        // It reads all before it works, so whoever is late here is the storage.
        match timeout(self.wait, self.bring(photograph, bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(NoReply::Died(_))) => return Err(NoReply::Died(self.obituary().await)),
            Ok(Err(failed)) => return Err(failed),
            Err(_) => return Err(NoReply::Source(late())),
        }
        let begun = Instant::now();
        let answered = timeout(self.wait, self.answer()).await;
        self.worked += begun.elapsed();
        match answered {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(NoReply::Died("Its decoder answered what is no answer.".to_owned()))
            }
            Ok(Err(_)) => Err(NoReply::Died(self.obituary().await)),
            Err(_) => Err(NoReply::Died(format!("Its decoder took longer than {} s.", self.wait.as_secs_f64()))),
        }
    }

    async fn bring<E>(
        &mut self,
        photograph: &Photograph,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), NoReply<E>> {
        let died = |error: io::Error| NoReply::Died(error.to_string());
        let mut line = serde_json::to_vec(photograph).map_err(|error| died(error.into()))?;
        line.push(b'\n');
        self.stdin.write_all(&line).await.map_err(died)?;
        let mut bytes = std::pin::pin!(bytes);
        while let Some(chunk) = bytes.next().await {
            self.stdin.write_all(&chunk.map_err(NoReply::Source)?).await.map_err(died)?;
        }
        self.stdin.flush().await.map_err(died)
    }

    async fn answer(&mut self) -> io::Result<(Reply, Bytes)> {
        let no_answer = || io::Error::from(io::ErrorKind::InvalidData);
        let mut line = Vec::new();
        (&mut self.stdout).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answered: Reply = serde_json::from_slice(&line).map_err(|_| no_answer())?;
        let answered = Reply { says: answered.says.bounded(), seen: answered.seen.map_err(|why| bounded_error(&why)) };
        let length = match &answered.seen {
            Ok(seen) if seen.is_sane() && seen.ends.iter().all(|end| *end <= THUMBS_BYTES_MAX) => {
                seen.ends[seen.ends.len() - 1]
            }
            Ok(_) => return Err(no_answer()),
            Err(_) => 0,
        };
        let mut thumbnails = vec![0; length as usize];
        self.stdout.read_exact(&mut thumbnails).await?;
        Ok((answered, thumbnails.into()))
    }

    /// What it died of.
    async fn obituary(&mut self) -> String {
        match timeout(END_WAIT, self.child.wait()).await {
            Ok(Ok(status)) => format!("Its decoder died: {}.", cause(status)),
            _ => "Its decoder fell silent.".to_owned(),
        }
    }
}

fn cause(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("signal {signal}, as when memory is short or the processor's time is up"),
        None => format!("code {}", status.code().unwrap_or_default()),
    }
}
