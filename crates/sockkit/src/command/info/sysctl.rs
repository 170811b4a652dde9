//! Kernel settings, read from `/proc/sys`. A container may hide any of them, or all of `/proc`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::report::Setting;

/// Those that decide how much a socket holds and how many there can be.
pub(in crate::command) const SHOWN: &[&str] = &[
    "net.core.rmem_default",
    "net.core.rmem_max",
    "net.core.wmem_default",
    "net.core.wmem_max",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.core.somaxconn",
    "net.unix.max_dgram_qlen",
    "net.ipv4.ip_local_port_range",
];

/// The tree that holds the settings: `/proc/sys`, or another in tests.
pub(in crate::command) struct Sysctls(PathBuf);

impl Sysctls {
    pub(in crate::command) fn of_this_machine() -> Self {
        Self("/proc/sys".into())
    }

    /// The value of a setting, or in words why it is not known.
    pub(super) fn read(&self, name: &str) -> Result<Setting, String> {
        let path = self.0.join(name.replace('.', "/"));
        let text = fs::read_to_string(&path).map_err(|error| self.explain(&path, &error))?;
        parse(&text).ok_or_else(|| format!("{} holds no numbers: {:?}", path.display(), text.trim()))
    }

    /// The value of a setting as text, on one line with single blanks, if it can be read.
    pub(in crate::command) fn text(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.0.join(name.replace('.', "/"))).ok()?;
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A setting that is one number.
    pub(in crate::command) fn number(&self, name: &str) -> Option<u64> {
        match self.read(name) {
            Ok(Setting::One(number)) => Some(number),
            _ => None,
        }
    }

    fn explain(&self, path: &Path, error: &io::Error) -> String {
        let why = sockkit_core::describe(error);
        if error.kind() != io::ErrorKind::NotFound {
            return format!("cannot read {}: {why}", path.display());
        }
        match self.0.is_dir() {
            true => format!("this kernel or network namespace has no {}", path.display()),
            false => format!("there is no {}; is /proc mounted?", self.0.display()),
        }
    }
}

fn parse(text: &str) -> Option<Setting> {
    let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    match numbers[..] {
        [] => None,
        [number] => Some(Setting::One(number)),
        _ => Some(Setting::Several(numbers)),
    }
}

#[cfg(test)]
impl Sysctls {
    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_and_several_and_none() {
        assert_eq!(parse("4096\n"), Some(Setting::One(4096)));
        assert_eq!(parse("4096\t131072\t6291456\n"), Some(Setting::Several(vec![4096, 131_072, 6_291_456])));
        assert_eq!(parse("\n"), None);
        assert_eq!(parse("cubic\n"), None);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let nowhere = Sysctls::at("/nonexistent/sys");
        assert_eq!(
            nowhere.read("net.core.rmem_max"),
            Err("there is no /nonexistent/sys; is /proc mounted?".into())
        );
        assert_eq!(nowhere.number("net.core.rmem_max"), None);
        let empty = Sysctls::at("/");
        assert_eq!(
            empty.read("no.such.setting"),
            Err("this kernel or network namespace has no /no/such/setting".into())
        );
    }
}
