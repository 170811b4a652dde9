//! From a return value to a `Result`, once.

use std::io;

/// Runs a system call that answers -1 for an error, again while a signal interrupts it.
///
/// EINTR is the only error that is retried: with descriptors that do not block it says nothing about the socket.
pub(crate) fn retry<T: Copy + PartialEq + From<i8>>(mut call: impl FnMut() -> T) -> io::Result<T> {
    loop {
        let value = call();
        if value != T::from(-1) {
            return Ok(value);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
