//! Folders and files of our own. One that somebody else made, or may write into, is refused: what lies there may be theirs.

use std::fs::{DirBuilder, Metadata, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::process::{is_root, output, user_id};

/// The folder that a checkout's private things lie in: reports, the Python environment, fetched programs.
pub const FOLDER: &str = ".darkroom";
/// What others than the owner and his group may not be allowed.
const WRITABLE_BY_ALL: u32 = 0o002;

/// Where servers keep their data: in the system's folder for what may go, or, for root, where PostgreSQL's user can reach it.
pub fn data_folder() -> anyhow::Result<PathBuf> {
    let folder = data_path()?;
    reachable_folder(&folder)?;
    Ok(folder)
}

/// The path of [`data_folder`], which may not exist yet.
pub(super) fn data_path() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("there is no current folder")?;
    let mut hasher = DefaultHasher::new();
    here.hash(&mut hasher);
    let name = format!("darkroom-{:016x}", hasher.finish());
    let base = if is_root() { PathBuf::from("/var/tmp") } else { std::env::temp_dir() };
    Ok(base.join(name))
}

/// As [`own_folder`]; for root, PostgreSQL's user may pass through it as well.
pub fn reachable_folder(path: &Path) -> anyhow::Result<()> {
    own_folder(path, None)?;
    if let Some(user) = postgres_user()? {
        output("chgrp", &[&user, &path.to_string_lossy()])?;
        std::fs::set_permissions(path, Permissions::from_mode(0o710))?;
    }
    Ok(())
}

/// Makes a folder that only its owner may enter: us, or the user `owner`, whom only root can name.
///
/// # Errors
/// It is there and somebody else's, or anybody may write into it, or it is no folder.
pub fn own_folder(path: &Path, owner: Option<u32>) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {}", path.display()));
        }
        _ => {}
    }
    let found = judge(path, owner)?;
    // First closed, then given away: without root's every right nobody changes what is another's.
    if found.mode() & 0o777 != 0o700 && found.uid() == user_id() {
        std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    give(path, owner)
}

/// Refuses what is not a folder of ours or of `owner`'s; the link itself is looked at, not what it leads to.
fn judge(path: &Path, owner: Option<u32>) -> anyhow::Result<Metadata> {
    let found = std::fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let shown = path.display();
    if !found.is_dir() {
        bail!("{shown} is no folder: remove it, and start again");
    }
    if found.uid() != user_id() && Some(found.uid()) != owner {
        bail!(
            "{shown} is another user's (id {}): what lies there is not trusted; remove it, and start again",
            found.uid()
        );
    }
    if found.mode() & WRITABLE_BY_ALL != 0 {
        bail!("anybody may write into {shown}: what lies there is not trusted; remove it, and start again");
    }
    Ok(found)
}

/// Whether this is a folder whose content is ours.
pub(super) fn is_own(path: &Path) -> bool {
    judge(path, None).is_ok()
}

/// Makes a folder that only its owner may enter, below one of ours.
pub fn private_folder(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    Ok(())
}

/// Writes a file that only its owner may read, in place of any that is there: us, or the user `owner`.
pub fn private_file(path: &Path, text: &str, owner: Option<u32>) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let _ = std::fs::remove_file(path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        give(path, owner)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn give(path: &Path, owner: Option<u32>) -> anyhow::Result<()> {
    match owner {
        Some(owner) if std::fs::symlink_metadata(path)?.uid() != owner => {
            std::os::unix::fs::chown(path, Some(owner), None)
                .with_context(|| format!("cannot give {} to the user {owner}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The user that runs PostgreSQL when we are root, whom it refuses; made if there is none.
pub(super) fn postgres_user() -> anyhow::Result<Option<String>> {
    if !is_root() {
        return Ok(None);
    }
    if output("id", &["-u", "postgres"]).is_err() {
        output(
            "useradd",
            &["--system", "--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin", "postgres"],
        )
        .context("PostgreSQL does not run as root, and no user postgres could be made")?;
    }
    Ok(Some("postgres".to_owned()))
}
