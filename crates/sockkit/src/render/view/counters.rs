//! What became of the messages, in words that claim no more than was checked.
//!
//! What comes back can be compared with what was sent. One way nothing comes back: a stream that was sent has been read
//! when the peer has closed its side too, a datagram only if the peer's own counters say so; and of what a peer sends
//! by itself nobody knows what it should have been.

use sockkit_stats::result::{Arm, Document, Mode, Verify};

use super::Statement;
use super::conduct::LINES_MAX;
use super::names::Names;
use crate::render::figures;
use crate::render::text::Tone;

/// One line for all arms that are clean in the same way, and one for each that is not.
pub(super) fn statements(document: &Document, names: &Names) -> Vec<Statement> {
    let (clean, unclean): (Vec<_>, Vec<_>) =
        document.arms.iter().enumerate().partition(|(_, arm)| is_clean(arm));
    let mut statements: Vec<_> = unclean
        .iter()
        .take(LINES_MAX)
        .map(|(index, arm)| {
            let text = format!("counters of {}: {}", names.label(*index), account(arm, names));
            Statement::new(text, if arm.counters.corrupted > 0 { Tone::Loud } else { Tone::Warning })
        })
        .collect();
    if unclean.len() > LINES_MAX {
        let more = figures::several((unclean.len() - LINES_MAX) as u64, "more arm");
        statements.push(Statement::new(format!("counters of {more} are not clean either"), Tone::Warning));
    }
    if unclean.is_empty() {
        let mut claims: Vec<(&str, u64)> = Vec::new();
        for (_, arm) in clean.iter().filter(|(_, arm)| arm.counters.sent > 0) {
            let (claim, sent) = (claim(arm), arm.counters.sent);
            match claims.iter_mut().find(|(other, _)| *other == claim) {
                Some((_, sum)) => *sum = sum.saturating_add(sent),
                None => claims.push((claim, sent)),
            }
        }
        let line = |(claim, sent)| {
            Statement::plain(format!("counters: {} {claim}", figures::several(sent, names.unit())))
        };
        statements.extend(claims.into_iter().map(line));
    }
    statements
}

/// What is known of messages of which none is missing.
fn claim(arm: &Arm) -> &'static str {
    match (arm.mode, arm.verify, arm.counters.received) {
        (Mode::Send, _, Some(_)) => "sent, all of them received by the server",
        (Mode::Send, _, None) => "sent, none refused here; how many arrived is not known",
        (Mode::Receive, ..) if is_asked(arm) => "sent, each answered once; contents were not compared",
        (Mode::Receive, ..) => "received; contents were not compared",
        (Mode::Connect, Some(Verify::Full), _) => "made, all answered once and as was sent",
        (Mode::Connect, ..) => "made, all answered once",
        (_, Some(Verify::Full), _) => "sent, all came back once and as they were sent",
        (_, Some(Verify::Sample), _) => {
            "sent, all came back once; one in a hundred was compared with what was sent"
        }
        (_, Some(Verify::Off), _) => "sent, all came back once; contents were not compared",
        (_, None, _) => "sent, all came back once",
    }
}

/// `1,000 messages sent, 990 received, 10 lost (1.0 %)`, with what is not 0 only.
fn account(arm: &Arm, names: &Names) -> String {
    let counters = &arm.counters;
    let sent = figures::several(counters.sent, names.unit());
    let did = if arm.mode == Mode::Connect { "made" } else { "sent" };
    let mut parts = vec![match (counters.received.map(figures::count), arm.mode) {
        (Some(_), Mode::Receive) if !is_asked(arm) => format!("{sent} received"),
        (Some(received), Mode::Send) => format!("{sent} sent, {received} received by the server"),
        (Some(received), _) => format!("{sent} {did}, {received} received"),
        (None, Mode::Send) => format!("{sent} sent; how many arrived is not known"),
        (None, _) => format!("{sent} {did}"),
    }];
    let share = match counters.sent {
        0 => String::new(),
        sent => format!(" ({})", figures::percent(counters.lost as f64 / sent as f64)),
    };
    let refused = if arm.mode == Mode::Connect { "refused" } else { "refused by a full queue" };
    for (name, number, aside) in [
        ("lost", counters.lost, share.as_str()),
        ("duplicated", counters.duplicated, ""),
        ("reordered", counters.reordered, ""),
        ("late", counters.late, ""),
        ("corrupted", counters.corrupted, ""),
        (refused, counters.refused, ""),
    ] {
        if number > 0 {
            parts.push(format!("{} {name}{aside}", figures::count(number)));
        }
    }
    parts.join(", ")
}

/// Whether what was received had been asked for, a message each: so it is without a connection, and only that has
/// round trips.
fn is_asked(arm: &Arm) -> bool {
    arm.rtt_ns.max.is_some() || arm.lateness_ns.is_some()
}

fn is_clean(arm: &Arm) -> bool {
    let it = &arm.counters;
    let is_complete = it.received.is_none_or(|received| received == it.sent);
    is_complete && [it.lost, it.duplicated, it.reordered, it.late, it.corrupted, it.refused] == [0; 6]
}

#[cfg(test)]
mod tests {
    use sockkit_stats::Estimate;
    use sockkit_stats::result::{Counters, Latency};

    use super::super::samples;
    use super::*;

    /// What is said of one arm that sent a thousand.
    fn said(change: impl FnOnce(&mut Arm)) -> String {
        let mut document = samples::comparison();
        document.arms.truncate(1);
        let arm = &mut document.arms[0];
        arm.counters = Counters { sent: 1000, received: Some(1000), ..Counters::default() };
        change(arm);
        let statements = statements(&document, &Names::new(&document.arms));
        let [statement] = &statements[..] else { panic!("{statements:?}") };
        statement.text.clone()
    }

    #[test]
    fn what_comes_back_is_told_with_what_was_compared() {
        let verified = |verify| said(|arm| arm.verify = verify);
        let back = "counters: 1,000 messages sent, all came back once";
        assert_eq!(verified(Some(Verify::Full)), format!("{back} and as they were sent"));
        let sample = "; one in a hundred was compared with what was sent";
        assert_eq!(verified(Some(Verify::Sample)), format!("{back}{sample}"));
        assert_eq!(verified(Some(Verify::Off)), format!("{back}; contents were not compared"));
        assert_eq!(verified(None), back, "a result that does not say");
        let made = said(|arm| arm.mode = Mode::Connect);
        assert_eq!(made, "counters: 1,000 connections made, all answered once and as was sent");
    }

    #[test]
    fn one_way_nothing_comes_back() {
        let one_way = |mode, received, lost| {
            said(|arm| {
                (arm.mode, arm.verify, arm.rtt_ns) = (mode, None, Latency::default());
                (arm.counters.received, arm.counters.lost) = (received, lost);
            })
        };
        assert_eq!(
            one_way(Mode::Send, Some(1000), 0),
            "counters: 1,000 messages sent, all of them received by the server"
        );
        assert_eq!(
            one_way(Mode::Send, Some(360), 640),
            "counters of tcp: 1,000 messages sent, 360 received by the server, 640 lost (64 %)"
        );
        assert_eq!(
            one_way(Mode::Send, None, 0),
            "counters: 1,000 messages sent, none refused here; how many arrived is not known"
        );
        assert_eq!(
            one_way(Mode::Receive, Some(1000), 0),
            "counters: 1,000 messages received; contents were not compared"
        );
        let asked = said(|arm| {
            (arm.mode, arm.verify) = (Mode::Receive, None);
            arm.rtt_ns.max = Some(Estimate::bare(1.0));
        });
        assert_eq!(asked, "counters: 1,000 messages sent, each answered once; contents were not compared");
    }
}
