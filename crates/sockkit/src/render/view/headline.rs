//! What was found, in a sentence or two.

use sockkit_stats::result::{Document, Metric};

use super::Statement;
use super::names::{Names, figure};
use crate::render::figures;
use crate::render::finding::{self, Finding, Standing};
use crate::render::text::Tone;

/// With more than so many arms, sentences about each are no headline any more.
const EACH_MAX: usize = 6;

/// What to do about a generator that did not keep its schedule.
const REMEDY: &str =
    "what helps: a lower --rate, more --threads with as many --connections, --spin, a quieter machine";

/// The verdicts, by the metric that is asked for first: round trips where there are any.
pub(super) fn of_comparison(document: &Document, names: &Names) -> Vec<Statement> {
    let Some(leading) = finding::leading(document) else {
        let blocks = document.experiment.as_ref().map_or(0, |experiment| experiment.blocks);
        return vec![Statement::new(
            format!("nothing can be said: {} measured", figures::several(blocks, "complete block")),
            Tone::Strong,
        )];
    };
    let led = document.verdicts.iter().filter(|verdict| verdict.metric == leading).count();
    let findings = match led {
        0..=EACH_MAX => finding::findings(document, leading, |verdict| names.arm(verdict)),
        _ => finding::findings(document, leading, |verdict| &verdict.arm),
    };
    let mut statements: Vec<_> =
        findings.iter().take(EACH_MAX).map(|finding| statement(finding, names)).collect();
    if let Some(more) = findings.len().checked_sub(EACH_MAX).filter(|more| *more > 0) {
        statements.push(Statement::plain(format!(
            "{} more in the table",
            figures::several(more as u64, "finding")
        )));
    }
    statements.extend(saturated(document, names));
    statements
}

fn statement(finding: &Finding<'_>, names: &Names) -> Statement {
    let tone = match finding.standing() {
        Standing::Faster => Tone::Better,
        Standing::Slower => Tone::Worse,
        Standing::Mixed | Standing::Elsewhere | Standing::Level => Tone::Strong,
        Standing::Unknown => Tone::Plain,
    };
    Statement::new(finding.sentence(&|metric| names.metric(metric), true), tone)
}

/// One sentence an arm.
pub(super) fn of_bench(document: &Document, names: &Names) -> Vec<Statement> {
    let mut statements = saturated(document, names);
    if document.arms.is_empty() {
        statements.push(Statement::plain("nothing was measured"));
    }
    if document.arms.len() > EACH_MAX {
        statements.push(Statement::plain(figures::several(document.arms.len() as u64, "arm")));
    } else {
        for (index, arm) in document.arms.iter().enumerate() {
            let rate = figure(arm, Metric::Rate).map(|rate| figures::rate(rate.estimate));
            let bytes = arm.bytes_per_s.map(figures::throughput);
            let percentile = |name: &str, metric| {
                let found = figure(arm, metric).filter(|_| !arm.saturated);
                found.map(|it| format!("{name} {}", figures::duration(it.estimate)))
            };
            let found = [rate, bytes, percentile("p50", Metric::P50), percentile("p99", Metric::P99)];
            let found: Vec<_> = found.into_iter().flatten().collect();
            let found = if found.is_empty() { "nothing was measured".to_owned() } else { found.join(", ") };
            let text =
                format!("{}: {found}{}", names.label(index), finding::arrived(arm).unwrap_or_default());
            statements.push(Statement::new(text, Tone::Strong));
        }
    }
    statements.push(Statement::new(names.common(), Tone::Dim));
    statements.retain(|statement| !statement.text.is_empty());
    statements
}

/// Arms whose generator did not keep its schedule, how late it was, and what helps.
fn saturated(document: &Document, names: &Names) -> Vec<Statement> {
    let arms = document.arms.iter().enumerate().filter(|(_, arm)| arm.saturated);
    let mut statements: Vec<_> = arms
        .take(EACH_MAX)
        .map(|(index, arm)| {
            let reason = arm.saturation.as_deref().unwrap_or("the load generator did not keep its schedule");
            let text = format!(
                "SATURATED: {}: {reason}: response and service times are withheld",
                names.label(index)
            );
            Statement::new(text, Tone::Loud)
        })
        .collect();
    if !statements.is_empty() {
        statements.push(Statement::new(REMEDY, Tone::Warning));
    }
    statements
}

#[cfg(test)]
mod tests {
    use sockkit_stats::result::{Counters, Mode, Word};

    use super::super::samples;
    use super::*;

    fn sentences(document: &Document) -> Vec<String> {
        let names = Names::new(&document.arms);
        of_comparison(document, &names).into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn each_arm_has_a_sentence_with_verdict_ratio_and_interval() {
        assert_eq!(
            sentences(&samples::comparison()),
            [
                "unix is faster than tcp: p50 0.62x [0.60, 0.65]",
                "no difference shown between udp and tcp: p50 1.01x [0.98, 1.04]; a difference of 4.2 % or more would \
                 likely have been seen; but worse by CPU/msg 1.09x [1.06, 1.12]",
            ]
        );
    }

    #[test]
    fn what_cannot_be_said_is_not_said() {
        let mut document = samples::comparison();
        for verdict in &mut document.verdicts {
            (verdict.blocks, verdict.detectable, verdict.verdict) = (3, None, Word::NoDifferenceShown);
        }
        assert!(sentences(&document)[1].ends_with("p50 1.01x [0.98, 1.04]; 3 blocks cannot show any"));
        document.verdicts.iter_mut().for_each(|verdict| verdict.ratio = None);
        assert_eq!(sentences(&document), ["nothing can be said: 24 complete blocks measured"]);
    }

    #[test]
    fn an_interval_beside_1_that_shows_nothing_says_why() {
        let mut document = samples::comparison();
        let ratio = document.verdicts.iter_mut().find(|verdict| verdict.arm == "udp").unwrap();
        (ratio.ratio, ratio.threshold) =
            (Some(sockkit_stats::Estimate { estimate: 1.02, low: Some(1.01), high: Some(1.03) }), Some(0.02));
        assert!(sentences(&document)[1].contains("; the interval does not clear the threshold of 2.0 %"));
    }

    #[test]
    fn a_saturated_generator_is_told_with_its_lateness_and_what_helps() {
        let mut document = samples::open_loop();
        let said = |document: &Document| {
            let statements = of_bench(document, &Names::new(&document.arms));
            [statements[0].text.clone(), statements[1].text.clone()]
        };
        let withheld = "response and service times are withheld";
        let late = "the load generator itself was 1.80 µs late at p99, where the response time was 9.10 µs";
        assert_eq!(said(&document), [format!("SATURATED: unix: {late}: {withheld}"), REMEDY.to_owned()]);
        document.arms[1].saturation = None;
        let unknown = "the load generator did not keep its schedule";
        assert_eq!(said(&document)[0], format!("SATURATED: unix: {unknown}: {withheld}"));
    }

    #[test]
    fn a_rate_of_what_was_only_sent_says_so() {
        let headline = |received, lost| {
            let mut document = samples::comparison();
            document.arms.truncate(1);
            let arm = &mut document.arms[0];
            (arm.mode, arm.rtt_ns) = (Mode::Send, Default::default());
            arm.counters = Counters { sent: 1000, received, lost, ..Counters::default() };
            of_bench(&document, &Names::new(&document.arms)).swap_remove(0).text
        };
        let rate = "tcp: 80.1 k/s, 5.13 MB/s";
        assert_eq!(headline(None, 0), format!("{rate} sent; how much of it arrived is not known"));
        assert_eq!(headline(Some(360), 640), format!("{rate} sent, of which 36 % arrived"));
        assert_eq!(headline(Some(1000), 0), rate);
    }

    #[test]
    fn a_sweep_is_summed_up() {
        assert_eq!(
            sentences(&samples::sweep()),
            [
                "unix is faster than tcp: p50 0.60x to 0.70x in 6 of 8 arms; no difference shown between unix and tcp: p50 \
                 0.97x to 0.99x in 2 of 8 arms"
            ]
        );
    }
}
