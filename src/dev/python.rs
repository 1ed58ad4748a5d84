//! Python, only ever inside an environment of our own.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::folder::{FOLDER, own_folder};
use super::install::{install, on_path};
use super::process::output;

/// Makes the environment if it is not there, with pip, and returns its `python`.
pub fn environment() -> anyhow::Result<PathBuf> {
    let _alone = alone()?;
    made()
}

/// Waits until nobody else makes or fills the environment, in this process or another; pip bounds how long that takes.
fn alone() -> anyhow::Result<File> {
    own_folder(Path::new(FOLDER), None)?;
    let lock = File::create(Path::new(FOLDER).join("python.lock"))?;
    lock.lock()?;
    Ok(lock)
}

fn made() -> anyhow::Result<PathBuf> {
    let folder = Path::new(FOLDER).join("venv");
    let python = std::env::current_dir()?.join(&folder).join("bin/python");
    if works(&python) {
        return Ok(python);
    }
    if on_path("python3").is_none() {
        install("python3 python3-venv", &anyhow::anyhow!("there is no python3"))?;
    }
    eprintln!("making a Python environment in {}", folder.display());
    let folder = folder.to_string_lossy().into_owned();
    if let Err(error) = output("python3", &["-m", "venv", "--clear", &folder]) {
        // Debian ships python3 without venv and pip.
        install("python3-venv", &error)?;
        output("python3", &["-m", "venv", "--clear", &folder])?;
    }
    if works(&python) { Ok(python) } else { bail!("the Python environment in {folder} does not work") }
}

fn works(python: &Path) -> bool {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    pip.status().is_ok_and(|status| status.success())
}

/// What pip is always told: nothing runs that was not looked at, so only wheels, and only those whose hash is listed.
const PINNED: [&str; 4] = ["install", "--quiet", "--require-hashes", "--only-binary=:all:"];

/// Unpacks a package that needs no other into a folder; `requirements` is its line of a requirements file.
pub fn install_into(folder: &Path, requirements: &str) -> anyhow::Result<()> {
    let _alone = alone()?;
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(requirements.as_bytes())?;
    let (folder, file) = (folder.to_string_lossy(), file.path().to_string_lossy());
    pip(&["--no-deps", "--target", &folder, "-r", &file])
}

/// Installs what a requirements file lists, unless exactly that was installed before.
pub fn install_requirements(file: &Path) -> anyhow::Result<()> {
    let wanted = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let stamp = Path::new(FOLDER).join("venv").join(format!("installed-{name}.txt"));
    let _alone = alone()?;
    made()?;
    if std::fs::read_to_string(&stamp).is_ok_and(|before| before == wanted) {
        return Ok(());
    }
    eprintln!("installing what {name} needs (once)");
    pip(&["-r", &file.to_string_lossy()])?;
    std::fs::write(stamp, wanted)?;
    Ok(())
}

/// Installs what the arguments name.
fn pip(args: &[&str]) -> anyhow::Result<()> {
    let python = made()?;
    let mut all = vec!["-m", "pip", "--disable-pip-version-check"];
    all.extend(PINNED);
    all.extend(args);
    output(&python.to_string_lossy(), &all).map(drop)
}
