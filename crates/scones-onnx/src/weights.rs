//! The files that a model's weights are in, beside it in the artefact.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Seek},
    sync::Arc,
};

use crate::{Error, archive};

/// Their contents by the names that the model calls them, of at most `left` bytes together.
pub(crate) fn read(
    artefact: &mut (impl Read + Seek),
    model: &str,
    named: BTreeSet<String>,
    mut left: u64,
) -> Result<BTreeMap<String, Arc<[u8]>>, Error> {
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut places = BTreeMap::new();
    for file in named {
        match place(archive::folder(model), &file) {
            Some(place) => places.insert(file, place),
            None => {
                let model = model.to_owned();
                return Err(Error::WeightsElsewhere { model, file });
            }
        };
    }
    let wanted = places.values().map(|place| (place.clone(), left)).collect();
    let files = archive::read(artefact, &wanted, &mut left)?;
    let files: BTreeMap<String, Arc<[u8]>> = files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
    let found = places.into_iter().map(|(file, place)| match files.get(&place) {
        Some(bytes) => Ok((file, Arc::clone(bytes))),
        None => Err(Error::MissingWeights {
            model: model.to_owned(),
            file,
        }),
    });
    found.collect()
}

/// The member that a model in `folder` means by `file`. ONNX Runtime has names of its own for
/// places in memory, with asterisks, and stops reading a name at a zero: neither is a file's.
fn place(folder: &str, file: &str) -> Option<String> {
    let suspect = |letter: char| letter.is_control() || matches!(letter, '*' | '\\');
    let below = archive::plain(file).filter(|below| !below.is_empty() && !file.contains(suspect))?;
    Some(format!("{folder}{below}"))
}
