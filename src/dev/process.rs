//! Child servers that end with us, however we end.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Waits on a pipe that only the starting process holds open: when that process ends, by whatever cause, the
/// pipe closes and the server is told to stop. `$1` is the signal, `$2` a folder to remove afterwards or nothing.
const KEEPER: &str = r#"
signal=$1 scrap=$2; shift 2
trap '' INT HUP TERM
"$@" & server=$!
read -r _
kill -"$signal" $server 2>/dev/null
wait $server
if [ -n "$scrap" ]; then rm -rf "$scrap"; fi
"#;

/// How often a server that starts is asked whether it takes connections.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// A server that stops when this is dropped, or when this process ends.
pub struct Server {
    keeper: Child,
}

impl Server {
    /// Starts a server whose output goes to a file. `stop` is the signal that it stops by, `scrap` a folder to
    /// remove after it has.
    pub fn start(command: &[String], stop: &str, log: &Path, scrap: Option<&Path>) -> anyhow::Result<Self> {
        use std::os::unix::process::CommandExt;
        let out = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "darkroom-keeper", stop])
            .arg(scrap.unwrap_or(Path::new("")))
            .args(command)
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            // Away from the terminal's Ctrl-C: we stop it ourselves, after our own work is done.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.first().map_or("nothing", String::as_str)))?;
        Ok(Self { keeper })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing is left to do about a keeper that cannot be waited for.
        let _ = self.keeper.wait();
    }
}

/// Waits until a server takes connections, asking every so often; after too long the last lines of its log say why.
pub async fn await_start<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    name: &str,
    most: Duration,
    log: &Path,
    connect: impl Fn() -> F,
) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        match connect().await {
            Ok(_) => return Ok(()),
            Err(error) if start.elapsed() > most => {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                bail!("{name} did not start: {error}; its log ends with:\n{}", last.join("\n"));
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Whether this process is root, whom PostgreSQL refuses.
pub fn is_root() -> bool {
    user_id() == 0
}

/// The id of the user that this process runs as; nobody's if the system does not say.
pub fn user_id() -> u32 {
    static ID: OnceLock<u32> = OnceLock::new();
    *ID.get_or_init(|| output("id", &["-u"]).ok().and_then(|id| id.trim().parse().ok()).unwrap_or(u32::MAX))
}

/// Sends a signal, as `TERM`. By the shell's own `kill`: small systems have no other.
pub fn signal(pid: &str, signal: &str) -> anyhow::Result<()> {
    output("sh", &["-c", "kill -\"$1\" \"$2\"", "kill", signal, pid]).map(drop)
}

/// Runs a program to its end and returns what it printed; its error output is the error's text.
pub fn output(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let done = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{program} {} failed: {}", args.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
