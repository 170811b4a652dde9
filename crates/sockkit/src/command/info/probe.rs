//! Asking this machine. Everything is asked by trying it: what a kernel was built with, what a sandbox takes away and
//! what a setting switches off look the same from here, so each "no" comes with its likely cause.

use std::collections::BTreeMap;
use std::io;

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::utsname::uname;
use nix::unistd::gethostname;
use sockkit_core::TRANSPORTS;

use super::report::{Availability, Descriptors, Kernel, Report, Transport};
use super::sysctl::{SHOWN, Sysctls};

const MPTCP_ENABLED: &str = "net.mptcp.enabled";
const IO_URING_DISABLED: &str = "kernel.io_uring_disabled";

pub(super) fn report() -> Report {
    let sysctls = Sysctls::of_this_machine();
    let mut unknown = BTreeMap::new();
    let settings = SHOWN.iter().map(|&name| (name, note(name, sysctls.read(name), &mut unknown))).collect();
    Report {
        version: env!("CARGO_PKG_VERSION"),
        host: note("host", host(), &mut unknown).unwrap_or_default(),
        kernel: note("kernel", kernel(), &mut unknown).unwrap_or_default(),
        transports: transports(&sysctls),
        io_uring: io_uring(&sysctls),
        descriptors: note("descriptors", descriptors(), &mut unknown).unwrap_or_default(),
        sysctls: settings,
        unknown,
    }
}

/// Keeps what is known, and writes down why the rest is not.
fn note<T>(
    name: &'static str,
    answer: Result<T, String>,
    unknown: &mut BTreeMap<&'static str, String>,
) -> Option<T> {
    answer.map_err(|why| unknown.insert(name, why)).ok()
}

/// The name of this machine, or in words why it is not known.
pub(in crate::command) fn host() -> Result<String, String> {
    let name = gethostname().map_err(describe)?;
    Ok(name.to_string_lossy().into_owned())
}

/// uname(2), or in words why it is not known.
pub(in crate::command) fn kernel() -> Result<Kernel, String> {
    let uname = uname().map_err(describe)?;
    Ok(Kernel {
        name: uname.sysname().to_string_lossy().into_owned(),
        release: uname.release().to_string_lossy().into_owned(),
        machine: uname.machine().to_string_lossy().into_owned(),
    })
}

fn descriptors() -> Result<Descriptors, String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(describe)?;
    let bounded = |limit| (limit != RLIM_INFINITY).then_some(limit);
    Ok(Descriptors { soft: bounded(soft), hard: bounded(hard) })
}

/// Every transport that sockkit knows, and whether this machine has it.
pub(in crate::command) fn transports(sysctls: &Sysctls) -> Vec<Transport> {
    let probe = |transport: &&'static dyn sockkit_core::Transport| {
        let scheme = transport.scheme();
        let mut answer = sockkit_core::transport::probe(*transport)
            .map_err(|error| why_no_socket(scheme, &error, sysctls.number(MPTCP_ENABLED)));
        if answer.is_ok() && scheme == "mptcp" && sysctls.number(MPTCP_ENABLED) == Some(0) {
            answer = Err(format!("{MPTCP_ENABLED} is 0"));
        }
        Transport { scheme, availability: answer.into() }
    };
    TRANSPORTS.iter().map(probe).collect()
}

/// What socket(2) means by an error. `mptcp_enabled` is the sysctl, where it can be read.
fn why_no_socket(scheme: &str, error: &io::Error, mptcp_enabled: Option<u64>) -> String {
    let why = sockkit_core::describe(error);
    let cause = match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
        Errno::ENOPROTOOPT if scheme == "mptcp" && mptcp_enabled == Some(0) => "net.mptcp.enabled is 0",
        Errno::ENOPROTOOPT if scheme == "mptcp" => "switched off by net.mptcp.enabled",
        Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT | Errno::ESOCKTNOSUPPORT | Errno::EINVAL => {
            "this kernel is built or run without it"
        }
        Errno::EPERM | Errno::EACCES => "forbidden by a sandbox or a security module",
        Errno::EMFILE => "raise the descriptor limit: ulimit -n",
        _ => return why,
    };
    format!("{why} ({cause})")
}

fn io_uring(sysctls: &Sysctls) -> Availability {
    sockkit_sys::probe_io_uring()
        .map_err(|error| explain_no_ring(&error, sysctls.number(IO_URING_DISABLED)))
        .into()
}

/// Why there is no io_uring, with its likely cause on this machine.
pub(in crate::command) fn why_no_ring(error: &io::Error) -> String {
    explain_no_ring(error, Sysctls::of_this_machine().number(IO_URING_DISABLED))
}

/// What io_uring_setup(2) means by an error. `disabled` is the sysctl of Linux 6.6 and later, where it can be read.
fn explain_no_ring(error: &io::Error, disabled: Option<u64>) -> String {
    let why = sockkit_core::describe(error);
    let cause = match (Errno::from_raw(error.raw_os_error().unwrap_or_default()), disabled) {
        (Errno::ENOSYS, _) => "this kernel is built or run without it, or a sandbox says so",
        (Errno::EPERM, Some(1)) => {
            "kernel.io_uring_disabled is 1: only for the group kernel.io_uring_group and CAP_SYS_ADMIN"
        }
        (Errno::EPERM, Some(2..)) => "kernel.io_uring_disabled is 2",
        (Errno::EPERM | Errno::EACCES, Some(0)) => "disabled by seccomp or a security module",
        (Errno::EPERM | Errno::EACCES, _) => "disabled by seccomp, as container runtimes do, or by a sysctl",
        (Errno::EINVAL, _) => "this kernel is too old: Linux 6.0 or later",
        (Errno::ENOMEM, _) => "RLIMIT_MEMLOCK is too low for a ring: ulimit -l",
        (Errno::EMFILE, _) => "raise the descriptor limit: ulimit -n",
        _ => return why,
    };
    format!("{why} ({cause})")
}

fn describe(errno: Errno) -> String {
    sockkit_core::describe(&errno.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_every_transport_and_setting_once() {
        let report = report();
        let schemes: Vec<_> = report.transports.iter().map(|transport| transport.scheme).collect();
        let known: Vec<_> = TRANSPORTS.iter().map(|transport| transport.scheme()).collect();
        assert_eq!(schemes, known);
        for transport in &report.transports {
            let Availability { available, why_not } = &transport.availability;
            assert_eq!(*available, why_not.is_none(), "{}", transport.scheme);
        }
        assert_eq!(report.sysctls.len(), SHOWN.len());
        for (name, value) in &report.sysctls {
            assert_eq!(value.is_none(), report.unknown.contains_key(name), "{name}");
        }
    }

    #[test]
    fn a_socket_that_is_refused_says_why() {
        let why = |scheme, errno: Errno, enabled| why_no_socket(scheme, &errno.into(), enabled);
        assert_eq!(
            why("mptcp", Errno::ENOPROTOOPT, Some(0)),
            "protocol not available (net.mptcp.enabled is 0)"
        );
        assert_eq!(
            why("mptcp", Errno::EPROTONOSUPPORT, None),
            "protocol not supported (this kernel is built or run without it)"
        );
        assert_eq!(why("tcp", Errno::ENOBUFS, None), "no buffer space available");
    }

    #[test]
    fn a_ring_that_is_refused_says_why() {
        let why = |errno: Errno, disabled| explain_no_ring(&errno.into(), disabled);
        for (errno, disabled, cause) in [
            (Errno::ENOSYS, None, "without it"),
            (Errno::EPERM, None, "seccomp, as container runtimes do, or by a sysctl"),
            (Errno::EPERM, Some(0), "by seccomp or a security module"),
            (Errno::EPERM, Some(1), "io_uring_disabled is 1"),
            (Errno::EPERM, Some(2), "io_uring_disabled is 2"),
            (Errno::ENOMEM, Some(0), "RLIMIT_MEMLOCK"),
        ] {
            let said = why(errno, disabled);
            assert!(said.contains(cause), "{errno}: {said}");
        }
    }
}
