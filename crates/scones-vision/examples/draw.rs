//! Writes drawn bicycles and motorcycles in the layout of SageMaker's channels:
//! `cargo run -p scones-vision --example draw -- FOLDER COUNT SEED`.

use std::{error::Error, path::Path};

use scones_vision::dataset::{list, synthetic};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, count, seed] = arguments.as_slice() else {
        return Err("usage: draw FOLDER COUNT SEED".into());
    };
    let drawn = synthetic::draw(count.parse()?, seed.parse()?);
    list::write(Path::new(folder), "train", &drawn)?;
    Ok(())
}
