//! Paths of Unix sockets: whose they are, who may take them, and who may connect.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, listen, send, socket,
};
use nix::unistd::{Gid, Uid, getgroups, setfsgid, setfsuid};
use sockkit_tests::{
    Peer, Server, copy_for_others, directory_for_others, need_tool, run_to_end, skip, wait_until,
};
use std::os::fd::AsRawFd;

use crate::SOCKKIT;

const NOBODY: u32 = 65_534;

/// What a file is, so that any change shows.
fn fingerprint(path: &Path) -> (u64, u32, u64, u32, i64, i64) {
    let about = fs::symlink_metadata(path).expect("the file is there");
    (about.ino(), about.mode(), about.len(), about.uid(), about.mtime(), about.mtime_nsec())
}

fn refuse(scheme: &str, path: &Path) -> String {
    let refused = SOCKKIT.run(&["serve", "--duration", "5s", &format!("{scheme}:{}", path.display())]);
    check_refusal(&refused, path)
}

fn check_refusal(refused: &Output, path: &Path) -> String {
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(6), "{}: {said}", path.display());
    assert_eq!(refused.stdout, b"", "a ready line");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(path.to_str().expect("text")), "the message names the path: {said}");
    said
}

/// T83: of two that start for one path exactly one wins, the other says why, and the winner can be reached.
#[test]
fn t83_one_of_two_starters_wins() {
    let directory = tempfile::tempdir().expect("a directory");
    for (scheme, rounds) in [("unix", 120), ("unix-dgram", 40), ("unix-seqpacket", 40)] {
        let url = format!("{scheme}:{}", directory.path().join(scheme).display());
        for round in 0..rounds {
            let start = || Server::start(SOCKKIT.command(&["serve", "--json", &url]), 1);
            let (first, second) = thread::scope(|scope| {
                let other = scope.spawn(start);
                (start(), other.join().expect("a starter"))
            });
            let (winner, loser) = match (first, second) {
                (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
                (Ok(_), Ok(_)) => panic!("{url}, round {round}: both won"),
                (Err(one), Err(two)) => panic!("{url}, round {round}: neither won: {one} {two}"),
            };
            let code = loser.status.and_then(|status| status.code());
            assert_eq!(code, Some(6), "{loser}");
            assert!(!loser.stderr.trim().is_empty(), "it does not say why");
            Peer::connect(&url).echo(b"reachable").expect("an echo");
            if round % 2 == 0 {
                drop(winner); // Killed: the next two find a stale path.
            } else {
                winner.stop().assert_clean();
            }
        }
    }
}

/// T84: what is no socket is never touched.
#[test]
fn t84_what_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    File::create(at("file")).and_then(|mut file| file.write_all(b"precious")).expect("a file");
    fs::create_dir(at("directory")).expect("a directory");
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    drop(UnixListener::bind(at("stale")).expect("a stale socket"));
    for (name, to) in [("to-file", "file"), ("to-nothing", "nothing"), ("to-socket", "stale")] {
        symlink(at(to), at(name)).expect("a symbolic link");
    }
    let names = ["file", "directory", "fifo", "to-file", "to-nothing", "to-socket"];
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        for name in names {
            let (path, target) = (at(name), at("stale"));
            let before = (fingerprint(&path), fingerprint(&target));
            let said = refuse(scheme, &path);
            assert!(said.contains("not a socket"), "{said}");
            assert_eq!((fingerprint(&path), fingerprint(&target)), before, "{name} was touched");
        }
        assert!(!at("nothing").exists());
    }
    assert_eq!(fs::read(at("file")).expect("the file"), b"precious");
}

/// T84: a stale socket of another user is his to remove.
#[test]
fn t84_another_users_socket_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("s");
    drop(UnixListener::bind(&path).expect("a stale socket"));
    if !Uid::effective().is_root() {
        skip!("needs root, to make a file of another user");
    }
    chown(&path, Some(NOBODY), Some(NOBODY)).expect("chown");
    let before = fingerprint(&path);
    let said = refuse("unix", &path);
    assert!(said.contains("another user"), "{said}");
    assert_eq!(fingerprint(&path), before);
}

/// T84: a directory in which we may not write; and one in which everybody may, without the sticky bit.
#[test]
fn t84_directories_that_will_not_do() {
    let directory = directory_for_others();
    let path = directory.path().join("s");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).expect("chmod");
    let said = refuse("unix", &path);
    assert!(said.contains("writable"), "{said}");
    let missing = directory.path().join("no-such-directory/s");
    let said = refuse("unix", &missing);
    assert!(said.contains("no such"), "{said}");

    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("chmod");
    if !Uid::effective().is_root() {
        skip!("the rest needs root, to be somebody else");
    }
    let setpriv = need_tool!("setpriv");
    let (_place, binary) = copy_for_others(SOCKKIT.path());
    let mut command = Command::new(setpriv);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
    command.args(["serve", "--duration", "5s", &format!("unix:{}", path.display())]);
    let said = check_refusal(&run_to_end(command, b""), &path);
    assert!(said.contains("permission denied"), "{said}");
    assert!(!path.exists());
}

/// T85: a path on which somebody listens is his, even when he is too busy to answer.
#[test]
fn t85_a_live_server_is_not_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).expect("a listener");
    let before = fingerprint(&path);
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        let said = refuse(scheme, &path);
        assert!(said.contains("in use"), "{said}");
        assert_eq!(fingerprint(&path), before);
    }
    let _client = UnixStream::connect(&path).expect("it can be reached");
    listener.accept().expect("and it is the same");

    for kind in [SockType::Stream, SockType::SeqPacket] {
        let path = directory.path().join(format!("full-{kind:?}"));
        let address = UnixAddr::new(&path).expect("an address");
        let full = socket(AddressFamily::Unix, kind, SockFlag::empty(), None).expect("a socket");
        bind(full.as_raw_fd(), &address).expect("bind");
        listen(&full, Backlog::new(0).expect("a backlog")).expect("listen");
        let mut waiting = Vec::new();
        loop {
            let client = socket(AddressFamily::Unix, kind, SockFlag::SOCK_NONBLOCK, None).expect("a socket");
            if connect(client.as_raw_fd(), &address).is_err() {
                break;
            }
            waiting.push(client);
            assert!(waiting.len() < 100, "the backlog is never full");
        }
        let before = fingerprint(&path);
        let scheme = if kind == SockType::Stream { "unix" } else { "unix-seqpacket" };
        let said = refuse(scheme, &path);
        assert!(said.contains("in use"), "{said}");
        assert_eq!(fingerprint(&path), before);
    }

    let path = directory.path().join("datagrams");
    let server = UnixDatagram::bind(&path).expect("a socket");
    let client = UnixDatagram::unbound().expect("a socket");
    client.connect(&path).expect("connect");
    while send(client.as_raw_fd(), b"fill", MsgFlags::MSG_DONTWAIT).is_ok() {}
    let before = fingerprint(&path);
    let said = refuse("unix-dgram", &path);
    assert!(said.contains("in use"), "{said}");
    assert_eq!(fingerprint(&path), before);
    drop(server);
}

/// T85: our own kind too, with the same words.
#[test]
fn t85_a_live_sockkit_is_not_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        let path = directory.path().join(scheme);
        let url = format!("{scheme}:{}", path.display());
        let server = SOCKKIT.serve(&[&url]);
        let said = refuse(scheme, &path);
        assert!(said.contains("in use"), "{said}");
        Peer::connect(&url).echo(b"undisturbed").expect("an echo");
        let summary = server.summary();
        let accepted = summary.get(&["connections", "accepted"]);
        assert!(accepted <= 1, "the refused start was taken for a peer: {}", summary.0);
    }
}

/// T86: a path that somebody else has made his in the meantime is not removed at the end.
#[test]
fn t86_a_replaced_path_is_not_removed() {
    let directory = tempfile::tempdir().expect("a directory");
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        let path = directory.path().join(scheme);
        let server = SOCKKIT.serve(&[&format!("{scheme}:{}", path.display())]);
        fs::remove_file(&path).expect("remove");
        let theirs = UnixListener::bind(&path).expect("another server");
        let before = fingerprint(&path);
        server.stop().assert_clean();
        assert_eq!(fingerprint(&path), before, "{scheme}");
        UnixStream::connect(&path).expect("the other server is reached");
        drop(theirs);
    }
}

/// Somebody else who tries to connect without a pause.
struct Stranger<'a> {
    path: PathBuf,
    stop: &'a AtomicBool,
    tried: AtomicU64,
    connected: AtomicU64,
}

impl Stranger<'_> {
    fn try_all_the_time(&self) {
        // These two hold for this thread alone, and take its right to override permissions with them.
        setfsgid(Gid::from_raw(NOBODY));
        setfsuid(Uid::from_raw(NOBODY));
        while !self.stop.load(Ordering::Relaxed) {
            if UnixStream::connect(&self.path).is_ok() {
                self.connected.fetch_add(1, Ordering::Relaxed);
            }
            self.tried.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Starts a server over and over, under a umask, while a stranger tries to connect. Answers how often he could.
fn connections_of_a_stranger(umask: &str, mode: &str) -> u64 {
    let directory = directory_for_others();
    let stop = AtomicBool::new(false);
    let path = directory.path().join("s");
    let stranger =
        Stranger { path: path.clone(), stop: &stop, tried: AtomicU64::new(0), connected: AtomicU64::new(0) };
    thread::scope(|scope| {
        scope.spawn(|| stranger.try_all_the_time());
        for _ in 0..15 {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).arg(SOCKKIT.path());
            command.args(["serve", "--json", "--unix-mode", mode, "--unix"]).arg(&path);
            let server = Server::start(command, 1);
            let tried = stranger.tried.load(Ordering::Relaxed);
            if let Ok(server) = &server {
                let about = fs::symlink_metadata(&path).expect("the socket");
                assert!(about.file_type().is_socket());
                let wanted = u32::from_str_radix(mode, 8).expect("a mode");
                assert_eq!(about.mode() & 0o777, wanted, "umask {umask}");
                Peer::connect(&server.urls()[0]).echo(b"mine").expect("an echo");
                wait_until("the stranger has tried", || stranger.tried.load(Ordering::Relaxed) > tried + 10);
            } else {
                stop.store(true, Ordering::Relaxed);
            }
            server.unwrap_or_else(|not_ready| panic!("{not_ready}")).stop().assert_clean();
        }
        stop.store(true, Ordering::Relaxed);
    });
    stranger.connected.load(Ordering::Relaxed)
}

/// T87: at no moment can anybody connect whom the mode keeps out, whatever the umask.
#[test]
fn t87_the_mode_is_never_wider() {
    if !Uid::effective().is_root() {
        skip!("needs root, to be somebody else");
    }
    for umask in ["000", "077"] {
        assert_eq!(connections_of_a_stranger(umask, "0600"), 0, "umask {umask}");
    }
    assert!(connections_of_a_stranger("077", "0666") > 0, "the stranger cannot connect even when allowed");
    if !getgroups().expect("groups").contains(&Gid::from_raw(0)) {
        assert_eq!(connections_of_a_stranger("000", "0660"), 0);
    }
}
