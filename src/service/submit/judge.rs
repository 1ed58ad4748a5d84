//! Each file alone: whether it is an image within the bounds.

use std::collections::HashMap;

use super::ask::{Ask, File, RefusedImage};
use crate::blob::Staged;
use crate::domain::fault::{Code, Fault, FieldFault};
use crate::domain::image::ContentMd5;
use crate::inspect::{FileEnd, Flaw, Structure};
use crate::service::{Ctx, Result};

/// A file that is an image within the bounds.
pub(super) struct GoodFile {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) staged: Staged,
    pub(super) structure: Structure,
}

pub(super) async fn judge(ctx: &Ctx, files: Vec<File>) -> Result<(Vec<GoodFile>, Vec<RefusedImage>)> {
    let (mut good, mut rejected) = (Vec::new(), Vec::new());
    for (index, File { name, staged }) in files.into_iter().enumerate() {
        let staged = match staged {
            Ok(staged) => staged,
            Err(fault) => {
                rejected.push(RefusedImage { index, name, fault });
                continue;
            }
        };
        match staged.inspect(ctx.limits.bounds).await? {
            Ok(structure) => good.push(GoodFile { index, name, staged, structure }),
            Err(flaw) => {
                let fault = refused(ctx, flaw).at("file", format!("/images/{index}"));
                rejected.push(RefusedImage { index, name, fault });
            }
        }
    }
    Ok((good, rejected))
}

pub(super) fn refused(ctx: &Ctx, flaw: Flaw) -> Fault {
    let bounds = ctx.limits.bounds;
    match flaw {
        Flaw::Empty => Fault::new(Code::EmptyFile, "The file has no bytes."),
        Flaw::NotAnImage => Fault::new(Code::NotAnImage, "The file has the signature of no image format."),
        Flaw::Malformed(why) => Fault::new(Code::MalformedImage, format!("The file's structure is broken: {why}.")),
        Flaw::TooManyPixels { width, height } => {
            let detail =
                format!("The image declares {width} × {height} pixels; the limit is {} in all.", bounds.max_pixels);
            Fault::new(Code::ImageTooBig, detail)
        }
        Flaw::SideTooLong { width, height } => {
            let detail =
                format!("The image declares {width} × {height} pixels; the limit is {} a side.", bounds.max_side);
            Fault::new(Code::ImageTooBig, detail)
        }
        Flaw::TooManyFrames(frames) => {
            let detail = format!("The image has {frames} frames or more; the limit is {}.", bounds.max_frames);
            Fault::new(Code::ImageTooBig, detail)
        }
    }
}

/// Two files of one request with one MD5 but different bytes: the second is refused.
pub(super) fn refuse_same_md5(good: &mut Vec<GoodFile>, rejected: &mut Vec<RefusedImage>) {
    let mut first: HashMap<ContentMd5, [u8; 32]> = HashMap::new();
    let collide = good.extract_if(.., |f| *first.entry(f.staged.md5).or_insert(f.staged.sha256) != f.staged.sha256);
    rejected.extend(collide.map(|f| RefusedImage { index: f.index, name: f.name, fault: collision(f.staged.md5) }));
}

pub(super) fn collision(md5: ContentMd5) -> Fault {
    Fault::new(Code::Md5Collision, format!("Other bytes are known under {md5}."))
}

pub(super) fn nothing_or_strict(ask: &Ask, good: usize, rejected: &[RefusedImage]) -> Result<()> {
    if good > 0 && (rejected.is_empty() || !ask.strict) {
        return Ok(());
    }
    Err(refusal(good, rejected).into())
}

/// The fault of a request that is refused for its images.
pub(super) fn refusal(good: usize, rejected: &[RefusedImage]) -> Fault {
    let detail = format!("{} of {} images were rejected.", rejected.len(), good + rejected.len());
    let mut fault = Fault::new(Code::NothingAccepted, detail);
    fault.errors = rejected
        .iter()
        .map(|r| FieldFault {
            part: Some("file"),
            pointer: format!("/images/{}", r.index),
            code: r.fault.code,
            detail: r.fault.detail.clone(),
        })
        .collect();
    if let [only] = rejected {
        fault.mend.clone_from(&only.fault.mend);
    }
    fault
}

pub(super) fn warnings(structure: &Structure) -> Vec<String> {
    match structure.ending {
        FileEnd::Exact => Vec::new(),
        FileEnd::Truncated => vec!["truncated: the file ends before its structure does".to_owned()],
        FileEnd::TrailingBytes(count) => vec![format!("trailing_bytes: {count} bytes follow the end of the image")],
    }
}
