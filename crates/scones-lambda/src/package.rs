//! Deployment packages: zip archives that strangers made.
//!
//! A package is looked through before anything is stored and unpacked into a
//! fresh folder before anything runs. Neither trusts what the archive says of
//! itself: paths stay inside the folder, links point inside it, and what
//! unpacks is counted while it unpacks.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Cursor, Read, Write},
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use zip::{ZipArchive, read::ZipFile, result::ZipError};

use crate::limits::{PACKAGE_ENTRIES_MAX, UNZIPPED_BYTES_MAX};

/// The longest destination of a link, in bytes.
const LINK_BYTES_MAX: u64 = 4096;

/// Why a package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Nothing was uploaded, or an archive without files.
    #[error("the package is empty")]
    Empty,
    /// Not a zip archive, or a damaged one.
    #[error("the package is not a readable zip archive")]
    Unreadable(#[from] ZipError),
    /// More than [`UNZIPPED_BYTES_MAX`] when unpacked.
    #[error("the package unpacks to more than {UNZIPPED_BYTES_MAX} bytes")]
    TooLarge,
    /// More than [`PACKAGE_ENTRIES_MAX`] files.
    #[error("the package holds more than {PACKAGE_ENTRIES_MAX} files")]
    TooMany,
    /// A file that would be written, or a link that may lead, outside the
    /// function's folder.
    #[error("`{0}` in the package points outside it")]
    Outside(String),
    /// A folder that is a file or a link, too.
    #[error("`{0}` in the package is both a folder and a file or link")]
    Ambiguous(String),
    /// The disk refused.
    #[error("the package cannot be unpacked")]
    Io(#[from] io::Error),
}

/// Looks through a package without unpacking it to disk: every file is read
/// once, so that a damaged or lying archive is refused when it is uploaded
/// and not when it first runs. Costs one decompression; call it where blocking
/// is allowed.
///
/// # Errors
/// [`PackageError`].
pub fn inspect(package: &Bytes) -> Result<(), PackageError> {
    visit(package, |_, entry| match entry {
        Entry::File { reader, left, .. } => copy_counted(reader, &mut io::sink(), left),
        Entry::Folder | Entry::Link(_) => Ok(0),
    })
}

/// Unpacks a package into `folder`, which exists and is empty. Files become
/// readable by all and writable by none; those marked executable stay so. On
/// an error the folder holds part of the package. Call it where blocking is
/// allowed.
///
/// # Errors
/// [`PackageError`].
pub fn unpack(package: &Bytes, folder: &Path) -> Result<(), PackageError> {
    visit(package, |path, entry| {
        let target = folder.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        match entry {
            Entry::Folder => {
                fs::create_dir_all(&target)?;
                Ok(0)
            }
            Entry::Link(destination) => {
                remove_file(&target)?;
                link(destination, &target)?;
                Ok(0)
            }
            Entry::File {
                reader,
                left,
                executable,
            } => {
                // A second entry of the same name replaces the first, as unzip does;
                // it never writes through a link.
                remove_file(&target)?;
                let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&target)?;
                let written = copy_counted(reader, &mut file, left)?;
                set_mode(&file, executable)?;
                Ok(written)
            }
        }
    })
}

/// What an archive holds at a path.
enum Entry<'a> {
    Folder,
    File {
        reader: &'a mut dyn Read,
        /// The bytes that it may still unpack to.
        left: u64,
        executable: bool,
    },
    Link(&'a Path),
}

/// Calls `handle` with each entry, in order; it gives the bytes that the entry
/// unpacked to.
fn visit(
    package: &Bytes,
    mut handle: impl FnMut(&Path, Entry<'_>) -> Result<u64, PackageError>,
) -> Result<(), PackageError> {
    if package.is_empty() {
        return Err(PackageError::Empty);
    }
    let mut archive = ZipArchive::new(Cursor::new(package))?;
    if archive.is_empty() {
        return Err(PackageError::Empty);
    }
    if archive.len() > PACKAGE_ENTRIES_MAX {
        return Err(PackageError::TooMany);
    }
    check_tree(&mut archive)?;
    let mut left = UNZIPPED_BYTES_MAX;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index)?;
        let path = inside(&file)?;
        left -= if file.is_dir() {
            handle(&path, Entry::Folder)?
        } else if file.is_symlink() {
            let destination = link_destination(&mut file)?;
            if !stays_inside(&path, &destination) {
                return Err(PackageError::Outside(path.display().to_string()));
            }
            handle(&path, Entry::Link(&destination))?
        } else {
            let executable = file.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
            let reader: &mut dyn Read = &mut file;
            handle(
                &path,
                Entry::File {
                    reader,
                    left,
                    executable,
                },
            )?
        };
    }
    Ok(())
}

/// Checks that the entries make one tree, whatever their order: what others
/// lie in is a folder and never a link, through which they would be unpacked
/// elsewhere.
fn check_tree(archive: &mut ZipArchive<Cursor<&Bytes>>) -> Result<(), PackageError> {
    let mut is_folder = BTreeMap::from([(PathBuf::new(), true)]);
    for index in 0..archive.len() {
        let file = archive.by_index(index)?;
        let path = inside(&file)?;
        if *is_folder.entry(path.clone()).or_insert(file.is_dir()) != file.is_dir() {
            return Err(ambiguous(&path));
        }
    }
    // In this order what lies in a folder comes right after it.
    let next = is_folder.keys().skip(1);
    match is_folder
        .iter()
        .zip(next)
        .find(|((path, is_folder), next)| !**is_folder && next.starts_with(path))
    {
        Some(((path, _), _)) => Err(ambiguous(path)),
        None => Ok(()),
    }
}

fn ambiguous(path: &Path) -> PackageError {
    PackageError::Ambiguous(path.display().to_string())
}

/// Where an entry lies in the package.
fn inside<R: Read>(file: &ZipFile<'_, R>) -> Result<PathBuf, PackageError> {
    let outside = || PackageError::Outside(String::from_utf8_lossy(file.name_raw()).into_owned());
    file.enclosed_name().ok_or_else(outside)
}

fn link_destination<R: Read>(file: &mut ZipFile<'_, R>) -> Result<PathBuf, PackageError> {
    let mut text = String::new();
    file.take(LINK_BYTES_MAX).read_to_string(&mut text)?;
    Ok(PathBuf::from(text))
}

/// Whether a link at `path` leads to a place inside the package, whatever other
/// links are on the way: it may go up through the folders that it lies in, and
/// down from there. Going up after down is refused, because where a name on
/// the way down is a link, up is not back.
fn stays_inside(path: &Path, destination: &Path) -> bool {
    let folders = path.components().count().saturating_sub(1);
    let steps: Vec<Component<'_>> = destination
        .components()
        .filter(|step| *step != Component::CurDir)
        .collect();
    let up = steps.iter().take_while(|step| **step == Component::ParentDir).count();
    up <= folders && steps[up..].iter().all(|step| matches!(step, Component::Normal(_)))
}

/// Removes a file or a link that is in the way.
fn remove_file(target: &Path) -> io::Result<()> {
    match target.symlink_metadata() {
        Ok(found) if !found.is_dir() => fs::remove_file(target),
        _ => Ok(()),
    }
}

fn copy_counted(reader: &mut dyn Read, writer: &mut dyn Write, limit: u64) -> Result<u64, PackageError> {
    let copied = io::copy(&mut reader.take(limit + 1), writer)?;
    if copied > limit {
        return Err(PackageError::TooLarge);
    }
    Ok(copied)
}

#[cfg(unix)]
fn set_mode(file: &fs::File, executable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(if executable { 0o555 } else { 0o444 }))
}

#[cfg(not(unix))]
fn set_mode(_: &fs::File, _: bool) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn link(destination: &Path, target: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(destination, target)
}

#[cfg(not(unix))]
fn link(_: &Path, target: &Path) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!("links such as {} cannot be unpacked on this system", target.display()),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn archive(build: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Bytes {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        build(&mut writer);
        writer.finish().unwrap().into_inner().into()
    }

    fn options() -> SimpleFileOptions {
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)
    }

    fn file(name: &str, body: &[u8]) -> Bytes {
        archive(|zip| {
            zip.start_file(name, options()).unwrap();
            zip.write_all(body).unwrap();
        })
    }

    /// Unpacks into a folder of a folder and tells the error or the files.
    fn check(package: &Bytes, expect: &str) {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("task");
        fs::create_dir(&inner).unwrap();
        let seen = match unpack(package, &inner) {
            Err(error) => error.to_string(),
            Ok(()) => {
                let mut names: Vec<_> = fs::read_dir(&inner)
                    .unwrap()
                    .map(|it| it.unwrap().file_name())
                    .collect();
                names.sort();
                names
                    .into_iter()
                    .map(|name| name.into_string().unwrap())
                    .collect::<Vec<_>>()
                    .join(" ")
            }
        };
        assert_eq!(seen, expect);
        assert_eq!(
            fs::read_dir(outer.path()).unwrap().count(),
            1,
            "nothing is written beside the folder"
        );
    }

    #[test]
    fn files_are_unpacked_inside_the_folder_or_not_at_all() {
        check(&file("a.py", b"x"), "a.py");
        check(&file("dir/b.py", b"x"), "dir");
        check(
            &file("../evil.py", b"x"),
            "`../evil.py` in the package points outside it",
        );
        check(
            &file("a/../../evil.py", b"x"),
            "`a/../../evil.py` in the package points outside it",
        );
        check(&Bytes::new(), "the package is empty");
        check(&archive(|_| {}), "the package is empty");
        check(
            &Bytes::from_static(b"not a zip"),
            "the package is not a readable zip archive",
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_inside_only() {
        let with_link = |at: &str, to: &str| archive(|zip| zip.add_symlink(at, to, options()).unwrap());
        check(&with_link("lib.so", "lib.so.1"), "lib.so");
        check(
            &with_link("evil", "/etc/passwd"),
            "`evil` in the package points outside it",
        );
        check(&with_link("evil", "../x"), "`evil` in the package points outside it");
        check(
            &with_link("a/evil", "../../x"),
            "`a/evil` in the package points outside it",
        );
        check(&with_link("a/good", "../b"), "a");
        check(&with_link("a/b/good", "./../../c/d"), "a");
        check(&with_link("evil", "./.."), "`evil` in the package points outside it");
        // Each of these stays inside by its letters, and leads outside by the other.
        for (at, to) in [("evil", "a/up/.."), ("evil", "a/up/../x"), ("b/evil", "../a/up/..")] {
            let package = archive(|zip| {
                zip.add_symlink("a/up", "..", options()).unwrap();
                zip.add_symlink(at, to, options()).unwrap();
            });
            check(&package, &format!("`{at}` in the package points outside it"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_unpacked_through_a_link_or_a_file() {
        let ambiguous = "`door` in the package is both a folder and a file or link";
        let orders = [
            ["door", "door/evil.py"],
            ["door/evil.py", "door"],
            ["door", "door/a/b/evil.py"],
        ];
        for (to, names) in orders.into_iter().flat_map(|names| [(".", names), ("a", names)]) {
            let package = archive(|zip| {
                for name in names {
                    match name {
                        "door" => zip.add_symlink("door", to, options()).unwrap(),
                        _ => zip.start_file(name, options()).unwrap(),
                    }
                }
            });
            check(&package, ambiguous);
            assert_eq!(inspect(&package).unwrap_err().to_string(), ambiguous);
        }
        check(
            &archive(|zip| {
                zip.start_file("door", options()).unwrap();
                zip.start_file("door/x", options()).unwrap();
            }),
            ambiguous,
        );
        check(
            &archive(|zip| {
                zip.add_directory("door", options()).unwrap();
                zip.start_file("door-bell", options()).unwrap();
                zip.start_file("door/x", options()).unwrap();
            }),
            "door door-bell",
        );
        check(
            &file("a/..", b"x"),
            "`` in the package is both a folder and a file or link",
        );
    }

    #[test]
    fn a_bomb_is_refused_while_it_unpacks() {
        let bomb = archive(|zip| {
            let block = vec![0; 1 << 20];
            for name in ["a", "b"] {
                zip.start_file(name, options()).unwrap();
                for _ in 0..130 {
                    zip.write_all(&block).unwrap();
                }
            }
        });
        assert!(bomb.len() < 1 << 20);
        assert!(matches!(inspect(&bomb), Err(PackageError::TooLarge)));
    }

    #[cfg(unix)]
    #[test]
    fn executables_stay_executable_and_nothing_is_writable() {
        use std::os::unix::fs::PermissionsExt as _;
        let package = archive(|zip| {
            zip.start_file("bootstrap", options().unix_permissions(0o755)).unwrap();
            zip.start_file("data", options().unix_permissions(0o666)).unwrap();
        });
        let folder = tempfile::tempdir().unwrap();
        unpack(&package, folder.path()).unwrap();
        let mode = |name| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("bootstrap"), mode("data")), (0o555, 0o444));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_damaged_archive_is_an_error_not_a_panic(position in any::<prop::sample::Index>(), byte in any::<u8>(), keep in any::<prop::sample::Index>()) {
            let mut bytes = file("lambda_function.py", b"def handler(event, context): return event").to_vec();
            let at = position.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(keep.index(bytes.len()) + 1);
            let folder = tempfile::tempdir().unwrap();
            let bytes = Bytes::from(bytes);
            prop_assert_eq!(inspect(&bytes).is_ok(), unpack(&bytes, folder.path()).is_ok());
        }
    }
}
