//! What the machine has: programs, ports, other users.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, getsockname, socket};

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

/// A directory that every user may enter, wherever temporary files are.
///
/// # Panics
/// If it cannot be made.
pub fn directory_for_others() -> tempfile::TempDir {
    let may_enter = |directory: &Path| {
        let mode = |place| fs::metadata(place).map_or(0, |found| found.permissions().mode());
        directory.ancestors().all(|place| mode(place) & 0o001 != 0)
    };
    let ours = std::env::temp_dir();
    let place = if may_enter(&ours) { &ours } else { Path::new("/tmp") };
    let directory = tempfile::tempdir_in(place).expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    directory
}

/// A copy of a program that every user may run, in a directory that every user may enter.
///
/// # Panics
/// If it cannot be made.
pub fn copy_for_others(program: &Path) -> (tempfile::TempDir, PathBuf) {
    let directory = directory_for_others();
    let copy = directory.path().join("program");
    // By another process: while this one has the copy open for writing, a test in another thread may fork, and until its
    // child has called execve(2), which closes the descriptor, nobody can run the copy ("Text file busy").
    let done = Command::new("install").arg("--mode=755").args([program, &copy]).status().expect("install(1)");
    assert!(done.success(), "copy the program: {done}");
    (directory, copy)
}

/// A port of the loopback that was free for TCP a moment ago, for programs that cannot choose one themselves. Another
/// process may take it first, so whoever uses it tries again.
///
/// # Panics
/// If there is none.
pub fn unused_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").port()
}

/// An address of the loopback at which nobody listens, nor will while this lives: its port is taken.
#[derive(Debug)]
pub struct Nobody {
    url: String,
    _port: OwnedFd,
}

impl Nobody {
    /// On TCP, or with another scheme on UDP.
    ///
    /// # Panics
    /// If there is no port.
    pub fn new(scheme: &str) -> Self {
        let kind = if scheme == "tcp" { SockType::Stream } else { SockType::Datagram };
        let port = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        bind(port.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a free port");
        if kind == SockType::Datagram {
            // It is there for this peer alone, and for all others the port is unreachable.
            connect(port.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 1)).expect("connect");
        }
        let address: SockaddrIn = getsockname(port.as_raw_fd()).expect("its address");
        Self { url: format!("{scheme}://{address}"), _port: port }
    }

    /// Where nobody is.
    pub fn url(&self) -> &str {
        &self.url
    }
}
