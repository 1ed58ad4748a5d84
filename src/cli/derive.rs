//! The decoder's process; no person runs it.

use clap::Args;

use super::exit::Exit;
use crate::derive::child;

#[derive(Args)]
pub struct DeriveArgs {
    /// The address space that it may have, in bytes
    #[arg(long)]
    bytes_max: u64,
    /// Tell where photographs were taken
    #[arg(long)]
    gps: bool,
}

impl DeriveArgs {
    pub fn run(&self) -> anyhow::Result<Exit> {
        child::run(self.bytes_max, self.gps).map(|()| Exit::Success)
    }
}
