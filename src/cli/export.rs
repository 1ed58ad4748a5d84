//! `darkroom export`: a case, or what fits a filter, as a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::HumanBytes;
use tokio::fs::{File, OpenOptions};
use uuid::Uuid;

use super::exit::Exit;
use super::session::Connection;
use crate::api::exports::{CreateExport, ExportOut};
use crate::client::error::ClientFault;
use crate::client::http::Api;
use crate::client::progress::Progress;
use crate::client::{cases, exports, text};
use crate::domain::export::{ExportFormat, ExportState};

/// How often it is asked how far an export is.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest name of a file that is made of a case's, in characters.
const NAME_CHARS_MAX: usize = 60;

/// Take a case away, or what of it fits a filter, as a file
#[derive(Debug, Args)]
#[command(
    after_help = "A download that broke off, by Ctrl-C too, goes on where it was when the same command runs again: what came lies in \
    FILE.ID.part. After unpacking a ZIP, `darkroom verify FOLDER` compares it with its manifest."
)]
pub struct ExportArgs {
    /// What is taken of the case; all of it, when left out. `darkroom search --help` has the keys
    // A term that is negated begins like an option.
    #[arg(allow_hyphen_values = true, default_value = "")]
    filter: String,
    /// The case, by its name or id, as `darkroom cases` lists them
    #[arg(long, value_name = "CASE")]
    case: String,
    /// zip has the photographs, a manifest, and all the others
    #[arg(long, default_value = "zip", value_parser = PossibleValuesParser::new(["zip", "ndjson", "csv", "coco", "case"])
          .map(|format| ExportFormat::parse(&format).unwrap_or(ExportFormat::Zip)))]
    format: ExportFormat,
    /// Where to, in place of what is there [default: the name of the case, here, where nothing has it]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

impl ExportArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`]; an export that failed, a file that cannot be written, or came damaged.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let api = self.connection.api()?;
        let case = cases::find(&api, &self.case).await?;
        let path = self.output.clone().unwrap_or_else(|| plain(&case.name, self.format));
        if path.exists() && (self.output.is_none() || !path.is_file()) {
            let told = format!("{} is there already: say where to with -o FILE", path.display());
            return Err(ClientFault::Usage(told).into());
        }
        let wanted = CreateExport { case: case.id, q: Some(self.filter.trim().to_owned()), format: self.format };
        let work = take(&api, &wanted, &path, self.output.is_some());
        tokio::select! {
            done = work => done?,
            _ = tokio::signal::ctrl_c() => {
                text::say("Interrupted: run the same again to go on.");
                return Ok(Exit::Interrupted);
            }
        }
        Ok(Exit::Success)
    }
}

async fn take(api: &Api, wanted: &CreateExport, path: &Path, replace: bool) -> anyhow::Result<()> {
    let (asked, part) = match begun(api, wanted, path).await? {
        Some(begun) => begun,
        None => {
            let asked = exports::ask(api, wanted).await?;
            let part = part_of(path, asked.id);
            (asked, part)
        }
    };
    // There from now on, so that who runs it again finds it.
    let mut file = open(&part).await?;
    let done = made(api, asked).await?;
    if done.state == ExportState::Failed {
        drop(file);
        tokio::fs::remove_file(&part).await?;
        anyhow::bail!(
            "the export failed: {}",
            text::clean(done.error.as_deref().unwrap_or("the server does not say why"))
        );
    }
    exports::fetch(api, &done, &mut file, Progress::stderr()).await?;
    drop(file);
    if !replace && path.exists() {
        anyhow::bail!("{} is there meanwhile; what was fetched lies in {}", path.display(), part.display());
    }
    tokio::fs::rename(&part, path).await.with_context(|| format!("writing {}", path.display()))?;
    let size = HumanBytes(done.bytes.unwrap_or_default().unsigned_abs());
    let place = text::clean(&path.display().to_string());
    let images = done.images.unwrap_or_default();
    text::print(&format!("{place}: {images} images, {size}, SHA-256 {}\n", done.sha256.unwrap_or_default()))?;
    Ok(())
}

/// Waits until it has ended.
async fn made(api: &Api, mut export: ExportOut) -> anyhow::Result<ExportOut> {
    let stage = Progress::stderr().images(0);
    loop {
        if matches!(export.state, ExportState::Succeeded | ExportState::Failed) {
            return Ok(export);
        }
        let count = |images: i32| usize::try_from(images).unwrap_or_default();
        stage.set(count(export.images_done), count(export.images.unwrap_or_default()), String::new());
        tokio::time::sleep(LOOK_EVERY).await;
        export = exports::look(api, export.id).await?;
    }
}

/// The export that was begun to be taken to this place before, if the server still has it.
async fn begun(api: &Api, wanted: &CreateExport, path: &Path) -> anyhow::Result<Option<(ExportOut, PathBuf)>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let read = |error| ClientFault::Usage(format!("cannot look into {}: {error}", folder.display()));
    let mut found = None;
    for entry in std::fs::read_dir(folder).map_err(read)?.flatten() {
        let Some(id) = id_of(&entry.file_name().to_string_lossy(), path) else { continue };
        let part = part_of(path, id);
        match exports::look(api, id).await {
            Ok(export) if is_wanted(&export, wanted) => found = Some((export, part)),
            Ok(_) => {}
            Err(error) if error.status() == Some(404) => text::say(&format!(
                "{} is of no export that this server knows: remove it, if it is not another server's or account's",
                text::clean(&part.display().to_string())
            )),
            Err(error) => return Err(error.into()),
        }
    }
    if found.is_some() {
        text::say("Going on with what was begun before.");
    }
    Ok(found)
}

fn is_wanted(export: &ExportOut, wanted: &CreateExport) -> bool {
    let same = (export.case, export.format, Some(&export.q)) == (wanted.case, wanted.format, wanted.q.as_ref());
    same && export.state != ExportState::Failed
}

/// Where an export lies while it is fetched.
fn part_of(path: &Path, id: Uuid) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!("{name}.{id}.part"))
}

fn id_of(name: &str, path: &Path) -> Option<Uuid> {
    let own = path.file_name()?.to_string_lossy().into_owned();
    name.strip_prefix(&own)?.strip_prefix('.')?.strip_suffix(".part")?.parse().ok()
}

/// Only its owner may read it.
async fn open(part: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let opened = options.open(part).await;
    opened.map_err(|error| ClientFault::Usage(format!("cannot write {}: {error}", part.display())).into())
}

/// A name for the file in this folder, of which only plain letters come from the case.
fn plain(case: &str, format: ExportFormat) -> PathBuf {
    let plain: String = case.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).take(NAME_CHARS_MAX).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let name = if words.is_empty() { "case".to_owned() } else { words.join("-") };
    PathBuf::from(format!("{name}.{}", format.extension()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cases_name_is_no_path() {
        for (case, name) in [
            ("Pier 4", "Pier-4.zip"),
            ("../../etc/passwd", "etc-passwd.zip"),
            ("-rf ~", "rf.zip"),
            ("\u{202e}...", "case.zip"),
            ("Zoë’s 日本", "Zoë-s-日本.zip"),
        ] {
            assert_eq!(plain(case, ExportFormat::Zip), Path::new(name), "{case}");
        }
        let id = Uuid::from_u128(7);
        let part = part_of(Path::new("out/a.zip"), id);
        assert_eq!(id_of(&part.file_name().unwrap().to_string_lossy(), Path::new("out/a.zip")), Some(id));
        assert_eq!(id_of("a.zip.part", Path::new("out/a.zip")), None);
    }
}
