//! How the program begins and ends, with less before it than Rust's runtime has.
//!
//! The runtime looks for the guard page of the stack before it calls `main`, so that it can tell in words of a stack that
//! overflows. The C library finds that page by reading /proc/self/maps, and with the handlers that tell of it that is a
//! fifteenth of what a greeting takes from start to exit. Without it a stack that overflows meets its guard page all
//! the same, and the shell tells of SIGSEGV. The rest of what the runtime does is here.

use std::io;
use std::os::fd::RawFd;
use std::panic;
use std::process;

/// The exit code of a program that panicked, as Rust has it.
const PANICKED: i32 = 101;

/// Makes a `fn() -> u8`, which returns an exit code, what the program begins with. For a crate that is `no_main`, where
/// the C library hands over what was typed (glibc does).
#[macro_export]
macro_rules! begin_with {
    ($run:path) => {
        // SAFETY: the C library calls it by this name and with these arguments, once, and nothing else is called so in a
        // program that is `no_main`.
        #[unsafe(no_mangle)]
        extern "C" fn main(
            _count: ::core::ffi::c_int,
            _words: *const *const ::core::ffi::c_char,
        ) -> ::core::ffi::c_int {
            $crate::begin($run)
        }
    };
}

/// For [`begin_with`](crate::begin_with).
#[doc(hidden)]
pub fn begin(run: fn() -> u8) -> ! {
    (0..=2).for_each(keep_open);
    // A write to a pipe that nobody reads is an error, and not the end.
    // SAFETY: to ignore a signal puts no function in its place.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let code = panic::catch_unwind(run).map_or(PANICKED, i32::from);
    // Writes what is left for stdout.
    process::exit(code)
}

/// A program that was started without stdin, stdout or stderr gets /dev/null in its place: the next descriptor that it
/// opens would have that number, and get what is printed.
fn keep_open(standard: RawFd) {
    // SAFETY: the call takes integers, and asks only.
    let closed = unsafe { libc::fcntl(standard, libc::F_GETFD) } == -1
        && io::Error::last_os_error().raw_os_error() == Some(libc::EBADF);
    // The lowest number that is free is this one: those below are open by now.
    // SAFETY: the path ends in a zero. The descriptor has no owner, and stays open.
    if closed && unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != standard {
        process::abort();
    }
}
