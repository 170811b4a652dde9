//! Faults as people type them: `drop=1%`, `delay=5ms~1ms`.

use std::num::{NonZeroU64, NonZeroUsize};

use sockkit_engine::Faults;
use sockkit_engine::faults::{Delay, Fault, Share};

use crate::units;

/// One fault, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FaultSpec {
    pub(crate) fault: Fault,
    pub(crate) amount: Amount,
}

/// How much of a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    Delay(Delay),
    Share(Share),
    Bytes(NonZeroUsize),
}

impl FaultSpec {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let Some(fault) = Fault::ALL.into_iter().find(|fault| fault.name() == name) else {
            let known = Fault::ALL.map(Fault::name).join(", ");
            let meant = nearest(name).map_or_else(String::new, |fault| format!("did you mean {fault}? "));
            return Err(format!("no fault is called {name:?} ({meant}there are {known})"));
        };
        if value.is_empty() {
            return Err(format!("{name} of how much? write {}", example(fault)));
        }
        let amount = match fault {
            Fault::Delay => Amount::Delay(delay(value)?),
            Fault::Chunk | Fault::ResetAfter | Fault::CloseAfter => Amount::Bytes(bytes(value)?),
            Fault::Rate => Amount::Bytes(bytes(value.strip_suffix("/s").unwrap_or(value))?),
            _ => Amount::Share(share(value)?),
        };
        Ok(Self { fault, amount })
    }

    /// Adds it to others.
    pub(crate) fn add_to(self, faults: &mut Faults) {
        match self.amount {
            Amount::Delay(delay) => faults.delay = Some(delay),
            Amount::Share(share) => {
                let field = match self.fault {
                    Fault::Drop => &mut faults.drop,
                    Fault::Duplicate => &mut faults.duplicate,
                    Fault::Reorder => &mut faults.reorder,
                    Fault::Corrupt => &mut faults.corrupt,
                    Fault::Truncate => &mut faults.truncate,
                    Fault::Hang => &mut faults.hang,
                    Fault::Refuse => &mut faults.refuse,
                    other => unreachable!("{} is no share", other.name()),
                };
                *field = share;
            }
            Amount::Bytes(bytes) => {
                let many = NonZeroU64::new(bytes.get() as u64);
                match self.fault {
                    Fault::Chunk => faults.chunk = Some(bytes),
                    Fault::Rate => faults.rate = many,
                    Fault::ResetAfter => faults.reset_after = many,
                    Fault::CloseAfter => faults.close_after = many,
                    other => unreachable!("{} is no number of bytes", other.name()),
                }
            }
        }
    }
}

/// The name that looks most like one, if any does.
fn nearest(name: &str) -> Option<&'static str> {
    let alike = |known: &&str| strsim::normalized_damerau_levenshtein(name, known);
    let best = Fault::ALL.map(Fault::name).into_iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(&best) >= ALIKE).then_some(best)
}

/// From here on two names look alike, where 1 is the same.
const ALIKE: f64 = 0.6;

fn example(fault: Fault) -> &'static str {
    match fault {
        Fault::Delay => "delay=5ms or delay=5ms~1ms",
        Fault::Drop => "drop=1%",
        Fault::Duplicate => "duplicate=1%",
        Fault::Reorder => "reorder=1%",
        Fault::Corrupt => "corrupt=0.1%",
        Fault::Truncate => "truncate=1%",
        Fault::Chunk => "chunk=7",
        Fault::Rate => "rate=1MB/s",
        Fault::ResetAfter => "reset-after=64KiB",
        Fault::CloseAfter => "close-after=64KiB",
        Fault::Hang => "hang=1%",
        Fault::Refuse => "refuse=1%",
    }
}

/// `5ms`, or `5ms~1ms`: plus or minus.
fn delay(text: &str) -> Result<Delay, String> {
    let (mean, spread) = text.split_once('~').unwrap_or((text, "0"));
    let (mean, spread) = (units::duration(mean)?, units::duration(spread)?);
    if spread > mean {
        return Err(format!(
            "{text:?} would be less than no delay: what follows the ~ is more than what it is taken from"
        ));
    }
    Ok(Delay { mean, spread })
}

/// `1%`, `0.01`.
fn share(text: &str) -> Result<Share, String> {
    let bad = || format!("{text:?} is no share: write 1%, 0.5% or 0.01");
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| bad())?;
    Share::new(number / unit).ok_or_else(bad)
}

fn bytes(text: &str) -> Result<NonZeroUsize, String> {
    units::size(text).map(|size| NonZeroUsize::new(size).expect("a size is not 0"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn faults(texts: &[&str]) -> Faults {
        let mut faults = Faults::default();
        for text in texts {
            FaultSpec::parse(text).unwrap().add_to(&mut faults);
        }
        faults
    }

    #[test]
    fn every_fault_can_be_written_as_its_example_says() {
        for fault in Fault::ALL {
            for text in example(fault).split(" or ") {
                let spec = FaultSpec::parse(text).unwrap();
                assert_eq!(spec.fault, fault);
                assert_ne!(faults(&[text]), Faults::default(), "{text} adds nothing");
            }
        }
    }

    #[test]
    fn amounts_are_what_they_say() {
        let ms = Duration::from_millis;
        assert_eq!(faults(&["delay=5ms~1ms"]).delay, Some(Delay { mean: ms(5), spread: ms(1) }));
        for text in ["drop=1%", "drop=0.01", "drop=1.0%"] {
            assert_eq!(faults(&[text]).drop, Share::new(0.01).unwrap(), "{text}");
        }
        let both = faults(&["rate=1MB/s", "close-after=64KiB"]);
        let numbers = (both.rate.map(u64::from), both.close_after.map(u64::from), both.reset_after);
        assert_eq!(numbers, (Some(1_000_000), Some(65_536), None));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let error = |text| FaultSpec::parse(text).unwrap_err();
        assert_eq!(
            error("dorp=1%"),
            "no fault is called \"dorp\" (did you mean drop? there are refuse, hang, drop, corrupt, truncate, duplicate, \
             reorder, delay, chunk, rate, reset-after, close-after)"
        );
        for (typed, meant) in [("dup", None), ("delays", Some("delay")), ("reset_after", Some("reset-after"))]
        {
            assert_eq!(nearest(typed), meant, "{typed}");
        }
        assert_eq!(error("drop"), "drop of how much? write drop=1%");
        assert_eq!(error("drop=2"), "\"2\" is no share: write 1%, 0.5% or 0.01");
        for bad in [
            "",
            "=",
            "drop=",
            "drop=x",
            "drop=-1%",
            "drop=101%",
            "drop=nan",
            "delay=1ms~2ms",
            "delay=x",
            "chunk=0",
            "rate=/s",
            "rate=0",
        ] {
            assert!(FaultSpec::parse(bad).is_err(), "{bad}");
        }
    }
}
