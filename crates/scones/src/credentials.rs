//! The access key of a data directory, in the format of AWS's shared
//! credentials file, so that `AWS_SHARED_CREDENTIALS_FILE` can point at it.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use scones_iam::Credentials;

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// The file of a data directory.
pub(crate) fn path(directory: &Path) -> PathBuf {
    directory.join("credentials")
}

/// The key of a data directory; made at its first use.
pub(crate) fn load_or_create(directory: &Path) -> anyhow::Result<AccessKey> {
    let path = path(directory);
    loop {
        if let Some(key) = load(directory)? {
            return Ok(key);
        }
        create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    }
}

/// The key of a data directory, if it has one.
pub(crate) fn load(directory: &Path) -> anyhow::Result<Option<AccessKey>> {
    let path = path(directory);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(
            parse(&text).with_context(|| format!("{} is damaged", path.display()))?,
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a new key beside the path and links it there, so that a reader finds
/// a whole file or none, and of two writers one wins.
fn create(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let key = Credentials::generate()?;
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    write!(
        file,
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        key.access_key_id,
        key.secret_access_key.expose()
    )?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

fn parse(text: &str) -> anyhow::Result<AccessKey> {
    let field = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find_map(|(found, value)| (found.trim() == name).then(|| value.trim().to_owned()))
    };
    match (field("aws_access_key_id"), field("aws_secret_access_key")) {
        (Some(id), Some(secret)) if !id.is_empty() && !secret.is_empty() => Ok(AccessKey { id, secret }),
        _ => bail!("it lacks aws_access_key_id or aws_secret_access_key; remove the file to have new keys made"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let directory = tempfile::tempdir().unwrap();
        assert!(load(directory.path()).unwrap().is_none());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "it only reads");
        let first = load_or_create(directory.path()).unwrap();
        assert!(first == load_or_create(directory.path()).unwrap());
        assert_eq!((first.id.len(), first.secret.len()), (20, 40));
        let mode = fs::metadata(path(directory.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(path(directory.path()), "[default]\n").unwrap();
        let error = format!("{:#}", load_or_create(directory.path()).err().unwrap());
        assert!(error.contains("credentials is damaged: it lacks"), "{error}");
    }
}
