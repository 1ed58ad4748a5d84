//! What the boxes of a HEIF say of its items and tracks.

use super::super::window::{Step, Stop, Window};
use super::super::{FileEnd, Flaw};
use super::boxes::{self, BoxHead, BoxKind, FILE, HEAD_BYTES};

/// The boxes that are looked at; a photograph in tiles has some hundreds.
const MAX_BOXES: u32 = 65_536;
/// The `ispe` properties remembered with their place, in 24 KiB. A primary item whose property
/// comes later is taken for the largest.
const MAX_EXTENTS: usize = 2048;
/// The `ipma` boxes looked at: one for each version and flags (ISO/IEC 23008-12 §9.3.1).
const MAX_ASSOCIATIONS: usize = 4;

/// What has been found so far.
#[derive(Default)]
pub(super) struct Contents {
    sequence: bool,
    frames: u32,
    /// There has been a box with the data of pictures.
    data: bool,
    primary: Option<u32>,
    /// The properties met, of any type.
    properties: u32,
    /// Of each `ispe`: its place among the properties, from 1; width and height.
    extents: Vec<(u32, (u32, u32))>,
    /// Of each `ipma`: where its payload starts and where it ends.
    associations: Vec<(u64, u64)>,
    largest_item: Option<(u32, u32)>,
    largest_track: Option<(u32, u32)>,
    /// The current track is of something else than pictures.
    other_track: bool,
}

impl Contents {
    /// Nothing yet. Tracks are only of interest in a sequence.
    pub(super) fn new(sequence: bool) -> Self {
        Self { sequence, ..Self::default() }
    }

    /// At least 1.
    pub(super) fn frames(&self) -> u32 {
        self.frames.max(1)
    }

    /// The dimensions of the primary item, or what comes nearest.
    pub(super) fn extent(&self, window: &mut Window<'_>) -> Step<Option<(u32, u32)>> {
        let mut primary = None;
        for &(start, end) in &self.associations {
            primary = primary.or(match self.primary_extent(window, start, end) {
                Err(Stop::Cut) => None,
                other => other?,
            });
        }
        Ok(primary.or(self.largest_item).or(self.largest_track))
    }

    /// Walks the boxes to the end of the file.
    pub(super) fn walk(&mut self, window: &mut Window<'_>) -> Step<FileEnd> {
        let mut open: Vec<(BoxKind, u64)> = Vec::new();
        for _ in 0..MAX_BOXES {
            while let Some((_, end)) = open.pop_if(|(_, end)| end.saturating_sub(window.at()) < HEAD_BYTES) {
                window.jump(end)?;
            }
            let (parent, limit) = open.last().copied().unwrap_or((*FILE, window.len()));
            let start = window.at();
            let head = match boxes::head(window, limit) {
                Err(Stop::Cut) => None,
                other => other?,
            };
            if open.is_empty() && self.data && !is_box(head.as_ref(), limit) {
                window.jump(start)?;
                return Ok(window.ending());
            }
            let head = head.ok_or(Stop::Cut)?;
            if !open.is_empty() && head.end > limit {
                return Err(Stop::Cut);
            }
            self.note(window, &parent, &head)?;
            if boxes::is_opened(&parent, &head.kind) {
                open.push((head.kind, head.end));
            } else {
                window.jump(head.end)?;
            }
        }
        Err(Flaw::Malformed("a HEIF of too many boxes").into())
    }

    /// Notes what a box says, and moves to the first child of one that is walked into.
    fn note(&mut self, window: &mut Window<'_>, parent: &BoxKind, head: &BoxHead) -> Step<()> {
        if parent == b"ipco" {
            self.properties += 1;
        }
        match (parent, &head.kind) {
            (FILE, b"mdat") | (b"meta", b"idat") => self.data = true,
            // Alone of those walked into, it has a version and flags.
            (FILE, b"meta") => window.skip(4)?,
            (b"meta", b"pitm") => {
                let [version, ..] = window.bytes::<4>()?;
                self.primary = Some(item_id(window, version)?);
            }
            (b"ipco", b"ispe") => self.note_extent(window)?,
            (b"iprp", b"ipma") if self.associations.len() < MAX_ASSOCIATIONS => {
                self.associations.push((window.at(), head.end));
            }
            (b"moov", b"trak") => self.other_track = false,
            (b"trak", b"tkhd") if self.sequence => self.note_track(window)?,
            (b"mdia", b"hdlr") => {
                window.skip(8)?;
                self.other_track = !matches!(&window.bytes()?, b"pict" | b"vide");
            }
            (b"stbl", b"stsz" | b"stz2") if self.sequence && !self.other_track => {
                window.skip(8)?;
                self.frames = self.frames.max(u32::from_be_bytes(window.bytes()?));
                window.bounds.admit_frames(self.frames)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Image spatial extents (ISO/IEC 23008-12 §6.5.3), those of thumbnails and tiles as well.
    fn note_extent(&mut self, window: &mut Window<'_>) -> Step<()> {
        window.skip(4)?;
        let width = u32::from_be_bytes(window.bytes()?);
        let height = u32::from_be_bytes(window.bytes()?);
        window.bounds.admit(width, height)?;
        if self.extents.len() < MAX_EXTENTS {
            self.extents.push((self.properties, (width, height)));
        }
        self.largest_item = larger(self.largest_item, (width, height));
        Ok(())
    }

    /// A track header (ISO/IEC 14496-12 §8.3.2): the dimensions end it, as 16.16 fixed point. Those
    /// of a track without pictures are 0.
    fn note_track(&mut self, window: &mut Window<'_>) -> Step<()> {
        let [version, ..] = window.bytes::<4>()?;
        window.skip(if version == 1 { 84 } else { 72 })?;
        let width = u32::from_be_bytes(window.bytes()?) >> 16;
        let height = u32::from_be_bytes(window.bytes()?) >> 16;
        if width != 0 && height != 0 {
            window.bounds.admit(width, height)?;
            self.largest_track = larger(self.largest_track, (width, height));
        }
        Ok(())
    }

    /// Looks the primary item up in an `ipma` (ISO/IEC 23008-12 §9.3.1): of each item an id and the
    /// places of its properties, below a bit that says whether they are essential.
    fn primary_extent(&self, window: &mut Window<'_>, start: u64, end: u64) -> Step<Option<(u32, u32)>> {
        window.jump(start)?;
        let [version, _, _, flags] = window.bytes()?;
        let items = u32::from_be_bytes(window.bytes()?);
        for _ in 0..items {
            let id = item_id(window, version)?;
            let mut found = None;
            for _ in 0..window.byte()? {
                let place = match flags & 1 {
                    0 => u32::from(window.byte()? & 0x7F),
                    _ => u32::from(u16::from_be_bytes(window.bytes()?) & 0x7FFF),
                };
                if Some(id) == self.primary {
                    found = found.or(self.extents.iter().find(|(at, _)| *at == place));
                }
            }
            if window.at() > end || Some(id) == self.primary {
                return Ok(found.map(|&(_, extent)| extent));
            }
        }
        Ok(None)
    }
}

/// Whether an outermost box starts here: it lies within the file, or is known to have been cut off.
fn is_box(head: Option<&BoxHead>, len: u64) -> bool {
    head.is_some_and(|head| head.end <= len || boxes::is_outermost(&head.kind))
}

/// An item's id, which has 2 bytes in version 0 of `ipma` and `pitm`, and 4 later.
fn item_id(window: &mut Window<'_>, version: u8) -> Step<u32> {
    match version {
        0 => Ok(u32::from(u16::from_be_bytes(window.bytes()?))),
        _ => Ok(u32::from_be_bytes(window.bytes()?)),
    }
}

/// The one with more pixels.
fn larger(known: Option<(u32, u32)>, other: (u32, u32)) -> Option<(u32, u32)> {
    let pixels = |(width, height)| u64::from(width) * u64::from(height);
    known.filter(|&known| pixels(known) >= pixels(other)).or(Some(other))
}
