//! A figure and how sure it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An estimate with the ends of its interval. The ends are absent where the sample cannot carry an interval: fewer than
/// six runs say nothing about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The figure itself.
    pub estimate: f64,
    /// The lower end of the interval.
    pub low: Option<f64>,
    /// The upper end of the interval.
    pub high: Option<f64>,
}

impl Estimate {
    /// A figure of which nothing more is known.
    pub fn bare(estimate: f64) -> Self {
        Self { estimate, low: None, high: None }
    }
}
