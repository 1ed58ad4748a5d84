//! The other side: reads photographs, and answers each with what it is, until nobody asks any more.

use std::io::{BufRead, Read, Write, stdin, stdout};

use anyhow::{Context, bail};
use rlimit::Resource;

use super::wire::{LINE_BYTES_MAX, Photograph, Reply};
use super::{exif, picture};
use crate::domain::derived::{CameraSays, bounded_error};

/// Processor time in all, in seconds: each decoder is ended before, unless nobody is there any more to do it.
const CPU_S_MAX: u64 = 120;
/// The three pipes that it was started with.
const FILES_MAX: u64 = 3;
/// Of the memory, the part that is the program's own and no photograph's: as 1 in so many.
const OWN_MEMORY_PART: u64 = 4;
/// How much later its turn comes than everybody else's, who are waited for.
const NICE: i32 = 10;

/// Answers photographs until standard input ends. `bytes_max` is the address space it may have; `gps` whether it says where they were
/// taken.
pub fn run(bytes_max: u64, gps: bool) -> anyhow::Result<()> {
    confine(bytes_max)?;
    let (mut input, mut output) = (stdin().lock(), stdout().lock());
    loop {
        let mut line = Vec::new();
        input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        let photograph: Photograph = serde_json::from_slice(&line).context("no photograph is described")?;
        let mut bytes = Vec::with_capacity(usize::try_from(photograph.bytes)?);
        input.by_ref().take(photograph.bytes).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != photograph.bytes {
            bail!("a photograph was cut off");
        }
        let (answered, thumbnails) = work_out(&photograph, &bytes, bytes_max / OWN_MEMORY_PART * 3, gps);
        serde_json::to_writer(&mut output, &answered)?;
        output.write_all(b"\n")?;
        output.write_all(&thumbnails)?;
        output.flush()?;
    }
}

/// Gives up what it does not need, before it reads a byte.
fn confine(bytes_max: u64) -> anyhow::Result<()> {
    let limits = [
        (Resource::AS, bytes_max),
        (Resource::CPU, CPU_S_MAX),
        (Resource::NOFILE, FILES_MAX),
        // Pipes have no size.
        (Resource::FSIZE, 0),
        (Resource::NPROC, 0),
        (Resource::CORE, 0),
    ];
    for (resource, most) in limits {
        if resource.is_supported() {
            resource.set(most, most).with_context(|| format!("{resource:?} cannot be limited to {most}"))?;
        }
    }
    // Without, it is only less polite.
    let _ = rustix::process::nice(NICE);
    Ok(())
}

fn work_out(photograph: &Photograph, bytes: &[u8], pixel_bytes_max: u64, gps: bool) -> (Reply, Vec<u8>) {
    let mut says = exif::read(bytes);
    if !gps {
        says = CameraSays { place: None, ..says };
    }
    let (seen, thumbnails) = match picture::look(photograph, bytes, pixel_bytes_max) {
        Ok((seen, thumbnails)) => (Ok(seen), thumbnails),
        Err(why) => (Err(bounded_error(&why)), Vec::new()),
    };
    (Reply { says: says.bounded(), seen }, thumbnails)
}
