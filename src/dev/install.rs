//! Programs that packages bring, and Debian packages themselves.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::process::{is_root, output};

/// A program on the PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = output("sh", &["-c", "command -v -- \"$0\"", program]).ok()?;
    Some(PathBuf::from(path.trim())).filter(|p| p.is_absolute())
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
