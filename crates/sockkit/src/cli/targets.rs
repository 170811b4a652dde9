//! Addresses on the command line: as URLs, or behind a flag that every transport has.
//!
//! The flags are made by walking [`TRANSPORTS`], so that a new transport has one without a word here.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches};
use sockkit_core::transport::Form;
use sockkit_core::{TRANSPORTS, Target, Transport};

use super::ServiceName;

const POSITIONAL: &str = "address";

/// Any number of addresses, each with a service of its own or not: `sockkit serve echo@tcp://:7 --udp`. In the order
/// in which they were typed.
#[derive(Clone, Debug)]
pub(crate) struct ServiceTargets(pub(crate) Vec<(Option<ServiceName>, Target)>);

/// What `bench` and `compare` measure.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// As it was typed: `tcp`, `udp://host:7`. Behind a flag it is what would have been typed without one.
    pub(crate) typed: String,
    /// Over which transport.
    pub(crate) transport: &'static dyn Transport,
    /// Where the server is; `None` is *embedded*: sockkit starts its own for the run.
    pub(crate) target: Option<Target>,
}

/// Any number of addresses or bare schemes: `sockkit compare tcp --udp unix:/tmp/s`. In the order in which they were
/// typed.
#[derive(Clone, Debug)]
pub(crate) struct Subjects(pub(crate) Vec<Subject>);

/// The same for `bench`, which does not guess what to measure: at least one.
#[derive(Clone, Debug)]
pub(crate) struct BenchSubjects(pub(crate) Vec<Subject>);

/// Exactly one address: `sockkit connect --unix /tmp/s`.
#[derive(Clone, Debug)]
pub(crate) struct OneTarget(pub(crate) Target);

/// Exactly one address, and how it was typed: `sockkit ping udp://localhost:7`.
#[derive(Clone, Debug)]
pub(crate) struct PingTarget {
    /// As it was typed. Behind a flag it is what would have been typed without one.
    pub(crate) typed: String,
    /// What it means.
    pub(crate) target: Target,
}

impl Args for ServiceTargets {
    fn augment_args(command: Command) -> Command {
        let positional = Arg::new(POSITIONAL)
            .value_name("ADDRESS")
            .help("Where to listen: tcp://HOST:PORT, unix:PATH and so on, or SERVICE@ and one of these")
            .action(ArgAction::Append)
            .num_args(0..)
            .value_parser(|text: &str| service_and_target(text));
        add_flags(command.arg(positional), "Listen")
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServiceTargets {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found: Vec<(usize, (Option<ServiceName>, Target))> = Vec::new();
        if let Some(values) = matches.get_many::<(Option<ServiceName>, Target)>(POSITIONAL) {
            found.extend(matches.indices_of(POSITIONAL).into_iter().flatten().zip(values.cloned()));
        }
        for (index, (service, target)) in flags(matches) {
            found.push((index, (service, target)));
        }
        found.sort_by_key(|(index, _)| *index);
        Ok(Self(found.into_iter().map(|(_, target)| target).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subject {
    /// A server of our own on this transport.
    pub(crate) fn embedded(transport: &'static dyn Transport) -> Self {
        Self { typed: transport.scheme().to_owned(), transport, target: None }
    }

    fn at(target: Target) -> Self {
        Self { typed: target.to_string(), transport: target.transport(), target: Some(target) }
    }

    /// A bare scheme, or an address with one.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match TRANSPORTS.iter().find(|transport| transport.scheme().eq_ignore_ascii_case(text)) {
            Some(&transport) => Ok(Self::embedded(transport)),
            None => {
                let target = text.parse::<Target>().map_err(|error| error.to_string())?;
                Ok(Self { typed: text.to_owned(), ..Self::at(target) })
            }
        }
    }
}

impl Args for Subjects {
    fn augment_args(command: Command) -> Command {
        let positional = Arg::new(POSITIONAL)
            .value_name("TARGET")
            .help("What to measure: an address as for connect, or a bare transport (tcp, udp, unix) for a server that sockkit starts itself")
            .action(ArgAction::Append)
            .num_args(0..)
            .value_parser(|text: &str| Subject::parse(text));
        TRANSPORTS.iter().fold(command.arg(positional), |command, &transport| {
            let name = match transport.traits().form {
                Form::HostPort => "HOST:PORT",
                Form::Path => "PATH",
            };
            command.arg(
                Arg::new(transport.scheme())
                    .long(transport.scheme())
                    .value_name(name)
                    .num_args(0..=1)
                    // No address is written like that.
                    .default_missing_value("")
                    .help(format!(
                        "Measure: {}; without an address, against a server of our own",
                        transport.summary()
                    ))
                    .help_heading("Transports")
                    .action(ArgAction::Append)
                    .value_parser(move |text: &str| match text {
                        "" => Ok(Subject::embedded(transport)),
                        _ => Target::new(transport, text).map(Subject::at).map_err(|error| error.to_string()),
                    }),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Subjects {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let placed = |id: &str| {
            let values = matches.get_many::<Subject>(id).into_iter().flatten().cloned();
            matches.indices_of(id).into_iter().flatten().zip(values).collect::<Vec<_>>()
        };
        let mut found = placed(POSITIONAL);
        found.extend(TRANSPORTS.iter().flat_map(|transport| placed(transport.scheme())));
        found.sort_by_key(|(index, _)| *index);
        Ok(Self(found.into_iter().map(|(_, subject)| subject).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for BenchSubjects {
    fn augment_args(command: Command) -> Command {
        Subjects::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for BenchSubjects {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Subjects(subjects) = Subjects::from_arg_matches(matches)?;
        if subjects.is_empty() {
            let why = "no target is given; write for example tcp, --udp or unix for a server that sockkit starts \
                       itself, or an address such as udp://localhost:7";
            return Err(complain("bench", ErrorKind::MissingRequiredArgument, why));
        }
        Ok(Self(subjects))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for OneTarget {
    fn augment_args(command: Command) -> Command {
        add_one(command, "The peer", "Connect")
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for OneTarget {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(one(matches, "connect", "connect talks to one peer")?.1))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for PingTarget {
    fn augment_args(command: Command) -> Command {
        add_one(command, "The echo server", "Ping")
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PingTarget {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (typed, target) = one(matches, "ping", "ping asks one peer")?;
        Ok(Self { typed, target })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn add_one(command: Command, what: &str, verb: &str) -> Command {
    let positional = Arg::new(POSITIONAL)
        .value_name("ADDRESS")
        .help(format!("{what}: tcp://HOST:PORT, udp://HOST:PORT, unix:PATH and so on"))
        .value_parser(|text: &str| match text.parse::<Target>() {
            Ok(target) => Ok((text.to_owned(), target)),
            Err(error) => Err(error.to_string()),
        });
    add_flags(command.arg(positional), verb)
}

/// The only address, and how it was typed.
fn one(matches: &ArgMatches, command: &str, only: &str) -> Result<(String, Target), clap::Error> {
    let mut found: Vec<_> = matches.get_one::<(String, Target)>(POSITIONAL).cloned().into_iter().collect();
    found.extend(flags(matches).map(|(_, (_, target))| (target.to_string(), target)));
    match (found.pop(), found.is_empty()) {
        (Some(target), true) => Ok(target),
        (Some(_), false) => {
            let why = format!("more than one address is given; {only}");
            Err(complain(command, ErrorKind::ArgumentConflict, &why))
        }
        (None, _) => {
            let why = "no address is given; write for example tcp://localhost:12345, --udp or --unix /tmp/s";
            Err(complain(command, ErrorKind::MissingRequiredArgument, why))
        }
    }
}

/// An error with the usage of the command: matches do not know whose they are, so that clap would show sockkit's own.
fn complain(command: &str, kind: ErrorKind, why: &str) -> clap::Error {
    let mut cli = crate::cli::Cli::command();
    cli.build();
    match cli.find_subcommand_mut(command) {
        Some(command) => command.error(kind, why),
        None => cli.error(kind, why),
    }
}

fn add_flags(mut command: Command, verb: &str) -> Command {
    for &transport in TRANSPORTS {
        let arg = Arg::new(transport.scheme())
            .long(transport.scheme())
            .help(format!("{verb}: {}", transport.summary()))
            .help_heading("Transports")
            .action(ArgAction::Append)
            .value_parser(move |text: &str| Target::new(transport, text).map_err(|error| error.to_string()));
        command = command.arg(match transport.traits().form {
            Form::HostPort => {
                arg.value_name("HOST:PORT").num_args(0..=1).default_missing_value("127.0.0.1:12345")
            }
            Form::Path => arg.value_name("PATH"),
        });
    }
    command
}

/// The targets behind the flags, each with its place on the command line.
fn flags(matches: &ArgMatches) -> impl Iterator<Item = (usize, (Option<ServiceName>, Target))> {
    TRANSPORTS.iter().flat_map(|transport| {
        let values = matches.get_many::<Target>(transport.scheme()).into_iter().flatten().cloned();
        let indices = matches.indices_of(transport.scheme()).into_iter().flatten();
        indices.zip(values.map(|target| (None, target)))
    })
}

/// `echo@tcp://:7`, or the address alone. A Unix path may contain `@`: what stands before the first one is a service
/// only if it is something without a colon.
fn service_and_target(text: &str) -> Result<(Option<ServiceName>, Target), String> {
    let parse = |address: &str| address.parse::<Target>().map_err(|error| error.to_string());
    match text.split_once('@') {
        Some((service, address)) if !service.is_empty() && !service.contains([':', '/']) => {
            Ok((Some(ServiceName::parse(service)?), parse(address)?))
        }
        _ => Ok((None, parse(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command as Sub};

    fn complaint(line: &str) -> String {
        Cli::try_parse_from(line.split(' ')).unwrap_err().to_string()
    }

    #[test]
    fn connect_takes_one_address_and_says_how() {
        let usage = "\n\nUsage: sockkit connect [OPTIONS] [ADDRESS]\n\nFor more information, try '--help'.\n";
        let none = complaint("sockkit connect");
        assert!(none.starts_with("error: no address is given; ") && none.ends_with(usage), "{none}");
        let two = complaint("sockkit connect --tcp --udp");
        assert_eq!(two, format!("error: more than one address is given; connect talks to one peer{usage}"));
    }

    #[test]
    fn ping_takes_one_address_and_keeps_how_it_was_typed() {
        let none = complaint("sockkit ping");
        assert!(none.contains("no address is given") && none.contains("Usage: sockkit ping "), "{none}");
        let two = complaint("sockkit ping udp://:7 --tcp");
        assert!(two.starts_with("error: more than one address is given; ping asks one peer"), "{two}");
        for (typed, kept) in
            [("UDP://localhost:echo", "UDP://localhost:echo"), ("--udp", "udp://127.0.0.1:12345")]
        {
            let Sub::Ping(args) = Cli::parse_from(["sockkit", "ping", typed]).command else { panic!() };
            assert_eq!(args.target.typed, kept);
        }
    }

    #[test]
    fn a_service_may_be_in_capitals() {
        let (service, target) = service_and_target("Echo@TCP://:7").unwrap();
        assert_eq!((service, target.to_string()), (Some(ServiceName::Echo), "tcp://:7".to_owned()));
        assert!(
            service_and_target("dance@tcp://:7").unwrap_err().starts_with("no service is called \"dance\"")
        );
        assert!(service_and_target("@name").unwrap_err().ends_with("(did you mean unix:@name)"));
        assert!(service_and_target("/tmp/a@b").unwrap_err().ends_with("(did you mean unix:/tmp/a@b)"));
    }

    #[test]
    fn a_second_address_behind_a_flag_is_told_to_be_one() {
        let error = complaint("sockkit serve --tcp [::1]:0 [::]:0");
        assert!(error.contains("(did you mean tcp://[::]:0)"), "{error}");
        let error = complaint("sockkit connect --udp tcp://localhost:80");
        assert!(error.contains("HOST:PORT is wanted, without a scheme"), "{error}");
    }
}
