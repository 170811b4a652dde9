//! Programs that are not ours, as clients of our server and as servers of our client. Each is used when it is
//! installed, and skipped with a word when it is not.

mod clients;
mod inetd;
mod servers;

use sockkit_tests::Sockkit;

const SOCKKIT: Sockkit = Sockkit(env!("CARGO_BIN_EXE_sockkit"));
