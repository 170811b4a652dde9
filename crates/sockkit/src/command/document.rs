//! Results that were saved, here or by a stranger.
//!
//! Nothing in such a file is trusted but its form: it is read up to a bound, and whatever shows or merges it gets along
//! with any number and any place in `arms`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use sockkit_core::{Error, ErrorKind};
use sockkit_stats::result::{Document, SCHEMA};

/// Bytes of a document. The largest that a comparison writes has a few MB.
const BYTES_MAX: u64 = 64 << 20;

/// Values in a document, by the commas between them. They bound the memory that it takes when it is read, which bytes
/// alone do not: an empty text has three of them and takes thirty. What sockkit writes has about fifty for a value, so
/// of that the bytes are the bound.
const VALUES_MAX: usize = 1_500_000;

/// Arms of a document; more are no result that sockkit has measured.
const ARMS_MAX: usize = 10_000;

/// Reads a saved result; `-` is stdin.
///
/// # Errors
/// Of kind [`ErrorKind::Local`] if the file cannot be read, [`ErrorKind::Usage`] if it holds something else, with the
/// line and the column where that shows.
pub(crate) fn read(path: &Path) -> Result<Document, Error> {
    let name = name(path);
    let bytes = match path == Path::new("-") {
        true => bounded(io::stdin().lock()),
        false => File::open(path).and_then(bounded),
    };
    // A path that is not there is no peer that cannot be reached.
    let bytes = bytes.map_err(|error| Error::io("read", &name, &error).with_kind(ErrorKind::Local))?;
    parse(&bytes).map_err(|cause| Error::new(ErrorKind::Usage, "read", &name, cause))
}

/// Why a result that is written so could not be read again, if it is too large for that.
pub(crate) fn too_large(document: &Document, json: &[u8]) -> Option<String> {
    too_long(json).or_else(|| too_full(json)).or_else(|| too_many(document))
}

/// How a result is called in what is said of it.
pub(crate) fn name(path: &Path) -> String {
    match path == Path::new("-") {
        true => "stdin".to_owned(),
        false => path.display().to_string(),
    }
}

fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    too_long(&bytes).map_or(Ok(bytes), |why| Err(io::Error::other(why)))
}

fn too_long(bytes: &[u8]) -> Option<String> {
    (bytes.len() as u64 > BYTES_MAX).then(|| format!("it has more than {} MiB", BYTES_MAX >> 20))
}

fn too_full(bytes: &[u8]) -> Option<String> {
    // Those within texts count as well: there are few.
    let values = bytes.iter().filter(|&&byte| byte == b',').count();
    (values > VALUES_MAX).then(|| format!("it has about {values} values, and {VALUES_MAX} are the most"))
}

fn too_many(document: &Document) -> Option<String> {
    let arms = document.arms.len();
    (arms > ARMS_MAX).then(|| format!("it has {arms} arms, and {ARMS_MAX} are the most"))
}

/// What every version of the format has.
#[derive(Deserialize)]
struct Head {
    schema: Option<serde_json::Value>,
}

/// The document, or in words why it is none.
fn parse(bytes: &[u8]) -> Result<Document, String> {
    let head: Head = serde_json::from_slice(bytes).map_err(|error| {
        match serde_json::from_slice::<IgnoredAny>(bytes) {
            // Well written, and something else than an object with a name in it.
            Ok(_) => format!("it is no {SCHEMA}"),
            Err(_) if bytes.iter().all(u8::is_ascii_whitespace) => "it is empty".to_owned(),
            Err(_) => format!("it is no JSON: {error}"),
        }
    })?;
    match head.schema {
        Some(schema) if schema == SCHEMA => {}
        Some(schema) => {
            let mut schema = schema.to_string();
            if schema.len() > 80 {
                schema = "something else".to_owned();
            }
            return Err(format!("its schema is {schema}, and wanted is {SCHEMA:?}"));
        }
        None => return Err(format!("it is no {SCHEMA}: it has no schema")),
    }
    if let Some(why) = too_full(bytes) {
        return Err(why);
    }
    let document: Document =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no whole {SCHEMA}: {error}"))?;
    too_many(&document).map_or(Ok(document), Err)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::command::report::one_of;
    use crate::render::csv::csv;
    use crate::render::html::page;
    use crate::render::json::json as to_json;
    use crate::render::markdown::markdown;
    use crate::render::text::{Screen, text};
    use crate::render::view::samples;

    #[test]
    fn what_is_no_result_says_where_and_why() {
        for (text, cause) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("[]", "it is no sockkit.result/1"),
            ("{}", "it is no sockkit.result/1: it has no schema"),
            ("{\"schema\": \"other/2\"}", "its schema is \"other/2\", and wanted is \"sockkit.result/1\""),
            ("{\n  \"schema\": }", "it is no JSON: expected value at line 2 column 13"),
            ("{\"schema\": \"sockkit.result/1\",\n \"seed\": 1}", "line 2 column 11"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(cause), "{text:?}: {error}");
        }
        let long = json!({ "schema": "x".repeat(1000) }).to_string();
        assert!(parse(long.as_bytes()).unwrap_err().len() < 200);
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes()).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn fields_of_a_later_version_are_ignored_and_missing_ones_told() {
        let mut document = serde_json::to_value(samples::comparison()).unwrap();
        document["arms"][0]["colour"] = json!("blue");
        assert_eq!(parse(document.to_string().as_bytes()).unwrap(), samples::comparison());
        document["arms"][0].as_object_mut().unwrap().remove("counters");
        let error = parse(document.to_string().as_bytes()).unwrap_err();
        assert!(error.contains("missing field `counters` at line 1 column"), "{error}");
        let mut many = samples::ping();
        many.arms = vec![many.arms[0].clone(); ARMS_MAX + 1];
        assert!(parse(to_json(&many).as_bytes()).unwrap_err().contains("10001 arms"));
        assert!(too_large(&many, b"{}").unwrap().contains("10001 arms"));
        let mut long = samples::ping();
        long.warnings = vec![String::new(); VALUES_MAX + 1];
        assert!(parse(to_json(&long).as_bytes()).unwrap_err().contains("values, and 1500000 are the most"));
        assert!(too_large(&long, to_json(&long).as_bytes()).unwrap().contains("values"));
        let fits = samples::comparison();
        assert_eq!(too_large(&fits, to_json(&fits).as_bytes()), None);
    }

    #[test]
    fn a_file_that_never_ends_is_not_read_to_its_end() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /dev/zero: it has more than 64 MiB");
        let error = read(Path::new("/no/such")).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Local, "cannot read /no/such: no such file or directory")
        );
    }

    /// All values of a document, as paths to them.
    fn pointers(value: &Value, here: &str, all: &mut Vec<String>) {
        all.push(here.to_owned());
        match value {
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(place, item)| pointers(item, &format!("{here}/{place}"), all));
            }
            Value::Object(fields) => {
                fields.iter().for_each(|(name, item)| pointers(item, &format!("{here}/{name}"), all));
            }
            _ => {}
        }
    }

    fn anything() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(|number| json!(number)),
            prop_oneof![Just(0.0), Just(-1.0), Just(1e308), Just(-1e308), Just(5e-324)]
                .prop_map(|it| json!(it)),
            "\\PC{0,20}".prop_map(Value::from),
            "[\\x00-\\x1f\u{202e}|`<]{0,8}".prop_map(Value::from),
            Just(json!([])),
            Just(json!({})),
            Just(json!("faster")),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// What can be read can be shown and merged, whatever it says.
        #[test]
        fn no_document_makes_an_output_panic(
            sample in 0..5_usize,
            changes in prop::collection::vec((any::<prop::sample::Index>(), anything()), 1..6),
            width in 20..200_usize,
            (colour, unicode) in any::<(bool, bool)>(),
        ) {
            let samples = [samples::comparison, samples::sweep, samples::open_loop, samples::ping, samples::all_null];
            let mut document = serde_json::to_value(samples[sample]()).unwrap();
            for (place, value) in changes {
                let mut all = Vec::new();
                pointers(&document, "", &mut all);
                *document.pointer_mut(&all[place.index(all.len())]).unwrap() = value;
            }
            let Ok(document) = parse(document.to_string().as_bytes()) else { return Ok(()) };
            let shown = text(&document, &Screen { width, colour, unicode });
            let allowed = |letter: char| letter == '\n' || (colour && letter == '\u{1b}') || !letter.is_control();
            prop_assert!(shown.chars().all(allowed), "{shown:?}");
            prop_assert!(unicode || shown.is_ascii(), "{shown}");
            let _ = (csv(&document), markdown(&document), to_json(&document), page(&document));
            // Merged with itself, and with one that nobody has touched.
            for mut other in [document.clone(), samples[sample]()] {
                other.environment.host.push_str(" 2");
                let named = |name: &str, document| (name.to_owned(), document);
                if let Ok(merged) = one_of(vec![named("a", document.clone()), named("b", other)]) {
                    let _ = text(&merged, &Screen { width, colour, unicode });
                }
            }
        }
    }
}
