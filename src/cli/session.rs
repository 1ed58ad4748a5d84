//! Which server to talk to and with which token: options, environment, then the stored session.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::FalseyValueParser;
use serde::{Deserialize, Serialize};

use crate::client::destination::Destination;
use crate::client::error::ClientFault;
use crate::client::http::Api;

/// Where a server started without options listens.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Options that say which server, and what is allowed for it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServerArgs {
    /// Address of the server [default: that of the last login, else `http://127.0.0.1:8080`]
    #[arg(long, env = "DARKROOM_URL", value_name = "URL")]
    pub server: Option<String>,
    /// Certificates (PEM) of the authorities to trust in place of the system's; remembered by login
    #[arg(long, env = "DARKROOM_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<String>,
    /// Send passwords and photographs in clear (plain HTTP) to another machine; remembered by login
    #[arg(long, env = "DARKROOM_INSECURE", value_parser = FalseyValueParser::new())]
    pub insecure: bool,
}

impl ServerArgs {
    /// The server of the options, else of the last login, with what that login was allowed for the same server.
    ///
    /// # Errors
    /// The stored session cannot be read.
    pub fn destination(&self) -> anyhow::Result<Destination> {
        Ok(self.destination_or(Session::load()?.map(|session| session.to)))
    }

    fn destination_or(&self, last: Option<Destination>) -> Destination {
        let said = given(self.server.as_deref());
        let last = last.filter(|last| said.is_none_or(|server| same_server(server, &last.server)));
        let mut to = last.unwrap_or_else(|| Destination::of(said.unwrap_or(DEFAULT_SERVER)));
        if let Some(file) = given(self.ca_file.as_deref()) {
            // Remembered for commands that are given in other folders.
            to.ca_file = Some(std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file)));
        }
        to.insecure |= self.insecure;
        to
    }
}

/// Options of every subcommand that talks to a server.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Connection {
    #[command(flatten)]
    pub to: ServerArgs,
    /// Access token to use in place of the stored one
    #[arg(long, env = "DARKROOM_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

impl Connection {
    /// The server and the token to use.
    ///
    /// # Errors
    /// No token is given, and none is stored for this server.
    pub fn api(&self) -> anyhow::Result<Api> {
        let to = self.to.destination()?;
        // A token goes to the server that gave it and to no other.
        let stored = Session::load()?.filter(|session| same_server(&session.to.server, &to.server));
        let token = given(self.token.as_deref()).map(str::to_owned);
        let Some(token) = token.or(stored.map(|session| session.token)) else {
            let server = &to.server;
            let text = format!("not signed in at {server}: run `darkroom login --server {server}`");
            return Err(ClientFault::SignIn(text).into());
        };
        Api::new(&to, Some(token))
    }
}

/// An empty variable in the environment means: not given.
fn given(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

fn same_server(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

/// What `login` leaves behind for the other subcommands.
#[derive(Serialize, Deserialize)]
pub struct Session {
    #[serde(flatten)]
    pub to: Destination,
    pub token: String,
}

impl Session {
    /// Reads the stored session, if there is one.
    ///
    /// # Errors
    /// The file exists, but cannot be read or understood.
    fn load() -> anyhow::Result<Option<Self>> {
        let Some(path) = path() else { return Ok(None) };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("{} is damaged: delete it and sign in again", path.display()))
    }

    /// Stores the session readable by its owner only, and says where.
    ///
    /// # Errors
    /// There is no home directory, or it cannot be written.
    pub fn store(&self) -> anyhow::Result<PathBuf> {
        let path = path().ok_or_else(|| {
            ClientFault::Usage("no place for the session: set HOME or XDG_CONFIG_HOME, or use --token".to_owned())
        })?;
        self.write(&path)
            .with_context(|| format!("writing {}: make it writable, or use DARKROOM_TOKEN", path.display()))?;
        Ok(path)
    }

    /// Forgets the stored session.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget() -> anyhow::Result<()> {
        let Some(path) = path() else { return Ok(()) };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, path: &Path) -> anyhow::Result<()> {
        keep_private(path, self)
    }
}

/// Writes what only its owner may read, in place of what was there.
///
/// # Errors
/// It cannot be written.
pub fn keep_private(path: &Path, what: &impl Serialize) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // A new file put in place of the old one never has the old one's looser mode.
    let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(what)?)?;
    file.sync_all()?;
    Ok(fs::rename(&fresh, path)?)
}

/// Where the commands keep what they remember: `$XDG_CONFIG_HOME/darkroom`, else under `$HOME/.config`.
pub fn folder() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|p| p.join(".config")))?;
    Some(config.join("darkroom"))
}

fn path() -> Option<PathBuf> {
    Some(folder()?.join("session.json"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_stored_session_is_for_its_owner_only() {
        let folder = std::env::temp_dir().join(format!("darkroom-{}", uuid::Uuid::new_v4()));
        let path = folder.join("session.json");
        Session { to: Destination::of("http://a"), token: "t".into() }.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read: Session = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((read.to.server.as_str(), read.token.as_str()), ("http://a", "t"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn options_win_over_the_session_and_empty_ones_do_not_count() {
        let kept = || {
            let (ca_file, insecure) = (Some("/ca.pem".into()), true);
            Some(Destination { ca_file, insecure, ..Destination::of("http://kept") })
        };
        let with = |server: &str| ServerArgs { server: Some(server.into()), ..ServerArgs::default() };
        assert_eq!(
            with("http://said").destination_or(kept()),
            Destination::of("http://said"),
            "allowed for another only"
        );
        assert_eq!(with(" ").destination_or(kept()), kept().unwrap());
        assert_eq!(with("http://kept/").destination_or(kept()), kept().unwrap());
        assert_eq!(with("").destination_or(None), Destination::of(DEFAULT_SERVER));
    }
}
