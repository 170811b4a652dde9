//! Numbers that can be trusted: what was measured, what may be concluded from it, and how it is written down.
//!
//! Nothing here does I/O, reads a clock or knows a socket, so every rule is tested on values that are known.

mod conclude;
mod contrast;
mod estimate;
mod histogram;
pub mod interval;
pub mod judge;
mod merge;
mod null;
pub mod result;
mod summary;

pub use conclude::{Cell, Conclusion, conclude, conclude_against};
pub use estimate::Estimate;
pub use histogram::{CurvePoint, Histogram};
pub use judge::Rules;
pub use merge::{MergeError, Merged, merge};
pub use summary::summarise;
