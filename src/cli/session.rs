//! Which server to talk to and with which token: options, environment, then the stored session.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::client::error::ClientFault;
use crate::client::http::Api;

/// Where a server started without options listens.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Options of every subcommand that talks to a server.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Connection {
    /// Address of the server [default: that of the last login, else `http://127.0.0.1:8080`]
    #[arg(long, env = "DARKROOM_URL", value_name = "URL")]
    pub server: Option<String>,
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
        let session = Session::load()?;
        let server = self.server_or(session.as_ref());
        // A token goes to the server that gave it and to no other.
        let stored = session.filter(|session| same_server(&session.server, &server));
        let token = given(self.token.as_deref()).map(str::to_owned);
        let Some(token) = token.or(stored.map(|session| session.token)) else {
            let text = format!("not signed in at {server}: run `darkroom login --server {server}`");
            return Err(ClientFault::SignIn(text).into());
        };
        Api::new(&server, Some(token))
    }

    /// The server alone, for signing in.
    ///
    /// # Errors
    /// The stored session cannot be read.
    pub fn server(&self) -> anyhow::Result<String> {
        Ok(self.server_or(Session::load()?.as_ref()))
    }

    fn server_or(&self, session: Option<&Session>) -> String {
        given(self.server.as_deref())
            .or(session.map(|session| session.server.as_str()))
            .unwrap_or(DEFAULT_SERVER)
            .to_owned()
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
    pub server: String,
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

    fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        // A new file put in place of the old one never has the old one's looser mode.
        let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        Ok(fs::rename(&fresh, path)?)
    }
}

/// `$XDG_CONFIG_HOME/darkroom/session.json`, else under `$HOME/.config`.
fn path() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|p| p.join(".config")))?;
    Some(config.join("darkroom").join("session.json"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_stored_session_is_for_its_owner_only() {
        let folder = std::env::temp_dir().join(format!("darkroom-{}", uuid::Uuid::new_v4()));
        let path = folder.join("session.json");
        Session { server: "http://a".into(), token: "t".into() }.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read: Session = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((read.server.as_str(), read.token.as_str()), ("http://a", "t"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn options_win_over_the_session_and_empty_ones_do_not_count() {
        let session = Session { server: "http://kept".into(), token: "t".into() };
        let with = |server: &str| Connection { server: Some(server.into()), token: None };
        assert_eq!(with("http://said").server_or(Some(&session)), "http://said");
        assert_eq!(with(" ").server_or(Some(&session)), "http://kept");
        assert_eq!(with("").server_or(None), DEFAULT_SERVER);
    }
}
