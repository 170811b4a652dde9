//! Notes which compiler built the program: results say so, because it decides what a message costs. Leaves out what a
//! start would pay for: a shared library, and most of the list of what is to be relocated. Both want a C library that is
//! not old (glibc 2.36); with `SOCKKIT_OLD_GLIBC` set, the program is linked as it comes.

use std::env;
use std::ffi::OsString;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for variable in ["RUSTC_LINKER", "SOCKKIT_OLD_GLIBC"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    note_compiler();
    if is_for_this_machine() && env::var_os("SOCKKIT_OLD_GLIBC").is_none() && has_glibc(2, 36) {
        link_for_a_short_start();
    }
}

fn is_for_this_machine() -> bool {
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    target("OS") == "linux" && target("ENV") == "gnu" && env::var("HOST") == env::var("TARGET")
}

fn has_glibc(major: u32, minor: u32) -> bool {
    // "glibc 2.36"
    let Ok(said) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else { return false };
    let version = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut numbers =
        version.trim().trim_start_matches("glibc ").split('.').map_while(|part| part.parse().ok());
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}

fn link_for_a_short_start() {
    let driver = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    // A compiler that links, as opposed to a bare linker, can tell where it has a file.
    let Some(unwinder) = file_of(&driver, "libgcc_eh.a") else { return };
    // What is relocated as a bit map: 0.6 MB less to read at each start, and to keep.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    // What walks the stack for a backtrace from its archive: to find, map and relocate it takes 0.1 ms of the 1.3 ms of a
    // greeting.
    if unwinder.starts_with('/') {
        println!("cargo::rustc-link-lib=static=gcc_eh");
    }
}

/// Where a compiler has a file; the bare name if it has none.
fn file_of(driver: &OsString, name: &str) -> Option<String> {
    let said = Command::new(driver).arg(format!("-print-file-name={name}")).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

fn note_compiler() {
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
