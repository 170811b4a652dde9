//! How exactly sleeps end.

use nix::sys::prctl;

/// Sleeps of this thread end when they should: a kernel may let them take 50 µs longer, to wake for several at once
/// (prctl(2), `PR_SET_TIMERSLACK`). Dropping it makes it as it was.
pub(crate) struct ExactSleep {
    before_ns: Option<i32>,
}

impl ExactSleep {
    /// From now on.
    pub(crate) fn begin() -> Self {
        let before_ns = prctl::get_timerslack().ok();
        set_exact();
        Self { before_ns }
    }
}

impl Drop for ExactSleep {
    fn drop(&mut self) {
        if let Some(before_ns) = self.before_ns.and_then(|ns| ns.try_into().ok()) {
            let _ = prctl::set_timerslack(before_ns);
        }
    }
}

/// Sleeps of this thread end when they should, for as long as it lives.
pub(crate) fn set_exact() {
    // Where it is forbidden, sleeps are a little longer, and the lateness tells.
    let _ = prctl::set_timerslack(1);
}
