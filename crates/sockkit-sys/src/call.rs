//! From a return value to a `Result`, once.

use std::io;

/// Runs a system call that answers -1 for an error, again while a signal interrupts it.
///
/// EINTR is the only error that is retried: it says that a signal came, and nothing about the descriptor.
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
