//! The scones program: command line, configuration and wiring.
fn main() {}
