//! Stdout, which may be slower than the peer, and must not stop us from reading what the peer says meanwhile, nor from
//! sending what it waits for.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;
use sockkit_core::{Deadline, Error, ErrorKind};
use sockkit_sys::write_nowait;

use crate::exit;

/// Above so many bytes waiting, nothing more is received.
const HELD_MAX: usize = 256 * 1024;

/// `PIPE_BUF` of pipe(7): a pipe that polls as writable takes so much without blocking.
const PIPE_BUF: usize = 4096;

/// How many writes are made before the socket has its turn again.
const WRITES_MAX: usize = 16;

/// How long a reader that is slow may take when the time of the run is up.
const LAST_CHANCE: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Output {
    stdout: io::Stdout,
    way: Way,
    held: Vec<u8>,
    written: usize,
    /// The byte that was written last.
    last: Option<u8>,
    failed: bool,
}

/// How to write without being blocked: the descriptor is shared with others, so `O_NONBLOCK` is not ours to set.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A file, on which nobody waits for long.
    Plain,
    /// The kernel is told not to wait.
    Nowait,
    /// It cannot be told that: poll(2) is asked first, and a write has so many bytes as that promises.
    Stepwise,
}

impl Output {
    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        let way = if blocks(&stdout) { Way::Nowait } else { Way::Plain };
        Self { stdout, way, held: Vec::new(), written: 0, last: None, failed: false }
    }

    /// Where to put what is to be written.
    pub(super) fn held(&mut self) -> &mut Vec<u8> {
        &mut self.held
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.held.len() - self.written < HELD_MAX
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stdout.as_fd()
    }

    /// Writes what can be written without being blocked. Answers whether anything was.
    pub(super) fn write(&mut self) -> Result<bool> {
        let mut any = false;
        for _ in 0..WRITES_MAX {
            if self.is_empty() {
                break;
            }
            match self.write_some() {
                Ok(length) => {
                    self.written += length;
                    self.last = self.held[..self.written].last().copied();
                }
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EOPNOTSUPP) if matches!(self.way, Way::Nowait) => {
                    self.way = Way::Stepwise;
                    continue;
                }
                Err(errno) => {
                    self.failed = true;
                    return Err(exit::not_written(&errno.into()));
                }
            }
            any = true;
            if self.written == self.held.len() {
                self.held.clear();
                self.written = 0;
            }
        }
        if self.written >= HELD_MAX {
            self.held.drain(..self.written);
            self.written = 0;
        }
        Ok(any)
    }

    fn write_some(&self) -> Result<usize, Errno> {
        let rest = &self.held[self.written..];
        match self.way {
            Way::Plain => write(&self.stdout, rest),
            Way::Nowait => write_nowait(self.fd(), rest)
                .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
            Way::Stepwise if self.is_ready() => write(&self.stdout, &rest[..rest.len().min(PIPE_BUF)]),
            Way::Stepwise => Err(Errno::EAGAIN),
        }
    }

    /// Writes all that is left. What a terminal shows is ended with a line end, so that the prompt that follows stands
    /// where it belongs; what a program reads is left as it is.
    pub(super) fn finish(&mut self, deadline: Deadline) -> Result<()> {
        self.flush(deadline)?;
        if !self.failed && lacks_line_end(self.last, self.stdout.is_terminal()) {
            self.held.push(b'\n');
        }
        self.flush(deadline)
    }

    fn flush(&mut self, deadline: Deadline) -> Result<()> {
        let deadline = if deadline.has_passed() { Deadline::after(LAST_CHANCE) } else { deadline };
        while !self.is_empty() && !self.failed {
            if deadline.wait(self.fd(), PollFlags::POLLOUT).is_err() {
                let why = "timed out, its reader takes no more";
                return Err(Error::new(ErrorKind::TimedOut, "write to", "stdout", why).into());
            }
            self.write()?;
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let mut polled = [PollFd::new(self.fd(), PollFlags::POLLOUT)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

fn lacks_line_end(last: Option<u8>, is_terminal: bool) -> bool {
    is_terminal && last.is_some_and(|byte| byte != b'\n')
}

/// Whether a write of any length can block for long: on pipes, sockets and terminals, not on files.
fn blocks(stdout: &io::Stdout) -> bool {
    // Through the name rather than the descriptor, which only `unsafe` could turn into a file.
    let kind = std::fs::metadata("/proc/self/fd/1").map(|about| about.file_type());
    stdout.is_terminal() || !kind.is_ok_and(|kind| kind.is_file() || kind.is_char_device())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_a_last_line_end_and_nobody_else() {
        assert!(lacks_line_end(Some(b'x'), true));
        assert!(!lacks_line_end(Some(b'\n'), true));
        assert!(!lacks_line_end(None, true));
        assert!(!lacks_line_end(Some(b'x'), false));
    }
}
