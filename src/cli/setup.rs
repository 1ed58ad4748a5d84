//! `darkroom setup`: the secrets of a new installation.

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use crate::app;
use crate::domain::name::Name;

#[derive(Args)]
pub struct SetupArgs {
    /// Folder to write to; each secret gets a folder of its own below it
    #[arg(long, default_value = "secrets")]
    folder: PathBuf,
    /// Models of the bundled microservices, each of which gets a key
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
}

impl SetupArgs {
    pub fn run(self) -> anyhow::Result<Exit> {
        for name in &self.models {
            Name::parse(name).map_err(anyhow::Error::msg)?;
        }
        match app::setup(&self.folder, &self.models)?.as_slice() {
            [] => eprintln!("everything is there already; nothing was changed"),
            made => eprintln!("wrote {}", made.join(", ")),
        }
        Ok(Exit::Success)
    }
}
