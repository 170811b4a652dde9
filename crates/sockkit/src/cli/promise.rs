//! What a search for the highest rate has to keep: `p99<1ms`, `p99<=1ms,loss<0.1%`.

use std::fmt;

use crate::units;

/// Terms that all have to hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Promise {
    terms: Vec<Term>,
    /// As it was typed.
    typed: String,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Term {
    /// Of what.
    pub(crate) figure: Figure,
    /// In ns; of loss, in percent.
    pub(crate) limit: f64,
    /// Whether the limit itself is still good.
    pub(crate) inclusive: bool,
}

/// What may be promised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Figure {
    /// A percentile of the response, as a fraction.
    Quantile(f64),
    /// The longest response.
    Max,
    /// The arithmetic mean.
    Mean,
    /// The share of messages that never come back.
    Loss,
}

/// The figures by name.
const FIGURES: [(&str, Figure); 8] = [
    ("p50", Figure::Quantile(0.5)),
    ("p90", Figure::Quantile(0.9)),
    ("p99", Figure::Quantile(0.99)),
    ("p999", Figure::Quantile(0.999)),
    ("p99.9", Figure::Quantile(0.999)),
    ("max", Figure::Max),
    ("mean", Figure::Mean),
    ("loss", Figure::Loss),
];

impl Promise {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let terms = text.split(',').map(|part| Term::parse(part.trim())).collect::<Result<_, _>>();
        Ok(Self {
            terms: terms.map_err(|why| format!("{why}: write p99<1ms or p99<=1ms,loss<0.1%"))?,
            typed: text.into(),
        })
    }

    /// All that has to hold; there is at least one.
    pub(crate) fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The highest quantile in it, 0 if there is none.
    pub(crate) fn quantile_max(&self) -> f64 {
        let quantiles = self.terms.iter().filter_map(|term| match term.figure {
            Figure::Quantile(quantile) => Some(quantile),
            _ => None,
        });
        quantiles.fold(0.0, f64::max)
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, limit) = text.split_once('<').ok_or_else(|| format!("{text:?} has no <"))?;
        let (limit, inclusive) = limit.strip_prefix('=').map_or((limit, false), |limit| (limit, true));
        let known = FIGURES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
        let &(_, figure) = known.ok_or_else(|| {
            format!("{name:?} cannot be promised (p50, p90, p99, p999, max, mean and loss can)")
        })?;
        let limit = match figure {
            Figure::Loss => units::percent(limit.trim())?,
            _ => units::interval(limit.trim())?.as_nanos() as f64,
        };
        Ok(Self { figure, limit, inclusive })
    }

    /// Whether a figure keeps it.
    pub(crate) fn is_kept_by(self, figure: f64) -> bool {
        figure < self.limit || (self.inclusive && figure == self.limit)
    }
}

impl Figure {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        FIGURES.iter().find(|(_, figure)| *figure == self).map_or("", |(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_has_terms_and_limits() {
        let promise = Promise::parse("P99<1ms, max <= 2s,loss<0.1%").unwrap();
        let term = |figure, limit, inclusive| Term { figure, limit, inclusive };
        let terms = [
            term(Figure::Quantile(0.99), 1e6, false),
            term(Figure::Max, 2e9, true),
            term(Figure::Loss, 0.1, false),
        ];
        assert_eq!(promise.terms(), terms);
        assert_eq!(
            (promise.quantile_max(), promise.to_string()),
            (0.99, "P99<1ms, max <= 2s,loss<0.1%".into())
        );
        assert_eq!(Promise::parse("p99.9<1s").unwrap().quantile_max(), 0.999);
        assert_eq!(terms[0].figure.name(), "p99");
        assert!(terms[1].is_kept_by(2e9) && !terms[0].is_kept_by(1e6) && terms[0].is_kept_by(999_999.0));
    }

    #[test]
    fn what_is_no_promise_is_told_what_one_is() {
        for bad in
            ["", "p99", "p99>1ms", "p98<1ms", "p99<", "p99<0", "p99<1ms,", "loss<1ms", "loss<101%", "p99<x"]
        {
            let error = Promise::parse(bad).unwrap_err();
            assert!(error.ends_with(": write p99<1ms or p99<=1ms,loss<0.1%"), "{error}");
        }
    }
}
