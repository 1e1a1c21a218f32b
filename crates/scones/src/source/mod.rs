//! Where images come from: an archive, an image list, a folder, a download, or
//! the program's own pencil.

mod download;

pub(crate) use self::download::archive_in;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use scones_vision::{
    dataset::{
        ClassSet, Dataset, Error, Label, LabelKind,
        check::{self, Finding, Problem, Severity},
        cifar, folder, list, synthetic,
    },
    evaluation,
};

use crate::{config::DataArgs, failure::WithHint as _, terminal};

/// How many images are drawn: as many as the official archive has of the two
/// classes.
const DRAWN_TRAIN: usize = 1000;
const DRAWN_TEST: usize = 200;

/// A dataset without a test part gives this share of its images to it.
const TEST_FOLDS: usize = 5;

/// The seed of drawings and splits, so that two runs see the same images.
const SEED: u64 = 1;

/// The classes of the story, taken from archives unless others are asked for.
pub(crate) const CLASSES: [&str; 2] = ["bicycle", "motorcycle"];

/// The names of sources that are no paths.
const SYNTHETIC: &str = "synthetic";
const CIFAR_100: &str = "cifar100";

/// Which images a command works on.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceArgs {
    /// `cifar100`, `synthetic`, or the path of an archive, an image list or a folder
    pub(crate) source: String,
    /// The classes to take from an archive, in the order of their labels [default: bicycle,motorcycle]
    #[arg(long, value_delimiter = ',', value_name = "CLASS,CLASS")]
    pub(crate) classes: Option<Vec<String>>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

impl SourceArgs {
    /// Reads them; downloads are kept in the data directory. An image list with a column for each
    /// class has several classes an image.
    pub(crate) fn load(&self) -> anyhow::Result<Labelled> {
        let path = Path::new(&self.source);
        if let Some((train, test)) = lists(path)
            && list::kind(&train)? == LabelKind::Multi
        {
            if self.classes.is_some() {
                bail!(
                    "{}: --classes takes some of an archive's; leave it out here",
                    self.source
                );
            }
            let parts = read_lists(&train, test.as_deref())?;
            return Ok(Labelled::Multi(source(&self.source, self.source.clone(), parts)?));
        }
        Ok(Labelled::Single(self.load_single()?))
    }

    fn load_single(&self) -> anyhow::Result<Source> {
        let wanted = self.classes.clone();
        let classes = wanted.unwrap_or_else(|| CLASSES.map(str::to_owned).to_vec());
        let source = load(Some(&self.source), &self.data.downloads()?, &classes)?;
        let found = &source.train.classes;
        if self.classes.as_ref().is_some_and(|wanted| wanted != found) {
            bail!(
                "{} has the classes {}, not {}: --classes takes some of an archive's; leave it out here",
                self.source,
                found.join(", "),
                classes.join(", ")
            );
        }
        Ok(source)
    }
}

/// Images of one class each, or of any number of classes.
pub(crate) enum Labelled {
    Single(Source),
    Multi(Source<ClassSet>),
}

/// Images to train on and images to test with.
pub(crate) struct Source<L = usize> {
    /// In words: what it is and where it came from.
    pub(crate) description: String,
    /// What `scones data import` takes for the same images, quoted for a shell.
    pub(crate) argument: String,
    pub(crate) train: Dataset<L>,
    pub(crate) test: Dataset<L>,
    /// What looks wrong but does not keep from training.
    pub(crate) warnings: Vec<String>,
}

/// Most names of classes that an error shows.
const CLASSES_SHOWN_MAX: usize = 10;

/// The sides of the network's input for images of several sizes or large ones.
pub(crate) const RESIZED_SIDE: u32 = 64;

impl<L> Source<L> {
    /// The height and width that all images have, if it is one that a network
    /// learns from in minutes.
    pub(crate) fn common_size(&self) -> Option<(u32, u32)> {
        let samples = self.train.samples.iter().chain(&self.test.samples);
        let mut sizes = samples.map(|sample| sample.image.dimensions());
        let (width, height) = sizes.next()?;
        let small = (16..=RESIZED_SIDE).contains(&width) && (16..=RESIZED_SIDE).contains(&height);
        (small && sizes.all(|size| size == (width, height))).then_some((height, width))
    }

    /// What to say of images that have another size than the network takes, if there are any.
    pub(crate) fn fitted(&self, (width, height): (u32, u32)) -> Option<String> {
        let samples = || self.train.samples.iter().chain(&self.test.samples);
        let other = samples().filter(|sample| sample.image.dimensions() != (width, height));
        let count = other.count();
        (count > 0).then(|| {
            format!(
                "{count} of {} images have another size than {width}x{height} pixels and are fitted to it",
                samples().count()
            )
        })
    }
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
        Some(SYNTHETIC | CIFAR_100) | None => Ok(()),
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
    let (argument, (description, train, test)) = match name {
        Some(SYNTHETIC) => (SYNTHETIC, drawn()),
        Some(CIFAR_100) => {
            let archive = archive(cache).hint("`synthetic` needs no download")?;
            (CIFAR_100, official(&archive, classes)?)
        }
        Some(path) => (path, read(Path::new(path), classes)?),
        None => match archive(cache) {
            Ok(archive) => (CIFAR_100, official(&archive, classes)?),
            Err(error) => {
                terminal::say(format_args!(
                    "The CIFAR-100 images are not at hand: {error:#}.\n\
                     Going on with bicycles and motorcycles that Scones draws itself. With the archive at hand:\n  \
                     {} demo --dataset path/to/cifar-100-python.tar.gz",
                    terminal::program()
                ));
                (SYNTHETIC, drawn())
            }
        },
    };
    source(argument, description, (train, test))
}

fn source<L: Label>(
    argument: &str,
    description: String,
    (train, test): (Dataset<L>, Dataset<L>),
) -> anyhow::Result<Source<L>> {
    Ok(Source {
        description,
        argument: terminal::quoted(argument),
        warnings: checked(&train, &test)?,
        train,
        test,
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
    let (train, test) = published(archive, classes)?;
    Ok(("CIFAR-100, the official archive".to_owned(), train, test))
}

/// The wanted classes of an archive or folder of CIFAR.
fn published(path: &Path, classes: &[String]) -> anyhow::Result<(Dataset, Dataset)> {
    const HINT: &str = "`scones data import --classes CLASS,CLASS` takes other classes";
    let read = cifar::read_path(path, classes);
    let is_unknown = matches!(read, Err(Error::UnknownClass { .. }));
    let cifar::Splits { train, test } = if is_unknown { read.hint(HINT)? } else { read? };
    for (part, dataset) in [("training", &train), ("test", &test)] {
        if dataset.samples.is_empty() {
            let (path, classes) = (path.display(), classes.join(", "));
            return Err(anyhow!("{path}: its {part} part has no image of the classes {classes}")).hint(HINT);
        }
    }
    Ok((train, test))
}

fn read(path: &Path, classes: &[String]) -> anyhow::Result<Parts> {
    let description = path.display().to_string();
    if let Some((train, test)) = lists(path) {
        let (train, test) = read_lists(&train, test.as_deref())?;
        return Ok((description, train, test));
    }
    if path.is_file() || is_cifar_folder(path) {
        let (train, test) = published(path, classes)?;
        return Ok((description, train, test));
    }
    let (train, test) = (path.join("train"), path.join("test"));
    let (train, test) = if train.is_dir() && test.is_dir() {
        (folder::read(&train)?, folder::read(&test)?)
    } else {
        split(folder::read(path)?)?
    };
    Ok((description, train, test))
}

fn is_list(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension == "lst")
}

/// The image list of the test part of a folder.
fn test_list(folder: &Path) -> Option<PathBuf> {
    let lists = ["test.lst", "validation.lst"].map(|name| folder.join(name));
    lists.into_iter().find(|path| path.is_file())
}

/// The image list that `path` is, or those of the folder that it is: to train on and to test with.
fn lists(path: &Path) -> Option<(PathBuf, Option<PathBuf>)> {
    if is_list(path) {
        return Some((path.to_owned(), None));
    }
    let train = path.join("train.lst");
    train.is_file().then(|| (train, test_list(path)))
}

fn read_lists<L: Label>(train: &Path, test: Option<&Path>) -> anyhow::Result<(Dataset<L>, Dataset<L>)> {
    let train = image_list(train, None)?;
    match test {
        Some(test) => Ok((train, image_list(test, None)?)),
        None => split(train),
    }
}

/// The images that `path` names with several classes each, for a model of `classes`: an image list,
/// or a folder with that of its test part.
pub(crate) fn labelled_sets(path: &Path, classes: &[String]) -> anyhow::Result<Dataset<ClassSet>> {
    match test_list(path).or(is_list(path).then(|| path.to_owned())) {
        Some(list) => image_list(&list, Some(classes)),
        None => bail!(
            "{} is no image list (.lst), and has none: images of several classes each need one",
            path.display()
        ),
    }
}

/// The first of the names, and how many there are if not all are shown.
fn listed(classes: &[String]) -> String {
    let shown = classes.iter().take(CLASSES_SHOWN_MAX);
    let shown = shown.map(String::as_str).collect::<Vec<_>>().join(", ");
    match classes.len() {
        ..=CLASSES_SHOWN_MAX => shown,
        all => format!("{shown}, ... ({all} in all)"),
    }
}

/// The labelled images that `path` names, for a model of `classes`: an image list, or a folder with
/// one folder a class; of a folder with parts, the test part. Labels are positions in `classes`.
pub(crate) fn labelled(path: &Path, classes: &[String]) -> anyhow::Result<Dataset> {
    let mut dataset: Dataset = match test_list(path).or(is_list(path).then(|| path.to_owned())) {
        Some(list) => image_list(&list, None)?,
        None if path.join("test").is_dir() => folder::read(&path.join("test"))?,
        None if path.is_dir() => folder::read(path)?,
        None => bail!("{} is neither an image list (.lst) nor a folder", path.display()),
    };
    let position = |name: &String| classes.iter().position(|class| class == name);
    let by_name: Option<Vec<usize>> = dataset.classes.iter().map(position).collect();
    // Image lists have numbers, which are the labels of the list that the model was trained with.
    let by_number = || {
        let number = |name: &String| name.parse().ok().filter(|label: &usize| *label < classes.len());
        dataset.classes.iter().map(number).collect()
    };
    let Some(labels) = by_name.or_else(by_number) else {
        return Err(anyhow!(
            "{} has the classes {}, but the model tells apart {}",
            path.display(),
            listed(&dataset.classes),
            listed(classes)
        ))
        .hint("name the class folders as they were named for the training");
    };
    for sample in &mut dataset.samples {
        sample.label = labels[sample.label];
    }
    dataset.classes = classes.to_vec();
    Ok(dataset)
}

/// Rows of `DIR/train.lst` are relative to `DIR/train` if that folder is there,
/// as SageMaker's channels have it, and to `DIR` otherwise.
fn image_list<L: Label>(path: &Path, classes: Option<&[String]>) -> anyhow::Result<Dataset<L>> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let channel = path.with_extension("");
    let root = if channel.is_dir() { &channel } else { parent };
    Ok(distinct(list::read(path, root, classes)?))
}

/// An image that a list names twice counts once, so that it cannot come into both parts of a split.
fn distinct<L>(mut dataset: Dataset<L>) -> Dataset<L> {
    let mut names = HashSet::new();
    let (kept, repeated): (Vec<_>, Vec<_>) = std::mem::take(&mut dataset.samples)
        .into_iter()
        .partition(|sample| names.insert(sample.name.clone()));
    dataset.samples = kept;
    if !repeated.is_empty() {
        dataset.findings.push(Finding {
            severity: Severity::Warning,
            problem: Problem::RepeatedRow,
            message: format!(
                "{}: left out {} that repeat the path of an earlier one",
                dataset.origin,
                terminal::counted(repeated.len(), "row")
            ),
            files: repeated.into_iter().map(|sample| sample.name).collect(),
        });
    }
    dataset
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
fn split<L: Label>(whole: Dataset<L>) -> anyhow::Result<(Dataset<L>, Dataset<L>)> {
    let few = whole
        .class_counts()
        .into_iter()
        .zip(&whole.classes)
        .find(|(count, _)| (1..TEST_FOLDS).contains(count));
    if let Some((count, class)) = few {
        bail!(
            "{}: the class {class} has too few images ({count}): {TEST_FOLDS} are needed, so that some can be held back for testing",
            whole.origin
        );
    }
    let strata = evaluation::strata(whole.samples.iter().map(|sample| &sample.label));
    let folds = evaluation::stratified_folds(&strata, TEST_FOLDS, SEED);
    let (test, train) = (&folds[0], folds[1..].concat());
    Ok((whole.subset(&train), whole.subset(test)))
}

/// Refuses images that would become one file.
fn check_file_names<L>(part: &Dataset<L>) -> anyhow::Result<()> {
    let mut names = HashMap::new();
    for sample in &part.samples {
        let name = file_name(&sample.name);
        if let Some(first) = names.insert(name.clone(), &sample.name) {
            let images = if *first == sample.name {
                format!("two images are called {first}")
            } else {
                format!("the images {first} and {} would both become {name}", sample.name)
            };
            bail!("{}: {images}: rename one of them", part.origin);
        }
    }
    Ok(())
}

/// Errors end the command; warnings go on with it.
fn checked<L: Label>(train: &Dataset<L>, test: &Dataset<L>) -> anyhow::Result<Vec<String>> {
    for part in [train, test] {
        check_file_names(part)?;
    }
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
