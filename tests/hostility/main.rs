//! What the server does when its peers, its kernel or its operator mean no good. The ids are those of the table in
//! `tests/README.md`.

mod datagrams;
mod ending;
mod faults;
mod forged;
mod paths;
mod pressure;
mod resets;
mod resources;
mod trains;

use sockkit_tests::Sockkit;

const SOCKKIT: Sockkit = Sockkit(env!("CARGO_BIN_EXE_sockkit"));
