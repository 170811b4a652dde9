//! `sockkit report`: saved results, shown again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;
use sockkit_core::{Error, ErrorKind};
use sockkit_stats::merge;
use sockkit_stats::result::{Document, Environment};

use super::document;
use super::outputs::Outputs;
use crate::cli::ReportArgs;

/// What is never the same twice, and says nothing against merging.
const PASSING: [&str; 3] = ["started", "load", "steal_percent"];

pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    if args.results.iter().filter(|path| *path == Path::new("-")).count() > 1 {
        return Err(usage("stdin", "it can be read only once").into());
    }
    let outputs = Outputs::new(&args.outputs)?;
    keep_results(&args.results, &outputs)?;
    let read = |path| Ok::<_, Error>((document::name(path), document::read(path)?));
    let results = args.results.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    outputs.deliver(&one_of(results)?)
}

/// A result is worth more than what is drawn from it: writing over one that is read here is a slip.
fn keep_results(results: &[impl AsRef<Path>], outputs: &Outputs) -> Result<(), Error> {
    for path in outputs.files() {
        let Ok(file) = fs::canonicalize(path) else { continue };
        if results.iter().any(|result| fs::canonicalize(result).is_ok_and(|result| result == file)) {
            let cause = "it is one of the results that are read, and would be gone";
            return Err(Error::new(ErrorKind::Usage, "write", path.display(), cause));
        }
    }
    Ok(())
}

fn usage(object: &str, cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, "read", object, cause)
}

/// A single result as it is, several merged.
pub(super) fn one_of(results: Vec<(String, Document)>) -> Result<Document, Error> {
    let arms: Vec<_> = results.iter().map(|(_, document)| document.arms.as_slice()).collect();
    if arms.len() > 1 {
        refuse_the_same_twice(&results)?;
        let merged = merge(&arms).map_err(|error| usage("the results as one", error.to_string()))?;
        let mut warnings: Vec<_> = not_at_once(&results).into_iter().collect();
        warnings.extend(differences(&results));
        warnings.extend(merged.warnings);
        let all = results.iter().flat_map(|(name, document)| {
            document.warnings.iter().map(move |warning| format!("{name}: {warning}"))
        });
        warnings.extend(all);
        let (_, first) = results.into_iter().next().ok_or_else(|| usage("the results", "there are none"))?;
        return Ok(Document {
            arms: merged.arms,
            // They are of rounds that one host has paired, and there are no pairs of several.
            verdicts: Vec::new(),
            noise_floor: Vec::new(),
            experiment: None,
            warnings,
            ..first
        });
    }
    results
        .into_iter()
        .next()
        .map(|(_, document)| document)
        .ok_or_else(|| usage("the results", "there are none"))
}

/// One measurement is no two hosts'.
fn refuse_the_same_twice(results: &[(String, Document)]) -> Result<(), Error> {
    let of = |document: &Document| {
        (document.environment.host.clone(), document.seed, document.environment.started.clone())
    };
    let mut seen = HashMap::new();
    for (name, document) in results {
        if let Some(other) = seen.insert(of(document), name) {
            let (host, seed, started) = of(document);
            let what = format!("host {host}, seed {seed}, started {started}");
            let cause =
                format!("{other} and {name} are one measurement ({what}), which would be added to itself");
            return Err(usage("the results as one", cause));
        }
    }
    Ok(())
}

/// The warning that there is no moment at which all were measured, as far as their clocks can be believed.
fn not_at_once(results: &[(String, Document)]) -> Option<String> {
    let spans: Option<Vec<_>> =
        results.iter().map(|(name, document)| Some((name, span(document)?))).collect();
    let spans = spans?;
    let (last, (begin, _)) = spans.iter().max_by(|a, b| a.1.0.total_cmp(&b.1.0))?;
    let (first, (_, end)) = spans.iter().min_by(|a, b| a.1.1.total_cmp(&b.1.1))?;
    (begin > end).then(|| {
        format!(
            "{last} began when {first} had ended, so the rates shown were never reached: they are sums of what was \
             measured one after the other. For before and after there is sockkit compare --against"
        )
    })
}

/// When a measurement began and when it was over, in seconds since 1970. Without its warm-ups and pauses it is a little
/// short where only the arms tell how long it was.
fn span(document: &Document) -> Option<(f64, f64)> {
    let started: Timestamp = document.environment.started.parse().ok()?;
    let begin = started.as_millisecond() as f64 / 1e3;
    let of_arms = document.arms.iter().map(|arm| arm.seconds).sum();
    let seconds = document.experiment.as_ref().map_or(of_arms, |experiment| experiment.elapsed_seconds);
    Some((begin, begin + seconds))
}

/// What is not the same for all of them, one sentence each.
fn differences(results: &[(String, Document)]) -> Vec<String> {
    let Some(((first_name, first), others)) = results.split_first() else { return Vec::new() };
    let mut warnings = vec![format!(
        "merged from {} results: counters and rates are sums over them, and the environment shown is that of \
             {first_name}",
        results.len()
    )];
    if results.iter().any(|(_, document)| !document.verdicts.is_empty()) {
        warnings.push("verdicts are those of one host each and were not merged".to_owned());
    }
    for (name, document) in others {
        if document.command != first.command {
            warnings.push(format!("{name} was made by another command: {}", document.command));
        }
        for (what, here, there) in environment_differences(&first.environment, &document.environment) {
            warnings.push(format!("{what} is {here} in {first_name}, and {there} in {name}"));
        }
    }
    warnings
}

/// The names of the fields in which two environments differ, each with both values, by their names in the document.
pub(super) fn environment_differences(
    left: &Environment,
    right: &Environment,
) -> Vec<(String, String, String)> {
    let [left, right] = [left, right].map(|environment| {
        let mut fields = BTreeMap::new();
        flatten(&serde_json::to_value(environment).unwrap_or_default(), "", &mut fields);
        fields
    });
    let find =
        |fields: &BTreeMap<String, String>, name| fields.get(name).map_or("unknown".into(), String::clone);
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let pairs = names.into_iter().map(|name| (name.clone(), find(&left, name), find(&right, name)));
    pairs.filter(|(_, left, right)| left != right).collect()
}

/// The values of an object and of those in it, as text.
fn flatten(value: &Value, name: &str, fields: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(inner) => {
            for (key, value) in inner.iter().filter(|(key, _)| !PASSING.contains(&key.as_str())) {
                flatten(value, &format!("{name}{}{key}", if name.is_empty() { "" } else { " " }), fields);
            }
        }
        Value::Null => {}
        Value::String(text) => drop(fields.insert(name.to_owned(), text.clone())),
        other => drop(fields.insert(name.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::view::samples;

    #[test]
    fn one_result_is_shown_as_it_is() {
        let one = one_of(vec![("a".into(), samples::comparison())]).unwrap();
        assert_eq!(one, samples::comparison());
    }

    #[test]
    fn several_are_added_up_and_what_differs_is_named() {
        let (mut left, mut right) = (samples::comparison(), samples::comparison());
        left.environment.started = "2026-01-02T03:04:55Z".into();
        right.environment.kernel = "Linux 6.1".into();
        right.environment.sysctls.clear();
        right.command = "sockkit compare --seed 43".into();
        let merged = one_of(vec![("a".into(), left), ("b".into(), right)]).unwrap();
        assert_eq!(merged.arms.len(), 3);
        assert_eq!(merged.arms[0].counters.sent, 2 * samples::comparison().arms[0].counters.sent);
        assert!(merged.verdicts.is_empty() && merged.experiment.is_none());
        for warning in [
            "merged from 2 results: counters and rates are sums over them, and the environment shown is that of a",
            "verdicts are those of one host each and were not merged",
            "b was made by another command: sockkit compare --seed 43",
            "kernel is Linux 6.18.44 x86_64 in a, and Linux 6.1 in b",
            "sysctls net.core.rmem_max is 212992 in a, and unknown in b",
        ] {
            assert!(merged.warnings.iter().any(|known| known == warning), "{:?}", merged.warnings);
        }
        assert!(!merged.warnings.iter().any(|warning| warning.contains("started")), "{:?}", merged.warnings);
        assert!(!merged.warnings.iter().any(|warning| warning.contains("began")), "{:?}", merged.warnings);
    }

    #[test]
    fn before_and_after_are_not_at_the_same_time() {
        let (before, mut after) = (samples::comparison(), samples::comparison());
        // Of a comparison it is known how long it took, 51.2 s.
        for (started, is_after) in [("2026-01-02T03:04:56Z", false), ("2026-01-02T03:04:57Z", true)] {
            after.environment.started = started.into();
            let both = one_of(vec![("a".into(), after.clone()), ("b".into(), before.clone())]).unwrap();
            let told = both.warnings[0]
                .starts_with("a began when b had ended, so the rates shown were never reached");
            assert_eq!(told, is_after, "{:?}", both.warnings);
        }
        after.environment.started = "yesterday".into();
        let both = one_of(vec![("a".into(), after), ("b".into(), before)]).unwrap();
        assert!(both.warnings[0].starts_with("merged from"), "{:?}", both.warnings);
    }

    #[test]
    fn a_result_is_not_added_to_itself() {
        let twice = vec![("a".into(), samples::comparison()), ("./a".into(), samples::comparison())];
        let error = one_of(twice).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("a and ./a are one measurement (host "), "{error}");
    }

    #[test]
    fn a_histogram_that_is_none_is_refused() {
        let mut broken = samples::ping();
        broken.arms[0].histogram = Some("AAAA".into());
        let mut other = broken.clone();
        other.environment.host = "other".into();
        let error = one_of(vec![("a".into(), broken), ("b".into(), other)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("the histogram of arm udp://127.0.0.1:7"), "{error}");
    }
}
