//! The binary as a server of its own.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use darkroom::dev::process;

use super::TestApp;

/// The program.
pub const DARKROOM: &str = env!("CARGO_BIN_EXE_darkroom");

/// The library that puts faults under a process, compiled once: a Rust toolchain comes with a C compiler to link by.
pub fn faults() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| {
        let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}.so", std::process::id()));
        let library = library.to_string_lossy().into_owned();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/faults.c");
        process::output("cc", &["-shared", "-fPIC", "-O2", "-o", &library, source, "-ldl"]).expect("a C compiler");
        library
    })
}

/// A server process beside a test's own in-process one: the same database, Redis and folder.
pub struct Process {
    child: Child,
    pub base: String,
}

impl Process {
    /// Starts it, with these variables besides.
    pub fn start(app: &TestApp, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(DARKROOM)
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "info"])
            .env("DATABASE_URL", &app.settings.database.database_url.0)
            .env("REDIS_URL", &app.settings.redis_url.0)
            .env("DARKROOM_NAMESPACE", &app.settings.namespace)
            .env("DARKROOM_DATA", &app.settings.data)
            .env("DARKROOM_REDIS_WAIT_MS", "10000")
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a server");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let base = lines.find_map(|line| {
            let line = line.ok()?;
            let at = line.find("http://")?;
            line[at..].split("/docs").next().map(str::to_owned)
        });
        // Its log is read to the end, or it would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, base: base.expect("its address in the log") }
    }

    /// The most memory it has held so far and holds now, in bytes.
    pub fn resident(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a field");
            line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
        };
        (field("VmHWM"), field("VmRSS"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
