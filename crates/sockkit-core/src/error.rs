//! What went wrong: which operation, on which object, why, and, where it is known, what to do.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// A failed operation. Its `Display` is one line, lower case, without a full stop:
///
/// ```text
/// cannot listen on tcp://127.0.0.1:80: permission denied (ports below 1024 need CAP_NET_BIND_SERVICE)
/// ```
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    object: String,
    cause: String,
    errno: Option<i32>,
    advice: Option<String>,
}

/// The classes that a program tells apart; the sockkit binary has an exit code for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for makes no sense: an address that cannot be read, an option that does not apply.
    Usage,
    /// Nobody can be reached there: refused, unreachable, no such path, name not found.
    Unreachable,
    /// A deadline passed.
    TimedOut,
    /// The peer broke off: reset, or closed early.
    Broken,
    /// This machine cannot: address in use, permission, a path that is not a socket, out of descriptors or memory.
    Local,
}

impl Error {
    /// An error from the operating system. Its class, and the advice that always fits it, follow from the error number
    /// and can be changed with [`Error::with_kind`] and [`Error::with_advice`].
    pub fn io(operation: &'static str, object: impl fmt::Display, error: &io::Error) -> Self {
        let kind = kind_of(error);
        let mut this = Self::new(kind, operation, object, describe(error));
        this.errno = error.raw_os_error();
        if this.errno == Some(Errno::ECONNREFUSED as i32) {
            this.advice = Some("nobody is listening there".to_owned());
        }
        this
    }

    /// An error with a cause in words.
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        object: impl fmt::Display,
        cause: impl Into<String>,
    ) -> Self {
        let (object, cause) = (object.to_string(), cause.into());
        Self { kind, operation, object, cause, errno: None, advice: None }
    }

    /// The same error in another class.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same error with a word on what to do.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Its class.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The error number of the operating system, if it came from there.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.errno
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.operation, self.object, self.cause)?;
        match &self.advice {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

// The cause is part of the line, so `source` has nothing to add: a caller that prints the chain prints it once.
impl std::error::Error for Error {}

/// The system's words for an error, in lower case and without its number.
pub fn describe(error: &io::Error) -> String {
    let text = match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None if error.kind() == io::ErrorKind::TimedOut => "timed out".to_owned(),
        None => error.to_string(),
    };
    let mut letters = text.chars();
    match letters.next() {
        // "Is a directory" becomes "is a directory"; "I/O error" stays.
        Some(first) if letters.as_str().starts_with(|c: char| c.is_lowercase() || c == ' ') => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text,
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    use Errno::*;
    let Some(number) = error.raw_os_error() else {
        return match error.kind() {
            io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            io::ErrorKind::InvalidInput => ErrorKind::Usage,
            io::ErrorKind::UnexpectedEof => ErrorKind::Broken,
            _ => ErrorKind::Local,
        };
    };
    match Errno::from_raw(number) {
        ECONNREFUSED | EHOSTUNREACH | ENETUNREACH | EHOSTDOWN | ENETDOWN | ENOENT | ENOTDIR | ENXIO => {
            ErrorKind::Unreachable
        }
        ETIMEDOUT => ErrorKind::TimedOut,
        ECONNRESET | EPIPE | ECONNABORTED | ENOTCONN => ErrorKind::Broken,
        _ => ErrorKind::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_one_line() {
        let error = Error::io("listen on", "tcp://127.0.0.1:80", &Errno::EACCES.into())
            .with_advice("ports below 1024 need CAP_NET_BIND_SERVICE");
        assert_eq!(
            error.to_string(),
            "cannot listen on tcp://127.0.0.1:80: permission denied \
             (ports below 1024 need CAP_NET_BIND_SERVICE)"
        );
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::Local, Some(13)));
    }

    #[test]
    fn what_a_script_tells_apart_is_told_apart() {
        let kind = |errno: Errno| kind_of(&errno.into());
        assert_eq!(kind(Errno::ECONNREFUSED), ErrorKind::Unreachable);
        assert_eq!(kind(Errno::ENOENT), ErrorKind::Unreachable);
        assert_eq!(kind(Errno::ETIMEDOUT), ErrorKind::TimedOut);
        assert_eq!(kind(Errno::ECONNRESET), ErrorKind::Broken);
        assert_eq!(kind(Errno::EMFILE), ErrorKind::Local);
        assert_eq!(kind_of(&io::ErrorKind::TimedOut.into()), ErrorKind::TimedOut);
    }
}
