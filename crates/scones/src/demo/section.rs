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

/// The step as text.
pub(super) fn text(number: usize, section: &impl Section) -> String {
    let mut text = format!("{number}. {}\n", section.title());
    for line in section.lines() {
        text += &format!("   {line}\n");
    }
    for command in section.commands() {
        text += &format!("   $ {command}\n");
    }
    text
}
