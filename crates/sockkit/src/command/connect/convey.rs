//! A pipe to the peer without a detour through our memory, where nobody has to look at the bytes on their way.
//!
//! splice(2) takes three quarters of the processor time of reading and sending. What it cannot do is left to these, which
//! also tell more precisely what is wrong. A file is read and sent: sendfile(2) hands its pages over one by one, and to copy
//! a piece at a time through memory that stays in the processor's cache costs less than that.

use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};

use super::plan::STREAM_WRITE;

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

/// Sends what comes next out of a pipe. The socket is one that does not block.
///
/// # Errors
/// Those of the connection.
pub(super) fn convey(pipe: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> io::Result<Conveyed> {
    match splice(pipe, None, socket, None, STREAM_WRITE, SpliceFFlags::SPLICE_F_NONBLOCK) {
        Ok(0) => Ok(Conveyed::End),
        Ok(bytes) => Ok(Conveyed::Bytes(bytes)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(Conveyed::Nothing),
        Err(errno) if is_refusal(errno) => Ok(Conveyed::Refused),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether an error is about stdin, or about the call, and not about the connection.
fn is_refusal(errno: Errno) -> bool {
    use Errno::*;
    matches!(errno, EINVAL | EIO | ENOMEM | ENOSYS | EOPNOTSUPP | EPERM)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    #[test]
    fn a_pipe_is_emptied_and_not_waited_for() {
        let (ours, mut theirs) = pair();
        let (reader, mut writer) = io::pipe().unwrap();
        let convey = || convey(reader.as_fd(), ours.as_fd()).unwrap();
        assert_eq!(convey(), Conveyed::Nothing);
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
        let (reader, mut writer) = io::pipe().unwrap();
        let full = (0..4096).any(|_| {
            writer.write_all(&[0; 4096]).unwrap();
            convey(reader.as_fd(), ours.as_fd()).unwrap() == Conveyed::Nothing
        });
        assert!(full);
    }

    #[test]
    fn what_is_no_pipe_is_refused_and_a_broken_connection_is_told() {
        let (ours, theirs) = pair();
        let file = tempfile::tempfile().unwrap();
        assert_eq!(convey(file.as_fd(), ours.as_fd()).unwrap(), Conveyed::Refused);
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"to nobody").unwrap();
        drop(theirs);
        assert_eq!(convey(reader.as_fd(), ours.as_fd()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
