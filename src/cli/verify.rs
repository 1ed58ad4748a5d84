//! `darkroom verify`: a folder that was taken away, and its manifest.

use std::io;
use std::path::PathBuf;

use clap::Args;
use indicatif::HumanBytes;
use serde_json::json;

use super::exit::Exit;
use crate::client::error::ClientFault;
use crate::client::progress::Progress;
use crate::client::text;
use crate::export::manifest::MANIFEST;
use crate::export::verify::{Verified, verify};

/// Compare a folder that was exported with its manifest: every file by size, MD5 and SHA-256
#[derive(Debug, Args)]
#[command(
    after_help = "It asks no server. What is missing, changed or additional is printed, a line each, and makes it end with 1. Nothing in the folder \
    vouches for manifest.json itself: compare its SHA-256 with what you were told by another way."
)]
pub struct VerifyArgs {
    /// The folder, as a ZIP was unpacked into it
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl VerifyArgs {
    /// # Errors
    /// There is no manifest in the folder, or it is none.
    pub fn run(&self) -> anyhow::Result<Exit> {
        let stage = Progress::stderr().compared();
        let all = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let tell = |done, of| stage.set(all(done), all(of), String::new());
        let found = verify(&self.folder, tell).map_err(|error| {
            let place = self.folder.join(MANIFEST).display().to_string();
            let told = match error.kind() {
                io::ErrorKind::NotFound => {
                    format!("there is no {place}: name the folder into which the export was unpacked")
                }
                io::ErrorKind::NotADirectory => {
                    let file = self.folder.display();
                    format!("{file} is no folder: unpack it, as with `unzip {file} -d FOLDER`, and name that one")
                }
                _ => format!("cannot use {place}: {error}"),
            };
            ClientFault::Usage(told)
        })?;
        drop(stage);
        let tell = if self.json { print_json } else { print };
        tell(&found)?;
        Ok(if found.faults.is_empty() { Exit::Success } else { Exit::SomeFailed })
    }
}

fn print(found: &Verified) -> anyhow::Result<()> {
    let faults: String =
        found.faults.iter().map(|fault| format!("{}: {}\n", text::clean(&fault.path), fault.kind)).collect();
    text::print(&faults)?;
    let size = HumanBytes(found.bytes);
    text::say(&format!("{} files of {size} are as the manifest says; {} are not.", found.files, found.faults.len()));
    if !found.left_out.is_empty() {
        let count = found.left_out.len();
        text::say(&format!("{count} photographs were left out when it was made: `left_out` of the manifest says why."));
    }
    text::say(&format!("The manifest's own SHA-256 is {}.", found.manifest_sha256));
    Ok(())
}

fn print_json(found: &Verified) -> anyhow::Result<()> {
    let faults: Vec<_> =
        found.faults.iter().map(|fault| json!({"path": fault.path, "why": fault.kind.to_string()})).collect();
    let told = json!({"files": found.files, "bytes": found.bytes, "faults": faults, "left_out": found.left_out,
        "manifest_sha256": found.manifest_sha256});
    text::print(&format!("{told:#}\n"))?;
    Ok(())
}
