//! What is seen of a photograph: its thumbnails, its perceptual hash and its placeholder, upright and in sRGB.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, Limits, RgbImage};
use image_hasher::{HashAlg, HasherConfig};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::wire::Photograph;
use crate::domain::derived::{Seen, THUMB_FORMATS, THUMB_SIDES, THUMBS, ThumbFormat};

/// Of WebP and of JPEG: a screenful has some 100 kB.
const WEBP_QUALITY: f32 = 75.0;
const JPEG_QUALITY: u8 = 80;
/// The longer side of what a placeholder is made from, in pixels: more it cannot tell.
const PLACEHOLDER_SIDE: u32 = 100;
/// What is behind a picture that can be seen through.
const BEHIND: u8 = 255;

/// What is seen, and its thumbnails one after the other; or why nothing is. Its pixels may take so many bytes.
pub(super) fn look(photograph: &Photograph, bytes: &[u8], pixel_bytes_max: u64) -> Result<(Seen, Vec<u8>), String> {
    let (picture, profile) = decode(photograph, bytes, pixel_bytes_max)?;
    let [small, large] = THUMB_SIDES;
    let large = in_srgb(opaque(&shrunk(picture, large)), profile.as_deref());
    let mut large = DynamicImage::ImageRgb8(large);
    // Known to whoever was given boxes on it: what is out of 1…8 was not taken for one.
    if let Some(orientation) = photograph.orientation.and_then(Orientation::from_exif) {
        large.apply_orientation(orientation);
    }
    let small = shrunk(large.clone(), small);
    let (mut thumbnails, mut ends) = (Vec::new(), [0; THUMBS]);
    let pairs = [&small, &large].into_iter().flat_map(|picture| THUMB_FORMATS.map(|format| (picture, format)));
    for ((picture, format), end) in pairs.zip(&mut ends) {
        encode(&picture.to_rgb8(), format, &mut thumbnails)?;
        *end = u32::try_from(thumbnails.len()).map_err(|_| "Its thumbnails are too large.")?;
    }
    Ok((Seen { phash: phash(&small), placeholder: placeholder(small), ends }, thumbnails))
}

/// The first frame, as it is stored, and its colour profile.
fn decode(
    photograph: &Photograph,
    bytes: &[u8],
    pixel_bytes_max: u64,
) -> Result<(DynamicImage, Option<Vec<u8>>), String> {
    let kind = photograph.media_type.trim_start_matches("image/").to_uppercase();
    let format = ImageFormat::from_mime_type(&photograph.media_type).filter(ImageFormat::reading_enabled);
    let format = format.ok_or_else(|| format!("No decoder for {kind} is built in."))?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(pixel_bytes_max);
    pixels(bytes, format, limits).map_err(|error| match error {
        ImageError::Limits(_) => "Its pixels need more memory than DARKROOM_DECODER_BYTES_MAX allows.".to_owned(),
        ImageError::Unsupported(error) => format!("No decoder for this kind of {kind} is built in: {error}."),
        // Some end in a stop, and some do not.
        error => format!("It cannot be decoded: {}.", error.to_string().trim_end_matches('.')),
    })
}

fn pixels(bytes: &[u8], format: ImageFormat, mut limits: Limits) -> ImageResult<(DynamicImage, Option<Vec<u8>>)> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // What the pixels take is asked for before it is taken.
    limits.reserve(decoder.total_bytes())?;
    let profile = decoder.icc_profile().ok().flatten();
    Ok((DynamicImage::from_decoder(decoder)?, profile))
}

fn shrunk(picture: DynamicImage, side: u32) -> DynamicImage {
    if picture.width().max(picture.height()) > side { picture.thumbnail(side, side) } else { picture }
}

/// The picture on white, if it can be seen through.
fn opaque(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let seen_through = picture.to_rgba8();
    let over = |colour: u8, alpha: u8| {
        let (colour, alpha, behind) = (u32::from(colour), u32::from(alpha), u32::from(BEHIND));
        u8::try_from((colour * alpha + behind * (255 - alpha)) / 255).unwrap_or(BEHIND)
    };
    let mut on_white = RgbImage::new(seen_through.width(), seen_through.height());
    for (into, from) in on_white.pixels_mut().zip(seen_through.pixels()) {
        let [r, g, b, alpha] = from.0;
        into.0 = [r, g, b].map(|colour| over(colour, alpha));
    }
    on_white
}

/// The colours that its profile means; as they are where it has none that can be followed. A thumbnail carries no profile.
fn in_srgb(picture: RgbImage, profile: Option<&[u8]>) -> RgbImage {
    let Some(profile) = profile.and_then(|bytes| ColorProfile::new_from_slice(bytes).ok()) else { return picture };
    if profile.color_space != DataColorSpace::Rgb {
        return picture;
    }
    let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
    let Ok(transform) = profile.create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, options) else { return picture };
    let mut converted = RgbImage::new(picture.width(), picture.height());
    match transform.transform(&picture, &mut converted) {
        Ok(()) => converted,
        Err(_) => picture,
    }
}

fn encode(picture: &RgbImage, format: ThumbFormat, into: &mut Vec<u8>) -> Result<(), String> {
    let (width, height) = picture.dimensions();
    match format {
        ThumbFormat::Webp => {
            let encoded = webp::Encoder::from_rgb(picture, width, height).encode_simple(false, WEBP_QUALITY);
            into.extend_from_slice(&encoded.map_err(|error| format!("No WebP could be made: {error:?}."))?);
            Ok(())
        }
        ThumbFormat::Jpeg => JpegEncoder::new_with_quality(into, JPEG_QUALITY)
            .encode_image(picture)
            .map_err(|error| format!("No JPEG could be made: {error}.")),
    }
}

/// By the signs of the low frequencies against their median.
fn phash(picture: &DynamicImage) -> i64 {
    let hasher = HasherConfig::with_bytes_type::<[u8; 8]>().hash_size(8, 8).preproc_dct().hash_alg(HashAlg::Median);
    i64::from_be_bytes(hasher.to_hasher().hash_image(picture).into_inner())
}

fn placeholder(picture: DynamicImage) -> Vec<u8> {
    let picture = shrunk(picture, PLACEHOLDER_SIDE).to_rgba8();
    thumbhash::rgba_to_thumb_hash(picture.width() as usize, picture.height() as usize, &picture)
}
