//! `darkroom login`: a name and a password for a stored token.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use super::exit::{Exit, Fault};
use super::http::{Api, REQUEST_TIMEOUT};
use super::session::{Connection, Session};
use super::text;

/// Sign in and remember the token
#[derive(Debug, clap::Args)]
pub struct LoginArgs {
    /// Name of the account; asked for if left out
    #[arg(long, env = "DARKROOM_USER", value_name = "NAME")]
    user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    password_file: Option<PathBuf>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Address of the server [default: that of the last login, else `http://127.0.0.1:8080`]
    #[arg(long, env = "DARKROOM_URL", value_name = "URL")]
    server: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<f64>,
}

impl LoginArgs {
    /// Signs in, stores the token and prints who one is.
    ///
    /// # Errors
    /// No password to be had, a refused one, an unreachable server, an unwritable session file.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let server = Connection { server: self.server.clone(), token: None }.server()?;
        let anonymous = Api::new(&server, None)?;
        let user = self.user_name().await?;
        let password = self.password(&user).await?;
        let form = [("grant_type", "password"), ("username", &user), ("password", &password)];
        let answer: TokenAnswer = match anonymous.post_form(&["auth", "login"], &form).await {
            // "Sign in again" would be strange advice here.
            Err(error) if matches!(error.status(), Some(400 | 401)) => {
                let text = format!("{server} refuses this name and password for `{user}`");
                return Err(Fault::sign_in(format!("{text}: try again, or ask an administrator")));
            }
            other => other?,
        };
        let token = answer.access_token;
        let api = Api::new(&server, Some(token.clone()))?;
        let profile: Value = api.get(&["auth", "profile"], &[], REQUEST_TIMEOUT).await?;
        let path = Session { server, token }.store()?;
        text::print(&format!("{}\n", greeting(&profile, &user, api.server())))?;
        let hours =
            answer.expires_in.map_or_else(String::new, |seconds| format!(", valid for {:.1} h", seconds / 3_600.0));
        text::say(&format!("Token kept in {}{hours}.", path.display()));
        Ok(Exit::Success)
    }

    async fn user_name(&self) -> anyhow::Result<String> {
        if let Some(user) = self.user.as_deref().filter(|user| !user.is_empty()) {
            return Ok(user.to_owned());
        }
        if self.password_stdin || !io::stdin().is_terminal() {
            return Err(Fault::usage("no account named: give --user NAME"));
        }
        ask("User: ", true).await
    }

    async fn password(&self, user: &str) -> anyhow::Result<String> {
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("reading {}", path.display()))
                .map_err(|error| Fault::usage(format!("{error:#}")))?;
            return Ok(text.lines().next().unwrap_or_default().to_owned());
        }
        if self.password_stdin {
            return read_line().await;
        }
        if !io::stdin().is_terminal() {
            let mend = "give --password-file FILE, or --password-stdin";
            return Err(Fault::usage(format!("no terminal to ask for the password on: {mend}")));
        }
        let password = ask(&format!("Password of {}: ", text::clean(user)), false).await;
        text::say("");
        password
    }
}

/// Asks on the terminal; with `echo` off the answer is not shown.
async fn ask(prompt: &str, echo: bool) -> anyhow::Result<String> {
    use io::Write;
    let _quiet = (!echo).then(Quiet::begin);
    let mut err = io::stderr();
    err.write_all(prompt.as_bytes()).and_then(|()| err.flush())?;
    read_line().await
}

/// Reads a line of standard input without holding up Ctrl-C.
async fn read_line() -> anyhow::Result<String> {
    let (send, receive) = tokio::sync::oneshot::channel();
    // A plain thread: the runtime would wait for a blocking task of its own at the end.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line).map(|_| line);
        let _ = send.send(read);
    });
    let line = tokio::select! {
        line = receive => line.context("standard input ended")??,
        _ = tokio::signal::ctrl_c() => return Err(Fault::usage("interrupted")),
    };
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Keeps the terminal from showing what is typed, until dropped.
struct Quiet;

impl Quiet {
    fn begin() -> Self {
        stty("-echo");
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        stty("echo");
    }
}

fn stty(setting: &str) {
    // Without `stty` the password is shown while typed, which is better than no login at all.
    let _ = Command::new("stty").arg(setting).stderr(Stdio::null()).status();
}

/// `Signed in at … as alice (admin, investigator).`
fn greeting(profile: &Value, user: &str, server: &str) -> String {
    let name = ["name", "user", "username"].into_iter().find_map(|key| profile.get(key)?.as_str()).unwrap_or(user);
    let roles: Vec<&str> = profile
        .get("roles")
        .and_then(Value::as_array)
        .map(|roles| roles.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let roles = if roles.is_empty() { "no roles".to_owned() } else { roles.join(", ") };
    format!("Signed in at {server} as {} ({}).", text::clean(name), text::clean(&roles))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_names_the_roles() {
        let profile = serde_json::json!({"name": "ann", "roles": ["admin", "researcher"]});
        let said = greeting(&profile, "x", "http://h");
        assert_eq!(said, "Signed in at http://h as ann (admin, researcher).");
        assert!(greeting(&Value::Null, "bob", "http://h").contains("as bob (no roles)"));
    }
}
