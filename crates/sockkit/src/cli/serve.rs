//! The arguments of `sockkit serve`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::ServiceTargets;
use crate::units;

/// Echo, greet or answer on any mix of transports at once
///
/// Without an address it listens on tcp://127.0.0.1:12345. Each listener prints one line on stdout when it is ready,
/// with its real address; everything else goes to stderr.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) targets: ServiceTargets,
}

/// The services, by the names of their RFCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceName {
    /// Send back what arrives (RFC 862)
    Echo,
    /// Say a greeting and close
    Greet,
    /// Throw away what arrives (RFC 863)
    Discard,
    /// Send a pattern of characters without end (RFC 864)
    Chargen,
    /// Send the date and time as text and close (RFC 867)
    Daytime,
    /// Send the seconds since 1900 as 32 bits and close (RFC 868)
    Time,
    /// Send a quote of the day and close (RFC 865)
    Qotd,
}

impl ServiceName {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false).map_err(|_| {
            let known: Vec<_> = Self::value_variants()
                .iter()
                .filter_map(|name| Some(name.to_possible_value()?.get_name().to_owned()))
                .collect();
            format!("no service is called {text:?} (there are {})", known.join(", "))
        })
    }
}
