//! The program `scones`: its commands, its configuration, and the wiring of
//! the services into one server.
//!
//! It decides nothing about a service's behaviour. stdout carries what a
//! command was asked for, stderr carries progress and errors.

mod cli;
mod client;
mod commands;
mod config;
mod credentials;
mod demo;
mod failure;
mod picture;
mod server;
mod source;
mod terminal;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli.command) {
        Ok(_) if terminal::has_lost() => ExitCode::FAILURE,
        Ok(code) => code,
        Err(error) => {
            failure::print(&error);
            ExitCode::FAILURE
        }
    }
}
