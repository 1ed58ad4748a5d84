//! The workers' Python package as a wheel: made from the sources that this program carries, the same bytes every time.

use std::io::{Cursor, Write};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The package's version is the server's.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The sources by their paths, in order.
const SOURCES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
const LICENSE: &str = include_str!("../LICENSE");
const README: &str = include_str!("../sdk/python/README.md");
/// The same is said in sdk/python/pyproject.toml, for those who build it from there.
const ENTRY_POINTS: &str = "[console_scripts]\ndarkroom-worker = darkroom_worker.cli:main\n";

/// A wheel (PEP 427).
pub struct Wheel {
    pub file_name: String,
    pub bytes: Bytes,
    /// Of the bytes, in hex.
    pub sha256: String,
}

/// Makes the wheel: files in order, none compressed, all of 1980, so that only the sources decide about its bytes.
pub fn wheel() -> anyhow::Result<Wheel> {
    let about = |name: &str| format!("darkroom_worker-{VERSION}.dist-info/{name}");
    let metadata = format!(
        "Metadata-Version: 2.1\nName: darkroom-worker\nVersion: {VERSION}\n\
         Summary: Write predict(image), run one command: a microservice of Darkroom\n\
         License: MIT\nRequires-Python: >=3.9\nDescription-Content-Type: text/markdown\n\n{README}"
    );
    let tags = format!("Wheel-Version: 1.0\nGenerator: darkroom {VERSION}\nRoot-Is-Purelib: true\nTag: py3-none-any\n");
    let made = [
        (about("LICENSE"), LICENSE.as_bytes()),
        (about("METADATA"), metadata.as_bytes()),
        (about("WHEEL"), tags.as_bytes()),
        (about("entry_points.txt"), ENTRY_POINTS.as_bytes()),
    ];
    let sources = SOURCES.iter().map(|(path, bytes)| ((*path).to_owned(), *bytes));
    let mut record = String::new();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for (path, bytes) in sources.chain(made) {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(bytes));
        record.push_str(&format!("{path},sha256={hash},{}\n", bytes.len()));
        zip.start_file(path, options)?;
        zip.write_all(bytes)?;
    }
    let own = about("RECORD");
    record.push_str(&format!("{own},,\n"));
    zip.start_file(own, options)?;
    zip.write_all(record.as_bytes())?;
    let bytes = Bytes::from(zip.finish()?.into_inner());
    let sha256 = hex::encode(Sha256::digest(&bytes));
    Ok(Wheel { file_name: format!("darkroom_worker-{VERSION}-py3-none-any.whl"), bytes, sha256 })
}
