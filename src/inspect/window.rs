//! A bounded window onto the file, and the ways in which a walk can stop.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use super::{Bounds, FileEnd, Flaw};

/// The most bytes held.
const WINDOW: usize = 64 * 1024;
/// The bytes read after a jump. Reads grow to `WINDOW` from here while they stay in sequence, so
/// that a file of scattered parts is not read many times over.
const NEAR: usize = 4 * 1024;
/// What a frame may cost beyond the length of the file: some jumps to its directory and tables.
const FRAME_COST: u64 = 32 * 1024;
/// No format describes a frame in fewer bytes.
const MIN_FRAME_BYTES: u64 = 8;

/// Why a walk ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The source failed.
    Io(io::Error),
    /// The image is not accepted.
    Refused(Flaw),
    /// The file ends before its structure does, or the structure makes no sense from here on.
    Cut,
}

/// The result of a step of a walk.
pub(super) type Step<T> = Result<T, Stop>;

impl From<Flaw> for Stop {
    fn from(flaw: Flaw) -> Self {
        Self::Refused(flaw)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof { Self::Cut } else { Self::Io(error) }
    }
}

/// Once the dimensions are known, a cut is an ending and no failure.
pub(super) fn cut_is_truncated(step: Step<FileEnd>) -> Step<FileEnd> {
    match step {
        Err(Stop::Cut) => Ok(FileEnd::Truncated),
        other => other,
    }
}

/// Where the bytes come from: a file, or memory.
pub(super) trait Source: Read + Seek {}

impl<S: Read + Seek> Source for S {}

/// A position in a file of a given length, with the bytes around it, and what the image must keep to.
///
/// Taking bytes and reading them from the source both draw on a budget that is linear in the
/// length. Every loop over the file takes bytes, so none can outlast the budget; a walk that only
/// goes forward cannot exhaust it.
pub(super) struct Window<'a> {
    pub(super) bounds: &'a Bounds,
    source: &'a mut dyn Source,
    len: u64,
    at: u64,
    /// `buffer[..filled]` holds the bytes from `start`; the source stands at `start + filled`.
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
    reach: usize,
    budget: u64,
}

impl<'a> Window<'a> {
    /// Opens at byte 0.
    pub(super) fn open(source: &'a mut dyn Source, len: u64, bounds: &'a Bounds) -> io::Result<Self> {
        source.seek(SeekFrom::Start(0))?;
        let frames = u64::from(bounds.max_frames).min(len / MIN_FRAME_BYTES).saturating_add(1);
        let budget = len.saturating_mul(4).saturating_add(frames.saturating_mul(FRAME_COST));
        let buffer = vec![0; WINDOW];
        Ok(Self { bounds, source, len, at: 0, buffer, start: 0, filled: 0, reach: NEAR / 2, budget })
    }

    /// The length of the file in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The position in bytes from the start; never beyond the length.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Takes the position for the end of the structure.
    pub(super) fn ending(&self) -> FileEnd {
        match self.len - self.at {
            0 => FileEnd::Exact,
            trailing => FileEnd::TrailingBytes(trailing),
        }
    }

    /// Moves to a byte, or to the end of the file. Nothing is read yet.
    pub(super) fn jump(&mut self, to: u64) -> Step<()> {
        if to > self.len {
            return Err(Stop::Cut);
        }
        self.at = to;
        Ok(())
    }

    /// Moves on by a number of bytes.
    pub(super) fn skip(&mut self, bytes: u64) -> Step<()> {
        self.jump(self.at.checked_add(bytes).ok_or(Stop::Cut)?)
    }

    /// Takes the next `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut taken = [0; N];
        match self.fill(&mut taken)? {
            filled if filled == N => Ok(taken),
            _ => Err(Stop::Cut),
        }
    }

    /// Takes one byte.
    pub(super) fn byte(&mut self) -> Step<u8> {
        self.bytes().map(|[byte]| byte)
    }

    /// Copies the first bytes of the file, as many as there are, and returns to byte 0.
    pub(super) fn peek(&mut self, head: &mut [u8]) -> Step<usize> {
        let known = self.fill(head)?;
        self.jump(0)?;
        Ok(known)
    }

    /// Moves to just after the next `byte`.
    pub(super) fn pass(&mut self, byte: u8) -> Step<()> {
        loop {
            let ahead = self.ahead()?;
            let found = memchr::memchr(byte, ahead);
            let passed = found.map_or(ahead.len(), |before| before + 1);
            self.take(passed)?;
            if found.is_some() {
                return Ok(());
            }
        }
    }

    /// Takes bytes until `target` is full or the file ends; returns how many.
    fn fill(&mut self, target: &mut [u8]) -> Step<usize> {
        let mut done = 0;
        while done < target.len() {
            let ahead = match self.ahead() {
                Err(Stop::Cut) => break,
                other => other?,
            };
            let rest = &mut target[done..];
            let n = rest.len().min(ahead.len());
            rest[..n].copy_from_slice(&ahead[..n]);
            self.take(n)?;
            done += n;
        }
        Ok(done)
    }

    /// The bytes held from the position on: at least one.
    fn ahead(&mut self) -> Step<&[u8]> {
        let held = self.at.checked_sub(self.start).and_then(|offset| usize::try_from(offset).ok());
        let offset = match held.filter(|&offset| offset < self.filled) {
            Some(offset) => offset,
            None => {
                self.refill()?;
                0
            }
        };
        Ok(&self.buffer[offset..self.filled])
    }

    fn refill(&mut self) -> Step<()> {
        let left = self.len - self.at;
        if left == 0 {
            return Err(Stop::Cut);
        }
        if self.at == self.start + self.filled as u64 {
            self.reach = (self.reach * 2).min(WINDOW);
        } else {
            self.reach = NEAR;
            self.source.seek(SeekFrom::Start(self.at))?;
        }
        (self.start, self.filled) = (self.at, 0);
        let want = usize::try_from(left).map_or(self.reach, |left| left.min(self.reach));
        let read = loop {
            match self.source.read(&mut self.buffer[..want]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?.min(want),
            }
        };
        self.spend(read)?;
        self.filled = read;
        if read == 0 { Err(Stop::Cut) } else { Ok(()) }
    }

    /// Moves over bytes that are held.
    fn take(&mut self, bytes: usize) -> Step<()> {
        self.spend(bytes)?;
        self.at += bytes as u64;
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Step<()> {
        let flaw = Flaw::Malformed("its parts point at one another without end");
        self.budget = self.budget.checked_sub(bytes as u64).ok_or(flaw)?;
        Ok(())
    }
}
