//! Numbers that can be trusted: what was measured, what may be concluded from it, and how it is written down.
//!
//! Nothing here does I/O, reads a clock or knows a socket, so every rule is tested on values that are known.

mod estimate;
mod histogram;
pub mod result;

pub use estimate::Estimate;
pub use histogram::Histogram;
