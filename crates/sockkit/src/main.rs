//! The sockkit binary: reads what was typed, runs it, and turns the outcome into an exit code.

// Where it can be: a test has a main of its own, and not every C library hands over what was typed.
#![cfg_attr(all(target_env = "gnu", not(test)), no_main)]

mod cli;
mod command;
#[cfg(test)]
mod documents;
mod exit;
mod render;
mod units;

#[cfg(all(target_env = "gnu", not(test)))]
sockkit_sys::begin_with!(run);

#[cfg(not(all(target_env = "gnu", not(test))))]
fn main() -> std::process::ExitCode {
    run().into()
}

fn run() -> u8 {
    exit::code(cli::Cli::read().map_err(Into::into).and_then(command::run))
}
