//! What a model takes: one image, and how it is laid out.

use ort::value::{Outlet, TensorElementType, ValueType};
use scones_vision::{RgbImage, preprocessing::Preprocessing};

use crate::{Description, Error, Layout, error::shown};

/// Longest side of a model's input, in pixels.
const INPUT_SIDE_MAX: i64 = 4096;
/// Most inputs or outputs that an error names.
const NAMED_MAX: usize = 8;

/// The input of a model, and how an image becomes it.
#[derive(Debug)]
pub(crate) struct Input {
    name: String,
    preprocessing: Preprocessing,
    layout: Layout,
}

impl Input {
    /// The model's only input, if it is an image.
    pub(crate) fn of(inputs: &[Outlet], description: &Description) -> Result<Self, Error> {
        let [input] = inputs else {
            let problem = format!("it has {} inputs ({}), not one", inputs.len(), names(inputs));
            return Err(Error::Input(problem));
        };
        Self::image(input, description).map_err(|problem| {
            let (name, kind) = (shown(input.name()), shown(&input.dtype().to_string()));
            Error::Input(format!("its input {name} is {kind}: {problem}"))
        })
    }

    fn image(input: &Outlet, description: &Description) -> Result<Self, String> {
        let ValueType::Tensor { ty, shape, .. } = input.dtype() else {
            return Err("no tensor".to_owned());
        };
        if *ty != TensorElementType::Float32 {
            return Err("32-bit floats are needed".to_owned());
        }
        let &[batch, a, b, c] = shape.iter().as_slice() else {
            return Err("four dimensions are needed: NCHW or NHWC".to_owned());
        };
        if !matches!(batch, -1 | 1) {
            return Err("the batch must be 1 or dynamic: export the model so".to_owned());
        }
        let layout = description.layout.map_or_else(|| layout(a, c), Ok)?;
        let (channels, height, width) = match layout {
            Layout::Nchw => (a, b, c),
            Layout::Nhwc => (c, a, b),
        };
        if !matches!(channels, -1 | 3) {
            return Err("three channels are needed".to_owned());
        }
        let (width, height) = (
            side("width", width, description.width)?,
            side("height", height, description.height)?,
        );
        if description.resize.is_some_and(|side| side < width.max(height)) {
            return Err("\"resize\" in model.json is smaller".to_owned());
        }
        Ok(Self {
            name: input.name().to_owned(),
            preprocessing: Preprocessing {
                width,
                height,
                resize: description.resize,
                mean: description.mean,
                deviation: description.std,
            },
            layout,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Width and height, in pixels.
    pub(crate) fn sides(&self) -> (u32, u32) {
        (self.preprocessing.width, self.preprocessing.height)
    }

    pub(crate) fn shape(&self) -> [i64; 4] {
        let (width, height) = self.sides();
        match self.layout {
            Layout::Nchw => [1, 3, height.into(), width.into()],
            Layout::Nhwc => [1, height.into(), width.into(), 3],
        }
    }

    /// An image of any size as the model takes it.
    pub(crate) fn pixels(&self, image: &RgbImage) -> Vec<f32> {
        let fitted = self.preprocessing.fit().apply(image);
        let mut pixels = vec![0.0; self.preprocessing.length()];
        self.preprocessing
            .write(fitted.as_ref().unwrap_or(image), false, &mut pixels);
        match self.layout {
            Layout::Nhwc => pixels,
            Layout::Nchw => planes(&pixels),
        }
    }
}

/// Which dimension has the channels, if one is 3.
fn layout(second: i64, last: i64) -> Result<Layout, String> {
    match (second, last) {
        (3, 3) => Err("either side may be the channels: say \"layout\" in model.json".to_owned()),
        (3, _) => Ok(Layout::Nchw),
        (_, 3) => Ok(Layout::Nhwc),
        _ => Err("no dimension is 3, the channels: say \"layout\" in model.json if one is dynamic".to_owned()),
    }
}

/// A side, by the model or by what its description says.
fn side(name: &str, fixed: i64, said: Option<u32>) -> Result<u32, String> {
    let side = match (fixed, said.map(i64::from)) {
        (-1, None) => return Err(format!("its {name} is dynamic: say \"{name}\" in model.json")),
        (-1, Some(said)) => said,
        (fixed, Some(said)) if fixed != said => return Err(format!("model.json says {name} {said}")),
        (fixed, _) => fixed,
    };
    match u32::try_from(side) {
        Ok(pixels) if (1..=INPUT_SIDE_MAX).contains(&side) => Ok(pixels),
        _ => Err(format!("sides from 1 to {INPUT_SIDE_MAX} are needed")),
    }
}

/// All red, then all green, then all blue.
fn planes(pixels: &[f32]) -> Vec<f32> {
    let mut planes = vec![0.0; pixels.len()];
    let plane = pixels.len() / 3;
    for (at, pixel) in pixels.as_chunks::<3>().0.iter().enumerate() {
        for (channel, value) in pixel.iter().enumerate() {
            planes[channel * plane + at] = *value;
        }
    }
    planes
}

/// The names of the first inputs or outputs.
pub(crate) fn names(all: &[Outlet]) -> String {
    let mut names: Vec<String> = all.iter().take(NAMED_MAX).map(|one| shown(one.name())).collect();
    if all.len() > NAMED_MAX {
        names.push("...".to_owned());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channels_are_found_and_sides_agree() {
        assert_eq!(layout(3, 224), Ok(Layout::Nchw));
        assert_eq!(layout(-1, 3), Ok(Layout::Nhwc));
        assert!(layout(3, 3).is_err() && layout(1, 224).is_err());
        assert_eq!(side("width", 8, Some(8)), Ok(8));
        assert_eq!(side("width", -1, Some(9)), Ok(9));
        for (fixed, said) in [(-1, None), (8, Some(9)), (0, None), (4097, None), (i64::MAX, None)] {
            assert!(side("width", fixed, said).is_err(), "{fixed} {said:?}");
        }
    }

    #[test]
    fn planes_have_a_channel_each() {
        assert_eq!(planes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
