//! The manifest of a folder that was taken away: every file with its size and hashes, and the names that photographs came under, which are
//! names and never paths.

use serde::{Deserialize, Serialize};

use super::pieces::ExportAbout;

/// Where it lies in the folder.
pub const MANIFEST: &str = "manifest.json";

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// With `/` between folders.
    pub path: String,
    pub bytes: u64,
    /// In hexadecimal digits, as the SHA-256 is.
    pub md5: String,
    pub sha256: String,
    /// The names under which a photograph came, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Whether there are older names, which are too many to be told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub older_names_left_out: bool,
}

/// An image whose bytes could not be taken along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub md5: String,
    pub why: String,
}

/// How many results a version of a model gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelTold {
    pub model: String,
    pub version: String,
    pub results: u64,
}

/// What is read of a manifest to compare a folder with it.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    pub files: Vec<ManifestFile>,
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
}

/// How a manifest begins; its files follow, with commas between them.
///
/// # Errors
/// None that is known.
pub fn head(about: &ExportAbout) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(about)?;
    let program = concat!("darkroom ", env!("CARGO_PKG_VERSION"));
    Ok(format!("{{\n\"made_by\": \"{program}\",\n\"about\": {text},\n\"files\": [\n"))
}

/// How it ends.
///
/// # Errors
/// None that is known.
pub fn foot(images: u64, models: &[ModelTold], left_out: &[LeftOut]) -> serde_json::Result<String> {
    let (models, left_out) = (serde_json::to_string_pretty(models)?, serde_json::to_string_pretty(left_out)?);
    Ok(format!("\n],\n\"images\": {images},\n\"models\": {models},\n\"left_out\": {left_out}\n}}\n"))
}
