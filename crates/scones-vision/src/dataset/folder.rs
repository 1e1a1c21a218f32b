//! Image folders: `ROOT/CLASS/FILE.png`, the classes in the order of their names.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{Dataset, Error, IMAGES_MEMORY_MAX, Label, Sample, read_image, read_images};
use crate::preprocessing::Fit;

/// Reads every PNG and JPEG of every class folder. Hidden files and files that are no images by
/// their extension are skipped; an image that does not decode is an error with its name.
///
/// # Errors
/// Labels that folders do not tell of; a folder that cannot be listed, no class folder, a class
/// without images, a damaged image, more
/// images than [`IMAGES_MEMORY_MAX`] holds.
pub fn read<L: Label>(root: &Path) -> Result<Dataset<L>, Error> {
    read_fitted(root, None)
}

/// As [`read`], but every image is fitted as it comes, so that the original sizes never lie in
/// memory together.
///
/// # Errors
/// As [`read`].
pub fn read_fitted<L: Label>(root: &Path, fit: Option<Fit>) -> Result<Dataset<L>, Error> {
    let class_folders: Vec<PathBuf> = sorted_entries(root)?.into_iter().filter(|path| path.is_dir()).collect();
    let layout = |path: &Path, problem: &str| Error::Layout {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    if class_folders.is_empty() {
        return Err(layout(
            root,
            "no class folders: put each class's images in a folder of its own",
        ));
    }
    let mut classes = Vec::new();
    let (mut paths, mut labels) = (Vec::new(), Vec::new());
    for folder in class_folders {
        let images = sorted_entries(&folder)?.into_iter().filter(|path| is_image(path));
        let before = paths.len();
        paths.extend(images);
        if paths.len() == before {
            return Err(layout(&folder, "no PNG or JPEG images: add some or remove the folder"));
        }
        let label = L::from_folder(classes.len()).ok_or_else(|| {
            layout(
                root,
                "folders of classes give each image one class; with multi_label=1 an image list, RecordIO file or \
                 augmented manifest must label the images",
            )
        })?;
        labels.resize(paths.len(), label);
        classes.push(file_name(&folder));
    }
    let images = read_images(root, &paths, read_image, fit, IMAGES_MEMORY_MAX)?;
    let samples = images
        .into_iter()
        .zip(paths.iter().zip(labels))
        .map(|(image, (path, label))| Sample {
            image,
            label,
            name: relative(root, path),
        });
    Ok(Dataset {
        samples: samples.collect(),
        classes,
        origin: root.display().to_string(),
        findings: Vec::new(),
    })
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if !file_name(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default()
        .into_owned()
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(OsStr::to_ascii_lowercase).unwrap_or_default();
    path.is_file() && ["png", "jpg", "jpeg"].iter().any(|known| extension == *known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    #[test]
    fn reads_classes_in_order_and_skips_hidden_files() {
        let root = tempfile::tempdir().unwrap();
        for (path, red) in [("b/2.PNG", 2), ("b/1.png", 1), ("a/x.jpg", 0)] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            RgbImage::from_pixel(2, 2, image::Rgb([red, 0, 0])).save(path).unwrap();
        }
        std::fs::write(root.path().join("a/.DS_Store"), "x").unwrap();
        std::fs::write(root.path().join("a/notes.txt"), "x").unwrap();
        std::fs::create_dir(root.path().join(".git")).unwrap();
        let dataset = read::<usize>(root.path()).unwrap();
        assert_eq!(dataset.classes, ["a", "b"]);
        let names: Vec<_> = dataset
            .samples
            .iter()
            .map(|sample| (sample.name.as_str(), sample.label))
            .collect();
        assert_eq!(names, [("a/x.jpg", 0), ("b/1.png", 1), ("b/2.PNG", 1)]);

        std::fs::write(root.path().join("a/broken.png"), "nonsense").unwrap();
        let error = read::<usize>(root.path()).unwrap_err().to_string();
        assert!(error.contains("a/broken.png; replace or remove the file"), "{error}");
        for at in 0..11 {
            std::fs::write(root.path().join(format!("b/{at:02}.png")), "<html>").unwrap();
        }
        let error = read::<usize>(root.path()).unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(
            (lines[0], lines.len(), lines[11]),
            ("12 images cannot be used:", 12, "and 2 more")
        );
        assert!(
            lines[2].ends_with("b/00.png; replace or remove the file: not a PNG or JPEG image (it begins with \"<html>\"): convert it to PNG or JPEG"),
            "{error}"
        );
        std::fs::remove_dir_all(root.path().join("a")).unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        assert!(
            read::<usize>(root.path())
                .unwrap_err()
                .to_string()
                .ends_with("add some or remove the folder")
        );
    }

    #[test]
    fn names_a_missing_or_empty_root() {
        let root = tempfile::tempdir().unwrap();
        assert!(
            read::<usize>(root.path())
                .unwrap_err()
                .to_string()
                .contains("no class folders")
        );
        let error = read::<usize>(&root.path().join("none")).unwrap_err().to_string();
        assert!(error.starts_with("cannot list ") && error.ends_with("none"), "{error}");
    }
}
