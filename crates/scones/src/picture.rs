//! Pictures for terminals: images, curves and a state machine's graph.

use std::io::IsTerminal as _;

use image::{RgbImage, imageops};

/// A preview's width in characters; a character is two pixels high.
const PREVIEW_WIDTH: u32 = 20;

/// Whether stdout shows 24-bit colours.
pub(crate) fn is_possible() -> bool {
    let colours = std::env::var("COLORTERM").is_ok_and(|value| value == "truecolor" || value == "24bit");
    std::io::stdout().is_terminal() && colours && std::env::var_os("NO_COLOR").is_none()
}

/// Images beside one another, each character showing two pixels.
pub(crate) fn row(images: &[&RgbImage]) -> Vec<String> {
    let small: Vec<RgbImage> = images
        .iter()
        .map(|image| imageops::resize(*image, PREVIEW_WIDTH, PREVIEW_WIDTH, imageops::FilterType::Triangle))
        .collect();
    (0..PREVIEW_WIDTH / 2)
        .map(|row| {
            let mut line = String::new();
            for image in &small {
                for column in 0..PREVIEW_WIDTH {
                    let [r, g, b] = image.get_pixel(column, 2 * row).0;
                    let [lower_r, lower_g, lower_b] = image.get_pixel(column, 2 * row + 1).0;
                    line += &format!("\x1b[38;2;{r};{g};{b};48;2;{lower_r};{lower_g};{lower_b}m▀");
                }
                line += "\x1b[0m ";
            }
            line
        })
        .collect()
}

/// Values between `low` and `high` as a line of bars.
pub(crate) fn sparkline(values: &[f64], low: f64, high: f64) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let bar = |value: f64| {
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the share lies in 0..=1"
        )]
        BARS[(share * 7.0).round() as usize]
    };
    values.iter().map(|value| bar(*value)).collect()
}

/// A chain of boxes with arrows between them.
pub(crate) fn chain(boxes: &[&str]) -> Vec<String> {
    let mut lines = [String::new(), String::new(), String::new()];
    for (position, text) in boxes.iter().enumerate() {
        let width = text.chars().count() + 2;
        let arrow = if position == 0 {
            ["", "", ""]
        } else {
            ["   ", "──▶", "   "]
        };
        let parts = [
            format!("┌{}┐", "─".repeat(width)),
            format!("│ {text} │"),
            format!("└{}┘", "─".repeat(width)),
        ];
        for ((line, arrow), part) in lines.iter_mut().zip(arrow).zip(parts) {
            line.push_str(arrow);
            line.push_str(&part);
        }
    }
    lines.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_drawn_in_boxes() {
        insta::assert_snapshot!(chain(&["A", "Filter"]).join("\n"), @r"
        ┌───┐   ┌────────┐
        │ A │──▶│ Filter │
        └───┘   └────────┘
        ");
    }

    #[test]
    fn a_sparkline_spans_its_range() {
        assert_eq!(sparkline(&[0.5, 0.75, 1.0, 2.0, 0.0], 0.5, 1.0), "▁▅██▁");
    }
}
