//! Notes which compiler built the program: results say so, because it decides what a message costs. Leaves out what a
//! start would pay for: a shared library, and most of the list of what is to be relocated.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    note_compiler();
    if is_for_gnu_linux() {
        leave_out_unwinder();
        pack_relocations();
    }
}

fn is_for_gnu_linux() -> bool {
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    target("OS") == "linux" && target("ENV") == "gnu"
}

/// Links what walks the stack for a backtrace from its archive, where the compiler has one beside the shared library: to
/// find, map and relocate that takes 0.1 ms of the 1.4 ms of a greeting.
fn leave_out_unwinder() {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    // What is not found is answered with its bare name.
    let said = Command::new(linker).arg("-print-file-name=libgcc_eh.a").output();
    if said.is_ok_and(|output| output.stdout.starts_with(b"/")) {
        println!("cargo::rustc-link-lib=static=gcc_eh");
    }
}

/// Writes what is relocated as a bit map, which is 0.6 MB less to read and to keep. The C library has to know that form
/// (glibc 2.36), so it is used where the program is built for the machine at hand.
fn pack_relocations() {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let knows = said.is_ok_and(|output| {
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut numbers =
            version.trim().trim_start_matches("glibc ").split('.').map_while(|part| part.parse().ok());
        (numbers.next(), numbers.next()) >= (Some(2), Some(36))
    });
    if knows && env::var("HOST") == env::var("TARGET") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
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
