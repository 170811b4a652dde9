//! Whether this process may have an io_uring.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::call::retry;

/// `struct io_uring_params` of linux/io_uring.h: ten words, then the offsets of the two rings, 40 bytes each. Nothing
/// here reads what the kernel writes into it, so its fields have no names.
#[repr(C)]
struct Params([u32; 30]);

const _: () = assert!(size_of::<Params>() == 120);

/// Sets up a ring of one entry with io_uring_setup(2) and closes it again. Asking is the only way to know: a sysctl, a
/// seccomp filter, a limit or the kernel's configuration can each say no.
///
/// # Errors
/// As io_uring_setup(2): `ENOSYS` from a kernel without it (or a sandbox that says so), `EPERM` where
/// `kernel.io_uring_disabled` or a seccomp filter forbids it, `ENOMEM` where `RLIMIT_MEMLOCK` is too low for the ring
/// (Linux before 5.12), `EMFILE` and `ENFILE`.
pub fn probe_io_uring() -> io::Result<()> {
    // All zero: no flags, no polling thread, and the reserved words as the manual page demands.
    let mut params = Params([0; 30]);
    // SAFETY: `entries` is passed by value, and `params` is 120 writable bytes that outlive the call, which is what the
    // kernel copies in and out.
    let fd = retry(|| unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_u32, &raw mut params) })?;
    // SAFETY: the kernel has just handed out this descriptor, so nobody else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which answer is right depends on the machine; that it is one of the documented ones, and that it is the same
    /// twice (nothing leaks, nothing stays set up), does not.
    #[test]
    fn the_answer_is_a_documented_one() {
        let ask = || probe_io_uring().map_err(|error| error.raw_os_error());
        let answer = ask();
        assert_eq!(answer, ask());
        let documented = [libc::ENOSYS, libc::EPERM, libc::EACCES, libc::ENOMEM, libc::EMFILE, libc::ENFILE];
        if let Err(Some(errno)) = answer {
            assert!(
                documented.contains(&errno),
                "io_uring_setup(2) said {}",
                io::Error::from_raw_os_error(errno)
            );
        }
    }
}
