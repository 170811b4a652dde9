//! `--plan`: what would be measured, and in which order.

use std::fmt::Write;

use super::conduct::Course;
use super::order::Order;
use crate::command::measure::Arm;
use crate::render::figures;

/// The arms, and the runs of as many blocks as are aimed at: an arm by its number, the second run of a baseline with a
/// stroke.
pub(super) fn text(course: &Course<'_>) -> String {
    let plan = course.plan;
    let mut text = format!("seed {}\n", course.seed);
    let mut line = |line: &str| writeln!(text, "{line}").expect("a String takes everything");
    for warning in &plan.warnings {
        line(&format!("warning: {warning}"));
    }
    for (index, Arm { subject, size, connections, depth }) in plan.arms.iter().enumerate() {
        let is_baseline = plan.cells.iter().any(|cell| cell.baseline == index);
        let baseline = if is_baseline { ", baseline" } else { "" };
        line(&format!(
            "arm {index}: {}, {}, {}, depth {depth}{baseline}",
            subject.typed,
            figures::size(*size as u64),
            figures::several(*connections as u64, "connection"),
        ));
    }
    let mut order = Order::new(plan.arms.len(), &plan.cells, course.seed);
    for block in 1..=course.blocks_aim {
        let (runs, _) = order.next_block();
        let runs = runs.iter().map(|run| format!("{}{}", run.arm, if run.is_control { "'" } else { "" }));
        line(&format!("block {block}: {}", runs.collect::<Vec<_>>().join(" ")));
    }
    text
}
