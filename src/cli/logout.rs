//! `darkroom logout`: the token ends, at the server and here.

use super::exit::Exit;
use super::session::{Connection, Session};
use crate::client::text;

/// Sign out: the token stops working and is forgotten
#[derive(Debug, clap::Args)]
pub struct LogoutArgs {
    /// End all tokens of the account, those of other machines too
    #[arg(long)]
    everywhere: bool,
    #[command(flatten)]
    connection: Connection,
}

impl LogoutArgs {
    /// Ends the token and forgets it.
    ///
    /// # Errors
    /// Nobody is signed in, an unreachable server, an unwritable session file.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let api = self.connection.api()?;
        match api.log_out(self.everywhere).await {
            // It ended before, or has expired.
            Err(error) if error.status() == Some(401) => {}
            other => other?,
        }
        if self.connection.token.is_none() {
            Session::forget()?;
        }
        text::say(&format!("Signed out at {}.", api.server()));
        Ok(Exit::Success)
    }
}
