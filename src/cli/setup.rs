//! `darkroom setup`: the secrets of a new installation.

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use crate::app::{self, Owners};
use crate::domain::key::Service;
use crate::domain::name::Name;

#[derive(Args)]
pub struct SetupArgs {
    /// Folder to write to; each secret gets a folder of its own below it
    #[arg(long, default_value = "secrets")]
    folder: PathBuf,
    /// Models of the bundled microservices, each of which gets a key
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// Datasets of the bundled training microservices, each of which gets a key
    #[arg(long, value_delimiter = ',')]
    datasets: Vec<String>,
    /// Id of the user that may read what is written, as root in a container [default: whoever runs this]
    #[arg(long, value_name = "UID")]
    owner: Option<u32>,
    /// Id of the user of PostgreSQL and Redis, who each get their password in a folder of their own
    #[arg(long, value_name = "UID")]
    servers_owner: Option<u32>,
}

impl SetupArgs {
    pub fn run(self) -> anyhow::Result<Exit> {
        let of = |service, names: Vec<String>| names.into_iter().map(move |name| (service, name));
        let microservices: Vec<_> =
            of(Service::Predict, self.models).chain(of(Service::Train, self.datasets)).collect();
        for (_, name) in &microservices {
            Name::parse(name).map_err(anyhow::Error::msg)?;
        }
        let owners = Owners { service: self.owner, servers: self.servers_owner };
        match app::setup(&self.folder, &microservices, owners)?.as_slice() {
            [] => eprintln!("everything is there already; nothing was changed"),
            made => eprintln!("wrote {}", made.join(", ")),
        }
        Ok(Exit::Success)
    }
}
