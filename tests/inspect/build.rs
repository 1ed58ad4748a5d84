//! Minimal files of every format: structure without pixels worth decoding.

/// Joins parts.
pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// SOI, an APP1 whose thumbnail has an EOI of its own, SOF2, two scans with stuffing, RST and fill
/// bytes, EOI.
pub fn jpeg(width: u16, height: u16) -> Vec<u8> {
    join(&[
        &[0xFF, 0xD8, 0xFF, 0xE1, 0, 8, 0xFF, 0xD8, 0xFF, 0xD9, 1, 2],
        &jpeg_frame(width, height),
        &[0xFF, 0xC4, 0, 4, 0, 0, 0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0],
        &[1, 2, 0xFF, 0, 3, 0xFF, 0xD0, 4, 0xFF, 0xFF, 0xDA, 0, 3, 0, 9, 0xFF, 0, 0xFF, 0xD9],
    ])
}

/// A progressive frame header of one component.
pub fn jpeg_frame(width: u16, height: u16) -> Vec<u8> {
    let [w, h] = [width.to_be_bytes(), height.to_be_bytes()];
    join(&[&[0xFF, 0xC2, 0, 11, 8], &h, &w, &[1, 1, 0x11, 0]])
}

/// With a checksum of zeros.
pub fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    join(&[&u32::try_from(data.len()).expect("small").to_be_bytes(), kind, data, &[0; 4]])
}

/// With chunks between IHDR and IDAT.
pub fn png(width: u32, height: u32, between: &[u8]) -> Vec<u8> {
    let header = join(&[&width.to_be_bytes(), &height.to_be_bytes(), &[8, 2, 0, 0, 0]]);
    join(&[
        b"\x89PNG\r\n\x1A\n",
        &png_chunk(b"IHDR", &header),
        between,
        &png_chunk(b"IDAT", &[0; 9]),
        &png_chunk(b"IEND", &[]),
    ])
}

/// Animation control for a number of frames, then the control of the first one.
pub fn png_animation(frames: u32, width: u32, height: u32) -> Vec<u8> {
    let control = join(&[&frames.to_be_bytes(), &[0; 4]]);
    let first = join(&[&[0; 4], &width.to_be_bytes(), &height.to_be_bytes(), &[0; 14]]);
    join(&[&png_chunk(b"acTL", &control), &png_chunk(b"fcTL", &first)])
}

/// A screen with a global colour table, a comment, then images of the sizes given.
pub fn gif(width: u16, height: u16, images: &[(u16, u16)]) -> Vec<u8> {
    let [w, h] = [width.to_le_bytes(), height.to_le_bytes()];
    let mut file = join(&[b"GIF89a", &w, &h, &[0x80, 0, 0], &[0; 6], b"\x21\xFE\x02hi\0"]);
    for (width, height) in images {
        file.extend([0x2C, 0, 0, 0, 0]);
        file.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
        file.extend([0x81]);
        file.extend([0; 12]);
        file.extend([2, 3, 0x3B, 0x2C, 0, 1, 9, 0]);
    }
    join(&[&file, &[0x3B]])
}

/// BITMAPINFOHEADER, 24 bits per pixel.
pub fn bmp(width: i32, height: i32) -> Vec<u8> {
    let rows = (u64::from(width.unsigned_abs()) * 3).next_multiple_of(4);
    let bytes = rows.saturating_mul(u64::from(height.unsigned_abs())).min(1 << 16);
    let size = u32::try_from(54 + bytes).expect("small").to_le_bytes();
    let file = join(&[b"BM", &size, &[0; 4], &[54, 0, 0, 0, 40, 0, 0, 0]]);
    let info = join(&[&width.to_le_bytes(), &height.to_le_bytes(), &[1, 0, 24, 0], &[0; 24]]);
    join(&[&file, &info, &vec![7; usize::try_from(bytes).expect("small")]])
}

/// BITMAPCOREHEADER, 1 bit per pixel, `bfSize` left 0.
pub fn bmp_core(width: u16, height: u16) -> Vec<u8> {
    let [w, h] = [width.to_le_bytes(), height.to_le_bytes()];
    let rows = usize::from(width).div_ceil(32) * 4 * usize::from(height);
    let headers = join(&[&[0; 8], &[26, 0, 0, 0, 12, 0, 0, 0], &w, &h, &[1, 0, 1, 0]]);
    join(&[b"BM", &headers, &vec![0; rows]])
}

/// A TIFF writer for a byte order and a version.
#[derive(Clone, Copy)]
pub struct Tiff {
    pub big_endian: bool,
    pub big: bool,
}

impl Tiff {
    fn number(self, value: u64, bytes: usize) -> Vec<u8> {
        let little = &value.to_le_bytes()[..bytes];
        if self.big_endian { little.iter().rev().copied().collect() } else { little.to_vec() }
    }

    /// As wide as an offset.
    fn wide(self, value: u64) -> Vec<u8> {
        self.number(value, if self.big { 8 } else { 4 })
    }

    /// A LONG, or a table of numbers as wide as an offset, elsewhere.
    fn entry(self, tag: u64, count: u64, value: u64) -> Vec<u8> {
        let kind = if count > 1 && self.big { 16 } else { 4 };
        let mut field = self.number(value, if kind == 16 { 8 } else { 4 });
        field.resize(if self.big { 8 } else { 4 }, 0);
        [self.number(tag, 2), self.number(kind, 2), self.wide(count), field].concat()
    }

    /// Pages of two strips each. The last directory points at `after`.
    pub fn pages(self, pages: &[(u32, u32)], after: u64) -> Vec<u8> {
        let order: &[u8] = if self.big_endian { b"MM" } else { b"II" };
        let version = if self.big { [43, 8, 0].as_slice() } else { &[42] };
        let version: Vec<u8> = version.iter().flat_map(|&v| self.number(v, 2)).collect();
        let mut file = [order, &version].concat();
        let (wide, directory) = if self.big { (8, 8 + 4 * 20 + 8) } else { (4, 2 + 4 * 12 + 4) };
        let mut at = u64::try_from(file.len()).expect("small") + wide;
        file.extend(self.wide(if pages.is_empty() { 0 } else { at }));
        for (i, &(width, height)) in pages.iter().enumerate() {
            let (offsets, sizes) = (at + directory, at + directory + 2 * wide);
            let strips = sizes + 2 * wide;
            at = strips + 5;
            file.extend(self.number(4, if self.big { 8 } else { 2 }));
            file.extend(self.entry(256, 1, width.into()));
            file.extend(self.entry(257, 1, height.into()));
            file.extend(self.entry(273, 2, offsets));
            file.extend(self.entry(279, 2, sizes));
            file.extend(self.wide(if i + 1 == pages.len() { after } else { at }));
            for number in [strips, strips + 2, 2, 3] {
                file.extend(self.wide(number));
            }
            file.extend([1, 2, 3, 4, 5]);
        }
        file
    }
}

/// Padded to an even size.
pub fn riff_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let size = u32::try_from(data.len()).expect("small").to_le_bytes();
    join(&[kind, &size, data, &[0][..data.len() % 2]])
}

/// A RIFF of chunks.
pub fn webp(chunks: &[&[u8]]) -> Vec<u8> {
    riff_chunk(b"RIFF", &[b"WEBP".as_slice(), &chunks.concat()].concat())
}

/// A lossy image chunk.
pub fn vp8(width: u16, height: u16) -> Vec<u8> {
    let [w, h] = [width.to_le_bytes(), height.to_le_bytes()];
    riff_chunk(b"VP8 ", &join(&[&[0, 0, 0, 0x9D, 1, 0x2A], &w, &h, &[0; 5]]))
}

/// A lossless image chunk.
pub fn vp8l(width: u32, height: u32) -> Vec<u8> {
    riff_chunk(b"VP8L", &join(&[&[0x2F], &((width - 1) | ((height - 1) << 14)).to_le_bytes(), &[0; 4]]))
}

/// A canvas.
pub fn vp8x(width: u32, height: u32) -> Vec<u8> {
    let [w, h] = [width - 1, height - 1].map(u32::to_le_bytes);
    riff_chunk(b"VP8X", &join(&[&[2, 0, 0, 0], &w[..3], &h[..3]]))
}

/// A frame of an animation, at the origin.
pub fn anmf(width: u32, height: u32) -> Vec<u8> {
    let [w, h] = [width - 1, height - 1].map(u32::to_le_bytes);
    riff_chunk(b"ANMF", &join(&[&[0; 6], &w[..3], &h[..3], &[0; 4]]))
}

/// A box of parts.
pub fn bmff(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let data = parts.concat();
    join(&[&u32::try_from(8 + data.len()).expect("small").to_be_bytes(), kind, &data])
}

/// A thumbnail and a larger item, of which the primary one is item 7, the second of three sizes.
pub fn heif_meta(primary: (u32, u32)) -> Vec<u8> {
    let ispe = |(w, h): (u32, u32)| bmff(b"ispe", &[&[0; 4], &w.to_be_bytes(), &h.to_be_bytes()]);
    let properties = bmff(b"ipco", &[&ispe((2, 2)), &bmff(b"colr", &[]), &ispe(primary), &ispe((30, 20))]);
    let of_items = [&[0; 4][..], &[0, 0, 0, 2], &[0, 6, 1, 1], &[0, 7, 2, 0x82, 3]].concat();
    let properties = bmff(b"iprp", &[&properties, &bmff(b"ipma", &[&of_items])]);
    bmff(b"meta", &[&[0; 4], &bmff(b"pitm", &[&[0, 0, 0, 0, 0, 7]]), &properties])
}

/// A file type box.
pub fn ftyp(major: &[u8; 4], compatible: &[&[u8; 4]]) -> Vec<u8> {
    bmff(b"ftyp", &[major, &[0; 4], &compatible.iter().copied().flatten().copied().collect::<Vec<_>>()])
}

/// A still image.
pub fn heif(major: &[u8; 4], compatible: &[&[u8; 4]], primary: (u32, u32)) -> Vec<u8> {
    join(&[&ftyp(major, compatible), &heif_meta(primary), &bmff(b"mdat", &[b"data"])])
}

/// A track with a handler and a number of samples.
pub fn track(handler: &[u8; 4], width: u16, height: u16, samples: u32) -> Vec<u8> {
    let [w, h] = [width, height].map(|side| (u32::from(side) << 16).to_be_bytes());
    let sizes = bmff(b"stsz", &[&[0; 8], &samples.to_be_bytes()]);
    let media =
        bmff(b"mdia", &[&bmff(b"hdlr", &[&[0; 8], handler, &[0; 13]]), &bmff(b"minf", &[&bmff(b"stbl", &[&sizes])])]);
    bmff(b"trak", &[&bmff(b"tkhd", &[&[0; 76], &w, &h]), &media])
}
