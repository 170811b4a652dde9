//! What `sockkit info` says, as data. The names of the fields are the names in its JSON, which scripts rely on.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The version of sockkit.
    pub(super) version: &'static str,
    pub(super) host: String,
    pub(super) kernel: Kernel,
    pub(super) transports: Vec<Transport>,
    pub(super) io_uring: Availability,
    pub(super) descriptors: Descriptors,
    /// One number or several, as the kernel has them; `None` where `unknown` says why.
    pub(super) sysctls: BTreeMap<&'static str, Option<Setting>>,
    /// Why a figure above is missing, by its name.
    pub(super) unknown: BTreeMap<&'static str, String>,
}

/// uname(2).
#[derive(Debug, Default, Serialize)]
pub(in crate::command) struct Kernel {
    pub(in crate::command) name: String,
    pub(in crate::command) release: String,
    pub(in crate::command) machine: String,
}

#[derive(Debug, Serialize)]
pub(in crate::command) struct Transport {
    pub(in crate::command) scheme: &'static str,
    #[serde(flatten)]
    pub(in crate::command) availability: Availability,
}

/// Yes, or why not.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(in crate::command) struct Availability {
    pub(in crate::command) available: bool,
    pub(in crate::command) why_not: Option<String>,
}

impl From<Result<(), String>> for Availability {
    fn from(answer: Result<(), String>) -> Self {
        Self { available: answer.is_ok(), why_not: answer.err() }
    }
}

/// `RLIMIT_NOFILE`, getrlimit(2); `None` is no limit, unless `unknown` has `descriptors`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Descriptors {
    pub(super) soft: Option<u64>,
    pub(super) hard: Option<u64>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Setting {
    One(u64),
    Several(Vec<u64>),
}
