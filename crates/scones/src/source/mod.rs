//! Where images come from: an archive, an image list, a folder, a download, or
//! the program's own pencil.

mod download;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use scones_vision::{
    dataset::{
        Dataset,
        check::{self, Severity},
        cifar, folder, list, synthetic,
    },
    evaluation,
};

use crate::{failure::WithHint as _, terminal};

/// How many images are drawn: as many as the official archive has of the two
/// classes.
const DRAWN_TRAIN: usize = 1000;
const DRAWN_TEST: usize = 200;

/// A dataset without a test part gives this share of its images to it.
const TEST_FOLDS: usize = 5;

/// The seed of drawings and splits, so that two runs see the same images.
const SEED: u64 = 1;

/// Images to train on and images to test with.
pub(crate) struct Source {
    /// In words: what it is and where it came from.
    pub(crate) description: String,
    pub(crate) train: Dataset,
    pub(crate) test: Dataset,
    /// What looks wrong but does not keep from training.
    pub(crate) warnings: Vec<String>,
}

/// A plain PNG file name for a sample, as image lists need it.
pub(crate) fn file_name(name: &str) -> String {
    Path::new(name)
        .with_extension("png")
        .to_string_lossy()
        .replace(['/', '\\'], "_")
}

/// Refuses what names nothing, before anything is begun with it.
pub(crate) fn check_name(name: Option<&str>) -> anyhow::Result<()> {
    match name {
        Some("synthetic" | "cifar100") | None => Ok(()),
        Some(path) if Path::new(path).exists() => Ok(()),
        Some(path) => bail!(
            "{path} does not exist; `cifar100`, `synthetic`, an archive, an image list (.lst) or a folder can be named"
        ),
    }
}

/// Reads what `name` names: `cifar100`, `synthetic` or a path; without a name
/// the official images if they can be had, else drawn ones. Downloads are kept
/// in `cache`. The classes are those to take from an archive that has more.
pub(crate) fn load(name: Option<&str>, cache: &Path, classes: &[String]) -> anyhow::Result<Source> {
    check_name(name)?;
    let (description, train, test) = match name {
        Some("synthetic") => drawn(),
        Some("cifar100") => {
            let archive = archive(cache).hint("`synthetic` needs no download")?;
            official(&archive, classes)?
        }
        Some(path) => read(Path::new(path), classes)?,
        None => match archive(cache) {
            Ok(archive) => official(&archive, classes)?,
            Err(error) => {
                terminal::say(format_args!(
                    "The CIFAR-100 images are not at hand: {error:#}.\n\
                     Going on with bicycles and motorcycles that Scones draws itself. With the archive at hand:\n  \
                     scones demo --dataset path/to/cifar-100-python.tar.gz"
                ));
                drawn()
            }
        },
    };
    let warnings = checked(&train, &test)?;
    Ok(Source {
        description,
        train,
        test,
        warnings,
    })
}

type Parts = (String, Dataset, Dataset);

fn drawn() -> Parts {
    let train = synthetic::draw(DRAWN_TRAIN, SEED);
    let test = synthetic::draw(DRAWN_TEST, SEED + 1);
    ("bicycles and motorcycles drawn by Scones".to_owned(), train, test)
}

/// The official archive, downloaded if it is not in the cache.
fn archive(cache: &Path) -> anyhow::Result<PathBuf> {
    match download::cached(cache)? {
        Some(path) => Ok(path),
        None => download::fetch(cache),
    }
}

fn official(archive: &Path, classes: &[String]) -> anyhow::Result<Parts> {
    let splits = cifar::read_path(archive, classes)?;
    Ok(("CIFAR-100, the official archive".to_owned(), splits.train, splits.test))
}

fn read(path: &Path, classes: &[String]) -> anyhow::Result<Parts> {
    let description = path.display().to_string();
    if path.is_file() && path.extension().is_some_and(|extension| extension == "lst") {
        let (train, test) = split(image_list(path)?)?;
        return Ok((description, train, test));
    }
    if path.is_dir() && path.join("train.lst").is_file() {
        let train = image_list(&path.join("train.lst"))?;
        let test = ["test.lst", "validation.lst"]
            .map(|name| path.join(name))
            .into_iter()
            .find(|path| path.is_file());
        let (train, test) = match test {
            Some(test) => (train, image_list(&test)?),
            None => split(train)?,
        };
        return Ok((description, train, test));
    }
    if path.is_file() || is_cifar_folder(path) {
        let splits = cifar::read_path(path, classes)?;
        return Ok((description, splits.train, splits.test));
    }
    let (train, test) = (path.join("train"), path.join("test"));
    let (train, test) = if train.is_dir() && test.is_dir() {
        (folder::read(&train)?, folder::read(&test)?)
    } else {
        split(folder::read(path)?)?
    };
    Ok((description, train, test))
}

/// Rows of `DIR/train.lst` are relative to `DIR/train` if that folder is there,
/// as SageMaker's channels have it, and to `DIR` otherwise.
fn image_list(path: &Path) -> anyhow::Result<Dataset> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let channel = path.with_extension("");
    Ok(list::read(
        path,
        if channel.is_dir() { &channel } else { parent },
        None,
    )?)
}

fn is_cifar_folder(path: &Path) -> bool {
    [
        "meta",
        "batches.meta",
        "train.bin",
        "data_batch_1.bin",
        "cifar-100-python",
        "cifar-100-binary",
    ]
    .iter()
    .any(|name| path.join(name).exists())
}

/// A fifth of every class becomes the test part.
fn split(whole: Dataset) -> anyhow::Result<(Dataset, Dataset)> {
    let few = whole
        .class_counts()
        .into_iter()
        .zip(&whole.classes)
        .find(|(count, _)| (1..TEST_FOLDS).contains(count));
    if let Some((count, class)) = few {
        bail!(
            "the class {class} has too few images ({count}): {TEST_FOLDS} are needed, so that some can be held back for testing"
        );
    }
    let labels: Vec<usize> = whole.samples.iter().map(|sample| sample.label).collect();
    let folds = evaluation::stratified_folds(&labels, TEST_FOLDS, SEED);
    let (test, train) = (&folds[0], folds[1..].concat());
    Ok((whole.subset(&train), whole.subset(test)))
}

/// Errors end the command; warnings go on with it.
fn checked(train: &Dataset, test: &Dataset) -> anyhow::Result<Vec<String>> {
    let findings = check::check(train, Some(test), None);
    let named = |severity: Severity| {
        findings
            .iter()
            .filter(move |finding| finding.severity == severity)
            .map(|finding| finding.message.clone())
    };
    let errors: Vec<String> = named(Severity::Error).collect();
    if !errors.is_empty() {
        return Err(anyhow::anyhow!(errors.join("\n"))).context("the images cannot be trained on");
    }
    Ok(named(Severity::Warning).collect())
}
