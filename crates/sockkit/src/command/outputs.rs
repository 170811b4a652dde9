//! Where a result goes, and that it gets there.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sockkit_core::{Error, ErrorKind};
use sockkit_stats::result::Document;

use super::{file, output, screen};
use crate::cli::{OutputArgs, Place};
use crate::exit;
use crate::render::csv::csv;
use crate::render::html::page;
use crate::render::json::{json, json_line};
use crate::render::markdown::markdown;
use crate::render::text::text;

/// The outputs that were asked for. Without one the result goes to stdout as a table.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    wanted: Vec<(Form, Place)>,
}

/// A form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
    Markdown,
    Html,
    /// JSON on one line, behind others of the same kind.
    Line,
}

impl Form {
    fn option(self) -> &'static str {
        match self {
            Self::Json => "--json",
            Self::Csv => "--csv",
            Self::Markdown => "--markdown",
            Self::Html => "--html",
            Self::Line => "--json-lines",
        }
    }

    fn render(self, document: &Document) -> String {
        match self {
            Self::Json => json(document),
            Self::Csv => csv(document),
            Self::Markdown => markdown(document),
            Self::Html => page(document),
            Self::Line => json_line(document),
        }
    }
}

impl Outputs {
    /// Looks whether they can be written, as far as that can be known before there is anything to write.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Usage`] if two of them go to the same place, [`ErrorKind::Local`] if a file cannot be
    /// written.
    pub(crate) fn new(args: &OutputArgs) -> Result<Self, Error> {
        let all = [
            (Form::Json, &args.json),
            (Form::Csv, &args.csv),
            (Form::Markdown, &args.markdown),
            (Form::Html, &args.html),
        ];
        let mut wanted: Vec<(Form, Place)> = Vec::new();
        for (form, place) in all.into_iter().filter_map(|(form, place)| Some((form, place.clone()?))) {
            if let Some((other, _)) = wanted.iter().find(|(_, taken)| *taken == place) {
                let advice = format!("name a file, as in {}=FILE", form.option());
                return Err(only_one(*other, form, &place).with_advice(advice));
            }
            if let Place::File(path) = &place {
                file::check(path)?;
            }
            wanted.push((form, place));
        }
        Ok(Self { wanted })
    }

    /// The same with the result as one line of JSON on stdout.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Usage`] if something else goes to stdout.
    pub(crate) fn with_line(mut self) -> Result<Self, Error> {
        if let Some((other, _)) = self.wanted.iter().find(|(_, taken)| *taken == Place::Stdout) {
            return Err(only_one(*other, Form::Line, &Place::Stdout));
        }
        self.wanted.push((Form::Line, Place::Stdout));
        Ok(self)
    }

    /// Whether stdout has a document, and nothing else may be written there.
    pub(crate) fn take_stdout(&self) -> bool {
        self.wanted.iter().any(|(_, place)| *place == Place::Stdout)
    }

    /// The files that will be written.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.wanted.iter().filter_map(|(_, place)| match place {
            Place::Stdout => None,
            Place::File(path) => Some(PathBuf::as_path(path)),
        })
    }

    /// Writes the result to where it was wanted, and the table to stdout if nothing else goes there. A file that cannot
    /// be written does not keep the rest from being written: measuring again takes longer than copying from a screen.
    /// A stdout that nobody reads is a quiet end.
    ///
    /// # Errors
    /// The first one, with the operation, the file and the cause.
    pub(crate) fn deliver(&self, document: &Document) -> Result<()> {
        let mut result = Ok(());
        for (form, place) in &self.wanted {
            if let Place::File(path) = place {
                let written = file::write(path, form.render(document).as_bytes());
                result = result.and(written.map_err(anyhow::Error::from));
            }
        }
        let to_stdout = self.wanted.iter().find(|(_, place)| *place == Place::Stdout);
        let shown = match to_stdout {
            Some((form, _)) => form.render(document),
            None => text(document, &screen::of_stdout()),
        };
        result.and(quietly(output::print(shown.as_bytes())))
    }
}

/// Two outputs go to the same place.
fn only_one(one: Form, other: Form, place: &Place) -> Error {
    let to = match place {
        Place::Stdout => "stdout".to_owned(),
        Place::File(path) => path.display().to_string(),
    };
    let options = format!("{} and {}", one.option(), other.option());
    Error::new(ErrorKind::Usage, "write", options, format!("only one of them can go to {to}"))
}

/// Whoever has read enough and closed the pipe gets what a verdict says as the exit code all the same.
fn quietly(printed: Result<()>) -> Result<()> {
    match printed {
        Err(error) if exit::is_closed_stdout(&error) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use super::*;
    use crate::render::view::samples;

    fn to(path: &Path) -> Option<Place> {
        Some(Place::from(path.to_owned()))
    }

    #[test]
    fn one_document_goes_to_stdout_at_most() {
        let stdout = Some(Place::Stdout);
        let args = OutputArgs { json: stdout.clone(), markdown: stdout.clone(), ..OutputArgs::default() };
        let error = Outputs::new(&args).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write --json and --markdown: only one of them can go to stdout (name a file, as in --markdown=FILE)"
        );
        assert_eq!(exit::number(&error.into()), 2);
        let one = Outputs::new(&OutputArgs { csv: stdout, ..OutputArgs::default() }).unwrap();
        assert!(one.take_stdout());
        let same = to(Path::new("r"));
        let args = OutputArgs { json: same.clone(), html: same, ..OutputArgs::default() };
        assert!(Outputs::new(&args).unwrap_err().to_string().contains("only one of them can go to r"));
        assert!(!Outputs::new(&OutputArgs::default()).unwrap().take_stdout());
    }

    #[test]
    fn a_file_that_cannot_be_written_does_not_cost_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let [json, csv] = ["r.json", "sub/r.csv"].map(|name| directory.path().join(name));
        fs::create_dir(csv.parent().unwrap()).unwrap();
        let args = OutputArgs { json: to(&json), csv: to(&csv), html: None, markdown: None };
        let outputs = Outputs::new(&args).unwrap();
        assert_eq!(outputs.files().collect::<Vec<_>>(), [json.as_path(), csv.as_path()]);
        fs::remove_dir(csv.parent().unwrap()).unwrap();
        let error = outputs.deliver(&samples::ping()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot write {}: no such file or directory", csv.display()));
        assert_eq!(exit::number(&error), 6);
        let written: Document = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
        assert_eq!(written, samples::ping());
        assert!(Outputs::new(&args).is_err(), "it would have been told before measuring");
    }

    #[test]
    fn a_closed_stdout_is_quiet_and_a_full_one_is_not() {
        let error = |kind: io::ErrorKind| Err(exit::not_written(&kind.into()));
        assert!(quietly(error(io::ErrorKind::BrokenPipe)).is_ok());
        assert!(quietly(error(io::ErrorKind::StorageFull)).is_err());
    }
}
