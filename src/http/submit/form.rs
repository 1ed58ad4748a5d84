//! The upload form: parts in any order, files staged while they stream, everything bounded.

use std::collections::BTreeMap;

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::super::extract;
use super::super::problem::HttpError;
use super::file_name::file_name;
use super::gate::{Barred, OddParts};
use super::terms::{check_terms, distinct, read_params};
use crate::blob::{Staged, Staging};
use crate::domain::fault::{Code, Fault};
use crate::domain::json::check_text;
use crate::domain::name::shorten;
use crate::service::Ctx;
use crate::service::submit::{Ask, File};

/// The largest part that is not a file, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The most parts that are not files.
const TEXTS_MAX: usize = 200;
/// The most kept of a file's name, in bytes: an index holds it.
const NAME_BYTES_MAX: usize = 1_000;

/// Reads a whole form. A file whose header was odd is refused, and no other for it.
pub(super) async fn read(ctx: &Ctx, mut form: Multipart, odd: &OddParts) -> Result<(Ask, Vec<File>), HttpError> {
    let mut texts = Texts::default();
    let mut files = Vec::new();
    let mut places = 0..;
    while let Some(field) = form.next_field().await.map_err(body_fault)? {
        let odd = places.next().is_some_and(|place| odd.lock().contains(&place));
        let name = field.name().unwrap_or_default().to_owned();
        if name != "images" {
            texts.add(name, text(field).await?)?;
            continue;
        }
        if files.len() >= ctx.limits.images_max {
            let detail = format!("The request has more than {} files.", ctx.limits.images_max);
            return Err(Fault::new(Code::TooManyImages, detail).at("form", "/images").into());
        }
        let name = name_of(&field, files.len());
        let staged = if odd { refuse_name(field, files.len()).await? } else { stage(ctx, field).await? };
        files.push(File { name, staged });
    }
    Ok((texts.ask()?, files))
}

/// Reads a file to its end, unstored, whose name cannot be told from the rest of its header.
async fn refuse_name(mut field: Field<'_>, index: usize) -> Result<Result<Staged, Fault>, HttpError> {
    while field.chunk().await.map_err(body_fault)?.is_some() {}
    let fault = Fault::new(Code::InvalidField, "The file's name holds a control character or a line break.");
    let mend = "Send the file under a name without them, or write them as %0A and its like.";
    Ok(Err(fault.mend(mend).at("file", format!("/images/{index}"))))
}

fn name_of(field: &Field<'_>, index: usize) -> String {
    match file_name(field.headers()) {
        Some(name) if !name.is_empty() => last_part(&name),
        _ => format!("image-{index}"),
    }
}

/// The end of a path that is too long says more than its beginning.
fn last_part(name: &str) -> String {
    match name.len().checked_sub(NAME_BYTES_MAX) {
        None | Some(0) => name.to_owned(),
        Some(over) => format!("…{}", &name[name.ceil_char_boundary(over + '…'.len_utf8())..]),
    }
}

/// Stages one file; one over its limit is read to its end unstored.
async fn stage(ctx: &Ctx, mut field: Field<'_>) -> Result<Result<Staged, Fault>, HttpError> {
    let most = ctx.limits.image_bytes_max;
    let mut staging = Some(Staging::begin(&ctx.blobs).await.map_err(crate::service::Error::from)?);
    let mut bytes = 0u64;
    while let Some(chunk) = field.chunk().await.map_err(body_fault)? {
        bytes += chunk.len() as u64;
        if bytes > most {
            staging = None;
        }
        if let Some(staging) = &mut staging {
            staging.write(chunk).await.map_err(crate::service::Error::from)?;
        }
    }
    match staging {
        Some(staging) => Ok(Ok(staging.finish().await.map_err(crate::service::Error::from)?)),
        None => Ok(Err(Fault::new(Code::FileTooLarge, format!("The file has {bytes} bytes; the limit is {most}.")))),
    }
}

async fn text(mut field: Field<'_>) -> Result<String, HttpError> {
    let name = field.name().unwrap_or_default().to_owned();
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(body_fault)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > TEXT_BYTES_MAX {
            let detail = format!("The field {:?} has more than {TEXT_BYTES_MAX} bytes.", shorten(&name));
            return Err(Fault::new(Code::TooLarge, detail).into());
        }
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Fault::new(Code::MalformedBody, format!("The field {:?} is not UTF-8.", shorten(&name))))?;
    check_text(&text)?;
    Ok(text)
}

fn body_fault(error: MultipartError) -> Fault {
    let causes = std::iter::successors(Some(&error as &(dyn std::error::Error + 'static)), |error| error.source());
    for cause in causes {
        if let Some(Barred::Wrong(fault)) = cause.downcast_ref() {
            return fault.clone();
        }
    }
    let why = error.body_text();
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Fault::new(Code::TooLarge, "The request is over the size limit of one upload.")
            .mend("Send fewer images at once under one `submission`.");
    }
    let why_lower = why.to_lowercase();
    if ["incomplete", "stream", "eof", "closed", "timed out"].iter().any(|word| why_lower.contains(word)) {
        return Fault::new(Code::BodyCutOff, "The form ended before its last boundary.");
    }
    Fault::new(Code::MalformedBody, format!("The form cannot be parsed: {why}."))
}

/// The parts that are not files, as they come.
#[derive(Default)]
struct Texts {
    count: usize,
    models: Vec<String>,
    single: BTreeMap<String, String>,
}

const SINGLE: [&str; 9] =
    ["priority", "rerun", "params", "submission", "case", "require_live", "strict", "run_at", "finish_within_s"];

impl Texts {
    fn add(&mut self, name: String, text: String) -> Result<(), Fault> {
        self.count += 1;
        if self.count > TEXTS_MAX {
            return Err(Fault::new(
                Code::TooLarge,
                format!("The form has more than {TEXTS_MAX} fields that are not files."),
            ));
        }
        let pointer = format!("/{}", shorten(&name));
        if name == "models" {
            self.models.extend(extract::split_models(&text));
        } else if !SINGLE.contains(&name.as_str()) {
            let detail = format!("unknown field {:?}.", shorten(&name));
            let mend = format!("The form takes images, models, {}.", SINGLE.join(", "));
            return Err(Fault::new(Code::UnknownField, detail).mend(mend).at("form", pointer));
        } else if self.single.insert(name.clone(), text).is_some() {
            return Err(Fault::invalid("form", pointer, format!("The field {name} is given twice.")));
        }
        Ok(())
    }

    /// An empty field, as Swagger UI sends it, counts as left out.
    fn take(&mut self, name: &str) -> Option<String> {
        self.single.remove(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &str, what: &str) -> Result<Option<T>, Fault> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let wrong =
            |_| Fault::invalid("form", format!("/{name}"), format!("{name} is {:?}; it is {what}.", shorten(&text)));
        text.parse().map(Some).map_err(wrong)
    }

    fn flag(&mut self, name: &str) -> Result<bool, Fault> {
        match self.take(name).as_deref() {
            None | Some("false" | "0" | "off") => Ok(false),
            Some("true" | "1" | "on") => Ok(true),
            Some(other) => {
                let detail = format!("{name} is {:?}; it is true or false.", shorten(other));
                Err(Fault::invalid("form", format!("/{name}"), detail))
            }
        }
    }

    fn ask(mut self) -> Result<Ask, HttpError> {
        let params = self.take("params").map(|text| read_params(&text, "form")).transpose()?.unwrap_or_default();
        let ask = Ask {
            priority: self.parsed("priority", "a whole number from -100 to 100")?.unwrap_or(0),
            rerun: self.flag("rerun")?,
            submission: self.parsed::<Uuid>("submission", "a UUID")?,
            case: self.parsed::<Uuid>("case", "the UUID of a case")?,
            require_live: self.flag("require_live")?,
            strict: self.flag("strict")?,
            run_at: self.parsed::<DateTime<Utc>>("run_at", "a time as 2026-11-22T09:00:00Z")?,
            finish_within_s: self.parsed("finish_within_s", "seconds")?,
            models: distinct(self.models),
            params,
        };
        check_terms(&ask, "form")?;
        Ok(ask)
    }
}
