//! Notes which compiler built the program: results say so, because it decides what a message costs.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(compiler).arg("--version").output();
    let said = said
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    // `rustc 1.95.0 (59807616e 2026-04-14)`
    if let Some(version) = said.as_deref().and_then(|line| line.split_whitespace().nth(1)) {
        println!("cargo::rustc-env=SOCKKIT_RUSTC={version}");
    }
}
