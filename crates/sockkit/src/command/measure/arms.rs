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

/// Messages that may be outstanding in an open loop, over all connections, and at least on each. A schedule is to wait
/// for no answer, so this is only a bound: over a way of 50 ms it still lets 20,000 messages a second pass.
const OPEN_DEPTH: (usize, usize) = (1024, 16);

/// All of them: for each size, connections and depth, the targets in the order in which they were typed.
pub(crate) fn arms(subjects: &[Subject], args: &WorkloadArgs, open_loop: bool) -> Vec<Arm> {
    let mut arms = Vec::new();
    for &size in &args.size.0 {
        for &connections in &args.connections.0 {
            let typed = args.depth.as_ref().map(|depths| depths.0.clone());
            for depth in typed.unwrap_or_else(|| vec![default_depth(connections, open_loop)]) {
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

fn default_depth(connections: usize, open_loop: bool) -> usize {
    let (all, each) = OPEN_DEPTH;
    if open_loop { (all / connections).max(each) } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_waits_for_no_answer_by_default() {
        assert_eq!([1, 4, 1000].map(|connections| default_depth(connections, false)), [1, 1, 1]);
        assert_eq!([1, 4, 1000].map(|connections| default_depth(connections, true)), [1024, 256, 16]);
    }
}
