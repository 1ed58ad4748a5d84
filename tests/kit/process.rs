//! The binary as a server of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// The program.
pub const DARKROOM: &str = env!("CARGO_BIN_EXE_darkroom");

/// A server process, killed when dropped.
pub struct Process {
    child: Child,
    pub pid: u32,
    /// Its URL, without a path.
    pub base: String,
}

impl Process {
    /// Starts a server on a free port with these variables and waits until it says where it listens; its log is copied.
    pub fn start(environment: &[(&str, &str)], log: impl Write + Send + 'static) -> anyhow::Result<Self> {
        Self::start_at("127.0.0.1:0", environment, log)
    }

    /// The same at an address.
    pub fn start_at(
        listen: &str,
        environment: &[(&str, &str)],
        mut log: impl Write + Send + 'static,
    ) -> anyhow::Result<Self> {
        // For the clients that tests make themselves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut child = Command::new(DARKROOM)
            .args(["serve", "--listen", listen, "--log", "info"])
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no log")?).lines().map_while(Result::ok);
        let base =
            lines.find_map(|line| line.split_once("Swagger UI is at ")?.1.split("/docs").next().map(str::to_owned));
        // Read to the end, or it would block on a full pipe.
        std::thread::spawn(move || lines.for_each(|line| drop(writeln!(log, "{line}"))));
        let pid = child.id();
        let base = base.context("the server did not say where it listens")?;
        Ok(Self { child, pid, base })
    }

    /// The most memory it has held so far and holds now, in bytes.
    pub fn resident(&self) -> anyhow::Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).context("no such field")?;
            Ok::<_, anyhow::Error>(line.split_whitespace().nth(1).context("no number")?.parse::<u64>()? * 1024)
        };
        Ok((field("VmHWM")?, field("VmRSS")?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
