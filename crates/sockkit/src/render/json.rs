//! A document as JSON, the form in which it is kept.

use sockkit_stats::result::Document;

use super::letters::in_json;

/// The document, indented, with a line feed at the end.
pub(crate) fn json(document: &Document) -> String {
    // A figure that is no number becomes null, which is what it is.
    let mut text =
        serde_json::to_string_pretty(document).expect("a document has nothing but strings for keys");
    text.push('\n');
    in_json(text)
}

/// The document on one line, behind others that are no documents.
pub(crate) fn json_line(document: &Document) -> String {
    let mut text = serde_json::to_string(document).expect("a document has nothing but strings for keys");
    text.push('\n');
    in_json(text)
}

#[cfg(test)]
mod tests {
    use super::super::view::samples;
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for document in [samples::comparison(), samples::open_loop(), samples::ping(), samples::all_null()] {
            let text = json(&document);
            assert!(text.starts_with("{\n  \"schema\": \"sockkit.result/1\",\n") && text.ends_with("\n}\n"));
            assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), document);
        }
    }
}
