//! What is measured: every target with every size, number of connections and depth.

use crate::cli::{Subject, WorkloadArgs};

/// One thing that is measured.
#[derive(Clone, Debug)]
pub(crate) struct Arm {
    pub(crate) subject: Subject,
    /// Bytes in a message.
    pub(crate) size: usize,
    /// Connections at a time.
    pub(crate) connections: usize,
    /// Messages outstanding on each.
    pub(crate) depth: usize,
}

/// All of them: for each size, connections and depth, the targets in the order in which they were typed.
pub(crate) fn arms(subjects: &[Subject], args: &WorkloadArgs) -> Vec<Arm> {
    let mut arms = Vec::new();
    for &size in &args.size.0 {
        for &connections in &args.connections.0 {
            for &depth in &args.depth.0 {
                arms.extend(subjects.iter().map(|subject| Arm {
                    subject: subject.clone(),
                    size,
                    connections,
                    depth,
                }));
            }
        }
    }
    arms
}
