//! What can be known of a photograph without any model is worked out in a process of its own: a decoder is where a stranger's bytes do
//! harm, and there they find nothing to harm. `decoder` is our side of it; `child` the other, which reads photographs one after the
//! other and answers each, with `picture` (pixels) and `exif` (what the camera says).
//!
//! The child has no environment, no open file but its three pipes, may open none, and has limits on memory and processor time that it
//! sets itself before it reads a byte. How long it may take is ours to say: who is late is killed. Whatever it answers is taken for a
//! stranger's word.

pub mod child;
mod decoder;
mod exif;
mod picture;
mod wire;

pub use decoder::{Decoder, NoReply};
pub use wire::{Photograph, Reply};

use std::path::PathBuf;
use std::time::Duration;

/// How decoders are run.
#[derive(Debug, Clone)]
pub struct Decoding {
    /// How many work in the background at once.
    pub decoders: usize,
    /// The memory of each at most, in bytes of address space.
    pub bytes_max: u64,
    /// Whether it is to be kept where photographs were taken.
    pub gps: bool,
    pub program: Program,
}

impl Decoding {
    /// What it must keep to.
    pub const SANE: &str = "DARKROOM_DECODERS is at most 64, each of which keeps a core busy, and DARKROOM_DECODER_BYTES_MAX from 64 MiB, \
        which the program itself needs, to 1 TiB";

    pub fn is_sane(&self) -> bool {
        self.decoders <= 64 && (64 << 20..=1 << 40).contains(&self.bytes_max)
    }
}

/// What is run as a decoder.
#[derive(Debug, Clone)]
pub struct Program {
    pub path: PathBuf,
    /// How long a photograph may take.
    pub wait: Duration,
}

impl Default for Program {
    /// This very program, which is there also when the file it was started from has been replaced.
    fn default() -> Self {
        let running = PathBuf::from("/proc/self/exe");
        let path = if running.exists() { running } else { std::env::current_exe().unwrap_or(running) };
        // A photograph of 250 million pixels takes some five seconds.
        Self { path, wait: Duration::from_secs(30) }
    }
}
