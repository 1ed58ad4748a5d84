//! What is told of an image file, within which bounds, and why one is refused.

/// The bounds an image must keep to be accepted. Each is inclusive.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Width × height of the largest frame, in pixels.
    pub max_pixels: u64,
    /// Frames of an animation, pages of a TIFF. Also bounds the work: see `inspect`.
    pub max_frames: u32,
    /// Width or height of any frame, in pixels.
    pub max_side: u32,
}

/// A file format that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// ITU-T T.81 in any of its processes; JPEG-LS and JPEG 2000 are not among them.
    Jpeg,
    /// PNG 3rd edition, with its animations.
    Png,
    /// GIF87a and GIF89a.
    Gif,
    /// Windows and OS/2 bitmaps that begin with a file header.
    Bmp,
    /// TIFF 6.0 and BigTIFF, and so also raw photographs that call themselves TIFF.
    Tiff,
    /// The RIFF container of RFC 9649.
    Webp,
    /// HEIF (ISO/IEC 23008-12) with HEVC, or with no brand that says which codec.
    Heic,
    /// HEIF with AV1.
    Avif,
}

impl Format {
    /// The registered media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Webp => "image/webp",
            Self::Heic => "image/heic",
            Self::Avif => "image/avif",
        }
    }
}

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    /// By signature and brands, never by a file's name.
    pub format: Format,
    /// Of the canvas, the first page or the primary item, in pixels, as stored: before any rotation
    /// or cropping that metadata or a HEIF property asks for. Never 0.
    pub width: u32,
    /// As `width`.
    pub height: u32,
    /// 1 for a still image. Of a truncated file, the frames found up to the cut. Never 0.
    pub frames: u32,
    /// How EXIF asks for it to be turned, 1 to 8; nothing where none says. A HEIF says it by other means, which are not read.
    pub orientation: Option<u8>,
    /// Whether the file ends where its structure does.
    pub ending: FileEnd,
}

/// Where the file ends, against where its structure says. An image is taken with a warning unless
/// this is `Exact`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileEnd {
    /// Where the structure says. TIFF has no notion of a last byte, so a whole TIFF is always exact.
    Exact,
    /// Earlier; or the structure is damaged past its dimensions, so that its end cannot be found.
    Truncated,
    /// This many bytes after the structure.
    TrailingBytes(u64),
}

/// Why an image is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// The file has no bytes.
    Empty,
    /// No signature of an accepted format.
    NotAnImage,
    /// The signature is right, but there are no dimensions, a dimension is 0, or no picture follows.
    Malformed(&'static str),
    /// A frame has more than `Bounds::max_pixels`.
    TooManyPixels { width: u32, height: u32 },
    /// More than `Bounds::max_frames`: the number declared, or the number counted so far.
    TooManyFrames(u32),
    /// A frame is wider or higher than `Bounds::max_side`.
    SideTooLong { width: u32, height: u32 },
}

impl Bounds {
    /// Accepts the dimensions of a frame.
    pub(super) fn admit(&self, width: u32, height: u32) -> Result<(), Flaw> {
        if width == 0 || height == 0 {
            Err(Flaw::Malformed("a dimension is zero"))
        } else if u64::from(width) * u64::from(height) > self.max_pixels {
            Err(Flaw::TooManyPixels { width, height })
        } else if width.max(height) > self.max_side {
            Err(Flaw::SideTooLong { width, height })
        } else {
            Ok(())
        }
    }

    /// Accepts a number of frames.
    pub(super) fn admit_frames(&self, frames: u32) -> Result<(), Flaw> {
        if frames > self.max_frames { Err(Flaw::TooManyFrames(frames)) } else { Ok(()) }
    }
}
