//! Python, only ever inside an environment of our own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::install::{install, on_path};
use super::process::output;

/// Makes the environment if it is not there, with pip, and returns its `python`.
pub fn environment() -> anyhow::Result<PathBuf> {
    let folder = Path::new(super::FOLDER).join("venv");
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

/// Unpacks a package that needs no other into a folder.
pub fn install_into(folder: &Path, package: &str) -> anyhow::Result<()> {
    let folder = folder.to_string_lossy().into_owned();
    pip(&["install", "--quiet", "--no-deps", "--target", &folder, package])
}

/// Installs what a requirements file lists, unless exactly that was installed before.
pub fn install_requirements(file: &Path) -> anyhow::Result<()> {
    let wanted = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let stamp = Path::new(super::FOLDER).join("venv").join(format!("installed-{name}.txt"));
    environment()?;
    if std::fs::read_to_string(&stamp).is_ok_and(|before| before == wanted) {
        return Ok(());
    }
    eprintln!("installing what {name} needs (once)");
    pip(&["install", "--quiet", "-r", &file.to_string_lossy()])?;
    std::fs::write(stamp, wanted)?;
    Ok(())
}

fn pip(args: &[&str]) -> anyhow::Result<()> {
    let python = environment()?;
    let mut all = vec!["-m", "pip", "--disable-pip-version-check"];
    all.extend(args);
    output(&python.to_string_lossy(), &all).map(drop)
}
