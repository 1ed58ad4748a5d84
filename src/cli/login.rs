//! `darkroom login`: a name and a password for a stored token.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;

use super::exit::Exit;
use super::session::{ServerArgs, Session};
use crate::api::accounts::UserOut;
use crate::client::error::ClientFault;
use crate::client::http::{Api, REQUEST_TIMEOUT};
use crate::client::text;

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
    #[command(flatten)]
    to: ServerArgs,
}

impl LoginArgs {
    /// Signs in, stores the token and prints who one is.
    ///
    /// # Errors
    /// No password to be had, a refused one, an unreachable server, an unwritable session file.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let to = self.to.destination()?;
        let anonymous = Api::new(&to, None)?;
        let user = self.user_name().await?;
        let password = self.password(&user).await?;
        if password.is_empty() {
            return Err(
                ClientFault::Usage("the password is empty: it is the first line of what is read".to_owned()).into()
            );
        }
        let answer = match anonymous.log_in(&user, &password).await {
            // "Sign in again" would be strange advice here.
            Err(error) if matches!(error.status(), Some(400 | 401)) => {
                let text = format!("{} refuses this name and password for `{user}`", to.server);
                return Err(ClientFault::SignIn(format!("{text}: try again, or ask an administrator")).into());
            }
            other => other?,
        };
        let token = answer.access_token;
        let api = Api::new(&to, Some(token.clone()))?;
        let profile: UserOut = api.get(&["auth", "profile"], &[], REQUEST_TIMEOUT).await?;
        let path = Session { to, token }.store()?;
        text::print(&format!("{}\n", greeting(&profile, api.server())))?;
        let hours = answer.expires_in as f64 / 3_600.0;
        text::say(&format!("Token kept in {}, valid for {hours:.1} h.", path.display()));
        Ok(Exit::Success)
    }

    async fn user_name(&self) -> anyhow::Result<String> {
        if let Some(user) = self.user.as_deref().filter(|user| !user.is_empty()) {
            return Ok(user.to_owned());
        }
        if self.password_stdin || !io::stdin().is_terminal() {
            return Err(ClientFault::Usage("no account named: give --user NAME".to_owned()).into());
        }
        ask("User: ", true).await
    }

    async fn password(&self, user: &str) -> anyhow::Result<String> {
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("reading {}", path.display()))
                .map_err(|error| ClientFault::Usage(format!("{error:#}")))?;
            return Ok(text.lines().next().unwrap_or_default().to_owned());
        }
        if self.password_stdin {
            return read_line().await;
        }
        if !io::stdin().is_terminal() {
            let mend = "give --password-file FILE, or --password-stdin";
            return Err(ClientFault::Usage(format!("no terminal to ask for the password on: {mend}")).into());
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
        _ = tokio::signal::ctrl_c() => return Err(ClientFault::Usage("interrupted".to_owned()).into()),
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
fn greeting(profile: &UserOut, server: &str) -> String {
    let roles: Vec<&str> = profile.roles.iter().map(|role| role.as_str()).collect();
    let roles = if roles.is_empty() { "no roles".to_owned() } else { roles.join(", ") };
    format!("Signed in at {server} as {} ({roles}).", text::clean(&profile.name))
}
