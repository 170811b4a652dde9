//! Stdin to the peer without a detour through our memory, where nobody has to look at the bytes on their way.
//!
//! A file is sent by sendfile(2), a pipe is emptied into the socket by splice(2). What either of them cannot do is left to
//! reading and sending, which also tell more precisely what is wrong.

use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};
use nix::sys::sendfile::sendfile;
use nix::sys::stat::{SFlag, fstat};

/// Bytes that are asked for at a time: a file's come out of the page cache that fast, and a pipe holds no more than 64 KiB
/// by default.
const PIECE: usize = 256 * 1024;

/// Which call takes bytes from stdin to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conveyor {
    File,
    Pipe,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conveyed {
    /// So many bytes have left.
    Bytes(usize),
    /// Stdin has ended.
    End,
    /// Stdin brings nothing, or the socket takes nothing, for the moment.
    Nothing,
    /// It cannot be done in this way, and no byte was touched.
    Refused,
}

impl Conveyor {
    /// What stdin is suited for, if anything.
    pub(super) fn of(stdin: BorrowedFd<'_>) -> Option<Self> {
        match SFlag::from_bits_truncate(fstat(stdin).ok()?.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Some(Self::File),
            SFlag::S_IFIFO => Some(Self::Pipe),
            _ => None,
        }
    }

    /// Whether stdin has something, or its end, at any time, so that nobody has to wait for it.
    pub(super) fn is_always_ready(self) -> bool {
        self == Self::File
    }

    /// Sends what comes next. The socket is one that does not block.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) fn convey(self, stdin: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> io::Result<Conveyed> {
        let moved = match self {
            Self::File => sendfile(socket, stdin, None, PIECE),
            Self::Pipe => splice(stdin, None, socket, None, PIECE, SpliceFFlags::SPLICE_F_NONBLOCK),
        };
        match moved {
            Ok(0) => Ok(Conveyed::End),
            Ok(bytes) => Ok(Conveyed::Bytes(bytes)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Conveyed::Nothing),
            Err(errno) if is_refusal(errno) => Ok(Conveyed::Refused),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Whether an error is about stdin, or about the call, and not about the connection.
fn is_refusal(errno: Errno) -> bool {
    use Errno::*;
    matches!(errno, EINVAL | EIO | EISDIR | ENOMEM | ENOSYS | EOPNOTSUPP | EOVERFLOW | EPERM | ESPIPE)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    #[test]
    fn a_file_is_sent_from_where_it_stands() {
        let (ours, mut theirs) = pair();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"skipped and sent").unwrap();
        file.seek(SeekFrom::Start(8)).unwrap();
        let conveyor = Conveyor::of(file.as_fd()).unwrap();
        assert!(conveyor == Conveyor::File && conveyor.is_always_ready());
        assert_eq!(conveyor.convey(file.as_fd(), ours.as_fd()).unwrap(), Conveyed::Bytes(8));
        assert_eq!(conveyor.convey(file.as_fd(), ours.as_fd()).unwrap(), Conveyed::End);
        drop(ours);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "and sent");
    }

    #[test]
    fn a_pipe_is_emptied_and_not_waited_for() {
        let (ours, mut theirs) = pair();
        let (reader, mut writer) = io::pipe().unwrap();
        let conveyor = Conveyor::of(reader.as_fd()).unwrap();
        let convey = || conveyor.convey(reader.as_fd(), ours.as_fd()).unwrap();
        assert_eq!((conveyor, convey()), (Conveyor::Pipe, Conveyed::Nothing));
        writer.write_all(b"piped").unwrap();
        assert_eq!(convey(), Conveyed::Bytes(5));
        drop(writer);
        assert_eq!(convey(), Conveyed::End);
        let mut text = [0; 5];
        theirs.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"piped");
    }

    #[test]
    fn a_full_socket_is_not_waited_for() {
        let (ours, _theirs) = pair();
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        let all = (0..256).map(|_| Conveyor::File.convey(file.as_fd(), ours.as_fd()).unwrap());
        assert!(all.into_iter().any(|conveyed| conveyed == Conveyed::Nothing));
    }

    #[test]
    fn what_cannot_be_conveyed_is_refused_and_a_broken_connection_is_told() {
        let (ours, theirs) = pair();
        assert_eq!(Conveyor::of(ours.as_fd()), None);
        let (reader, mut writer) = io::pipe().unwrap();
        assert_eq!(Conveyor::File.convey(reader.as_fd(), ours.as_fd()).unwrap(), Conveyed::Refused);
        writer.write_all(b"to nobody").unwrap();
        drop(theirs);
        let error = Conveyor::Pipe.convey(reader.as_fd(), ours.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
