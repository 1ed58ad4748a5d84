//! `darkroom status`: what happened to images, by hash, by file or by submission.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use console::Style;
use md5::{Digest, Md5};
use uuid::Uuid;

use super::exit::Exit;
use super::session::Connection;
use super::table::{self, TableRow};
use crate::api::status::Statuses;
use crate::api::submissions::SubmissionOut;
use crate::client::error::ClientFault;
use crate::client::http::{Api, REQUEST_TIMEOUT};
use crate::client::outcome::{LookedUp, PhotoJob};
use crate::client::submit::look_up;
use crate::client::text;
use crate::domain::job::JobState;

/// Show what happened to images
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// MD5 hashes, files (hashed here, not sent), or ids of submissions
    #[arg(required = true, value_name = "HASH|FILE|SUBMISSION")]
    targets: Vec<String>,
    /// Print the server's answer, results included, as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// An image to ask after, and how the user called it.
struct AskedImage {
    md5: String,
    name: String,
    /// The models that its submission asked for; all, of an image that was named itself.
    models: Option<BTreeSet<String>>,
}

impl StatusArgs {
    /// Looks the images up and prints one row per model.
    ///
    /// # Errors
    /// A target that is neither hash, file nor submission; see also [`crate::client::error::ApiError`].
    pub async fn run(self) -> anyhow::Result<Exit> {
        let api = self.connection.api()?;
        let mut targets = Vec::new();
        for target in &self.targets {
            targets.extend(resolve(&api, target).await?);
        }
        let md5s: Vec<&str> = targets.iter().map(|target| target.md5.as_str()).collect();
        let statuses = Statuses { items: look_up(&api, &md5s).await? };
        let json =
            if self.json { Some(serde_json::to_string_pretty(&serde_json::to_value(&statuses)?)?) } else { None };
        let found = statuses.items.into_iter().map(LookedUp::try_from).collect::<Result<Vec<_>, _>>()?;
        let exit = exit(&targets, &found);
        let shown = json.map_or_else(|| rows(&targets, &found), |json| json + "\n");
        text::print(&shown)?;
        Ok(exit)
    }
}

async fn resolve(api: &Api, target: &str) -> anyhow::Result<Vec<AskedImage>> {
    if target.len() == 32 && target.bytes().all(|b| b.is_ascii_hexdigit()) {
        let md5 = target.to_ascii_lowercase();
        return Ok(vec![AskedImage { name: md5.clone(), md5, models: None }]);
    }
    if target.len() == 36 && Uuid::parse_str(target).is_ok() {
        return of_submission(api, target).await;
    }
    if Path::new(target).is_dir() {
        let told = format!("`{}` is a folder; name the files in it, a hash, or a submission's id", text::clean(target));
        return Err(ClientFault::Usage(told).into());
    }
    let path = target.to_owned();
    let hashed = tokio::task::spawn_blocking(move || md5_of(Path::new(&path))).await?;
    let md5 = hashed.map_err(|error| {
        let mend = "give 32 hex digits, a file, or a submission's id";
        ClientFault::Usage(format!("cannot read `{}`: {error}; {mend}", text::clean(target)))
    })?;
    Ok(vec![AskedImage { md5, name: target.to_owned(), models: None }])
}

/// The images of a submission, page after page, each under every name that it came with, and with the models asked for.
async fn of_submission(api: &Api, id: &str) -> anyhow::Result<Vec<AskedImage>> {
    let timeout = REQUEST_TIMEOUT + Duration::from_secs(10);
    let (mut targets, mut cursor) = (Vec::new(), None);
    loop {
        let query: Vec<(&str, String)> = cursor.map(|cursor| ("cursor", cursor)).into_iter().collect();
        let page: SubmissionOut = api.get(&["submissions", id], &query, timeout).await?;
        let models: BTreeSet<String> = page.models.into_keys().collect();
        for image in page.images {
            let named = image.names.into_iter().chain(image.name).collect::<BTreeSet<_>>();
            let names: Vec<String> =
                if named.is_empty() { vec![image.md5.clone()] } else { named.into_iter().collect() };
            let target = |name| AskedImage { md5: image.md5.clone(), name, models: Some(models.clone()) };
            targets.extend(names.into_iter().map(target));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(targets);
        }
    }
}

/// MD5 of a file's bytes in lower-case hex, read in pieces.
///
/// # Errors
/// The file cannot be read.
fn md5_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Md5::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&piece[..read]);
    }
}

fn rows(targets: &[AskedImage], found: &[LookedUp]) -> String {
    let mut rows = Vec::new();
    for target in targets {
        let Some(item) = target.found(found) else { continue };
        let jobs = target.jobs(found).unwrap_or_default();
        if jobs.is_empty() {
            let why = item.problem.as_ref().map_or_else(|| "no job yet".to_owned(), |p| p.detail.clone());
            let state = if item.problem.is_some() { "unknown" } else { "-" };
            rows.push(TableRow {
                file: text::middle_cut(&target.name, table::NAME_MAX),
                model: "-".to_owned(),
                state: (state.to_owned(), Style::new().yellow()),
                summary: text::one_line(&why, 120),
            });
        }
        rows.extend(jobs.iter().map(|job| TableRow::of_job(&target.name, job)));
    }
    table::of_rows(&rows)
}

/// Success also while jobs are still under way: nothing has failed yet.
fn exit(targets: &[AskedImage], found: &[LookedUp]) -> Exit {
    let bad = |job: &PhotoJob| matches!(job.job.state, JobState::Failed | JobState::Cancelled);
    let failed = targets.iter().any(|target| target.jobs(found).is_none_or(|jobs| jobs.iter().any(bad)));
    if failed { Exit::SomeFailed } else { Exit::Success }
}

impl AskedImage {
    fn found<'f>(&self, found: &'f [LookedUp]) -> Option<&'f LookedUp> {
        found.iter().find(|item| item.md5.eq_ignore_ascii_case(&self.md5))
    }

    /// The jobs that are asked after; nothing of an image that is unknown.
    fn jobs(&self, found: &[LookedUp]) -> Option<Vec<PhotoJob>> {
        let item = self.found(found).filter(|item| item.problem.is_none())?;
        let mut jobs = item.jobs();
        jobs.retain(|job| self.models.as_ref().is_none_or(|models| models.contains(&job.model)));
        Some(jobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_hashed_as_the_server_does() {
        let path = std::env::temp_dir().join(format!("darkroom-{}", Uuid::new_v4()));
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(md5_of(&path).unwrap(), "900150983cd24fb0d6963f7d28e17f72");
        std::fs::remove_file(path).unwrap();
    }
}
