//! A step of the story as a person reads it.

/// One step: a title, what came out, and how an AWS client would do it.
pub(super) trait Section {
    /// A few words.
    fn title(&self) -> &'static str;
    /// What came out, line by line.
    fn lines(&self) -> Vec<String>;
    /// The AWS CLI's commands for the same.
    fn commands(&self) -> &[String];
}

/// The step as text, without its last line's end.
pub(super) fn text(number: usize, section: &impl Section) -> String {
    let mut text = format!("{number}. {}\n", section.title());
    for line in section.lines() {
        text += &format!("   {line}\n");
    }
    for command in section.commands() {
        text += &format!("   $ {}\n", command.replace('\n', "\n   "));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Step(Vec<String>);

    impl Section for Step {
        fn title(&self) -> &'static str {
            "Step"
        }

        fn lines(&self) -> Vec<String> {
            vec!["done".to_owned()]
        }

        fn commands(&self) -> &[String] {
            &self.0
        }
    }

    #[test]
    fn long_commands_are_indented() {
        let step = Step(vec!["aws a \\\n    --b c".to_owned(), "aws d".to_owned()]);
        assert!(!text(1, &step).ends_with('\n'), "one blank line between two steps");
        insta::assert_snapshot!(text(1, &step), @r"
        1. Step
           done
           $ aws a \
               --b c
           $ aws d
        ");
    }
}
