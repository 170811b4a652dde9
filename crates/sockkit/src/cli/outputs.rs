//! Placeholder.
use clap::Args;
use std::path::PathBuf;

/// Placeholder.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// JSON
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,
}
