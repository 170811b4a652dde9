//! Placeholder.
use std::path::PathBuf;

use anyhow::Result;
use sockkit_stats::result::Document;

use crate::cli::OutputArgs;

#[derive(Debug)]
pub(crate) struct Outputs(Option<PathBuf>);

impl Outputs {
    pub(crate) fn new(args: &OutputArgs) -> Result<Self> {
        Ok(Self(args.json.clone()))
    }
    pub(crate) fn takes_stdout(&self) -> bool {
        self.0.as_deref() == Some("-".as_ref())
    }
    pub(crate) fn deliver(&self, document: &Document) -> Result<()> {
        let text = serde_json::to_string_pretty(document)? + "\n";
        match &self.0 {
            Some(path) if path.as_os_str() != "-" => Ok(std::fs::write(path, text)?),
            _ => super::output::print(text.as_bytes()),
        }
    }
}
