//! Stdout, which may be slower than the peer, and must not stop us from reading what the peer says meanwhile, nor from
//! sending what it waits for.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sockkit_core::{Deadline, Error, ErrorKind};

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
    /// Bytes that one write may have: it must not block, and the descriptor is shared with others, so `O_NONBLOCK` is
    /// not ours to set.
    step: usize,
    held: Vec<u8>,
    written: usize,
    /// The byte that was written last.
    last: Option<u8>,
    failed: bool,
}

impl Output {
    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        let step = if blocks(&stdout) { PIPE_BUF } else { HELD_MAX };
        Self { stdout, step, held: Vec::new(), written: 0, last: None, failed: false }
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

    /// Writes while poll(2) says that it does not block. Answers whether anything was written.
    pub(super) fn write(&mut self) -> Result<bool> {
        let mut any = false;
        for _ in 0..WRITES_MAX {
            if self.is_empty() || !self.is_ready() {
                break;
            }
            let end = self.held.len().min(self.written + self.step);
            match nix::unistd::write(self.stdout.as_fd(), &self.held[self.written..end]) {
                Ok(length) => {
                    self.written += length;
                    self.last = self.held[..self.written].last().copied();
                }
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break,
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
