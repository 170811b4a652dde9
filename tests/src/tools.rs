//! What the machine has: programs, ports, other users.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// Where a program is, if it is installed. System directories count too, which are not in everybody's `PATH`.
pub fn find_tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| {
            fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
}

/// Whether strace(1) is here, may trace, and can put faults into system calls.
pub fn strace_works() -> bool {
    static WORKS: LazyLock<bool> = LazyLock::new(|| {
        Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", "inject=getppid:error=EPERM:when=1", "true"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    });
    *WORKS
}

/// A copy of a program that every user may run, in a directory that every user may enter.
///
/// # Panics
/// If it cannot be made.
pub fn copy_for_others(program: &Path) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let copy = directory.path().join("program");
    // By another process: while this one has the copy open for writing, a test in another thread may fork, and until its
    // child has called execve(2), which closes the descriptor, nobody can run the copy ("Text file busy").
    let done = Command::new("install").arg("--mode=755").args([program, &copy]).status().expect("install(1)");
    assert!(done.success(), "copy the program: {done}");
    (directory, copy)
}

/// A TCP port of the loopback that was free a moment ago, for programs that cannot choose one themselves. Another
/// process may take it first, so whoever uses it tries again.
///
/// # Panics
/// If there is none.
pub fn unused_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").port()
}
