//! Writing to a descriptor that is shared with others, so that `O_NONBLOCK` is not ours to set.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::call::retry;

/// Writes as much as there is room for now, and waits for nothing (`RWF_NOWAIT`, pwritev2(2)).
///
/// # Errors
///
/// `EAGAIN` if there is no room. `EOPNOTSUPP` if what is behind the descriptor cannot be asked like this: a terminal, and
/// a pipe before Linux 6.4.
pub fn write_nowait(fd: BorrowedFd<'_>, data: &[u8]) -> io::Result<usize> {
    let piece = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // Where the file stands.
    let here = -1;
    // SAFETY: `piece` describes `data`, which is borrowed for the call, and which the kernel only reads.
    let written =
        retry(|| unsafe { libc::pwritev2(fd.as_raw_fd(), &raw const piece, 1, here, libc::RWF_NOWAIT) })?;
    Ok(written as usize)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_full_pipe_is_told_of_and_not_waited_for() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let first = match write_nowait(writer.as_fd(), &vec![b'x'; 1 << 20]) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                return eprintln!("skipped: this kernel's pipes cannot be asked not to wait");
            }
            written => written.expect("an empty pipe has room"),
        };
        assert!((4096..1 << 20).contains(&first), "{first}");
        let error = write_nowait(writer.as_fd(), b"y").expect_err("it is full");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(writer);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("read it");
        assert_eq!(read, vec![b'x'; first]);
    }
}
