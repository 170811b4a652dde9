//! Numbers that can be trusted: what was measured, what may be concluded from it, and how it is written down.
//!
//! Nothing here does I/O, reads a clock or knows a socket, so every rule is tested on values that are known, and on
//! simulated machines whose truth is known (`tests/statistics`).
//!
//! From single round trips to a verdict it goes like this:
//!
//! 1. A run keeps its round trips in a [`Histogram`], exactly enough and in fixed memory. It tells a percentile only if
//!    there are enough of them.
//! 2. Whole runs are the unit of everything else. [`interval`] makes intervals of several: order statistics for the median
//!    of an arm (Hettmansperger and Sheather 1986), signed ranks for the ratio of two arms that ran in the same blocks
//!    (Wilcoxon 1945, Hodges and Lehmann 1963), rank sums for two sessions (Mann and Whitney 1947). None of them assumes
//!    that noise is normal.
//! 3. [`judge`] claims a difference only where an interval is wholly beyond what two runs of the same differ by, with
//!    Holm's levels (1979) where several arms are judged at once, and tells the smallest difference that would have been
//!    found.
//! 4. [`summarise`], [`conclude`](fn@conclude) and [`merge`](fn@merge) do this for the arms of a [`result::Document`].
//!
//! What it relies on: runs of one arm are alike and independent of each other, apart from what disturbs a whole block.
//! Random order within a block and connections of their own for every run see to that, as far as it can be had; numbers
//! that were taken otherwise cannot be put right here.
//!
//! # Papers
//!
//! - J. L. Hodges and E. L. Lehmann, Estimates of location based on rank tests, Annals of Mathematical Statistics 34, 1963
//! - F. Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1, 1945
//! - H. B. Mann and D. R. Whitney, On a test of whether one of two random variables is stochastically larger than the
//!   other, Annals of Mathematical Statistics 18, 1947
//! - S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979
//! - T. P. Hettmansperger and S. J. Sheather, Confidence intervals based on interpolated order statistics, Statistics &
//!   Probability Letters 4, 1986
//! - J. Nyblom, Note on interpolated order statistics, Statistics & Probability Letters 14, 1992
//! - W. Hoeffding, On the distribution of the number of successes in independent trials, Annals of Mathematical
//!   Statistics 27, 1956

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
