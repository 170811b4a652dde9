//! From what was typed to what a server is given.

use std::thread;

use anyhow::Result;
use sockkit_core::transport::Form;
use sockkit_core::{Error, ErrorKind, Framing, Options, Session, TRANSPORTS, Target};
use sockkit_engine::policy::ANSWER_FLOOR;
use sockkit_engine::services::{Builtin, Greeting};
use sockkit_engine::{Config, Faults, Limits, Plan, RateLimits, has_use_for_ring};

use crate::cli::{EngineName, ServeArgs, ServiceName};
use crate::command::engine::{Engine, choose};
use crate::command::features::features;
use crate::command::info::Sysctls;
use crate::units;

pub(super) fn plans(args: &ServeArgs) -> Result<Vec<Plan<Builtin>>> {
    let default = match (args.service, &args.greeting) {
        (Some(service), _) => service,
        (None, Some(_)) => ServiceName::Greet,
        (None, None) => ServiceName::Echo,
    };
    let mut targets = args.targets.0.clone();
    if targets.is_empty() {
        targets.push((None, Target::new(TRANSPORTS[0], "")?));
    }
    let plans = targets.into_iter().map(|(service, target)| {
        let service = builtin(service.unwrap_or(default), args.greeting.as_deref());
        Plan { target, service }
    });
    Ok(plans.collect())
}

fn builtin(name: ServiceName, greeting: Option<&str>) -> Builtin {
    match name {
        ServiceName::Echo => Builtin::Echo,
        ServiceName::Greet => Builtin::Greet(greeting.map_or_else(Greeting::default, Greeting::new)),
        ServiceName::Discard => Builtin::Discard,
        ServiceName::Chargen => Builtin::Chargen,
        ServiceName::Daytime => Builtin::Daytime,
        ServiceName::Time => Builtin::Time,
        ServiceName::Qotd => Builtin::Qotd,
    }
}

pub(super) fn config(args: &ServeArgs) -> Config {
    let (limits, datagrams) = (&args.limits, &args.datagrams);
    let mut options = Options::default();
    options.backlog = limits.backlog;
    options.receive_buffer = limits.rcvbuf;
    options.send_buffer = limits.sndbuf;
    options.unix_mode = limits.unix_mode;

    let mut granted = Limits::default();
    granted.max_connections = limits.max_connections.unwrap_or(granted.max_connections);
    if let Some(most) = limits.max_connections_per_peer {
        granted.max_connections_per_peer = (most > 0).then_some(most);
        granted.limit_local_peers = true;
    }
    granted.idle_timeout = units::limit(limits.idle_timeout);
    granted.write_timeout = units::limit(limits.write_timeout);
    granted.linger_timeout = limits.linger_timeout;
    granted.max_queue = limits.max_queue;
    granted.max_memory = limits.max_memory;
    granted.accept = args.life.accept;

    let mut config = Config::default();
    config.limits = granted;
    config.options = options;
    config.spin = args.spin;
    config.workers = match limits.workers {
        Some(workers) => workers.into(),
        None if args.spin => 1,
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    config.allow_any_source = datagrams.allow_any_source;
    config.allow_amplification = datagrams.allow_amplification;
    if let Some(rate) = datagrams.rate_limit {
        let rate = (rate > 0).then_some(rate);
        config.rate_limit = RateLimits { remote: rate, local: rate };
    }
    config.grace = args.life.grace;
    config.features = features();
    config
}

/// The engine, and what is to be said about it.
///
/// # Errors
/// As [`choose`].
pub(super) fn engine(args: &ServeArgs, plans: &[Plan<Builtin>]) -> Result<(Engine, Option<String>)> {
    let is_tcp =
        |plan: &Plan<Builtin>| rides(plan) && plan.target.transport().traits().form == Form::HostPort;
    // What only epoll does needs no other one.
    let only_epoll = args.spin || !args.faults.fault.is_empty();
    Ok(choose(args.engine, !only_epoll && plans.iter().any(is_tcp))?)
}

/// Whether a ring is of use for a listener.
fn rides(plan: &Plan<Builtin>) -> bool {
    has_use_for_ring(&plan.target.transport().traits(), &plan.service)
}

/// The faults that are asked for.
///
/// # Errors
/// For one that is asked for twice, and for one that applies to none of the listeners.
pub(super) fn faults(args: &ServeArgs, plans: &[Plan<Builtin>]) -> Result<Option<Faults>> {
    let specs = &args.faults.fault;
    let mut faults = Faults::default();
    for (place, spec) in specs.iter().enumerate() {
        let name = spec.fault.name();
        let fail = |why: &str| Error::new(ErrorKind::Usage, "inject", format_args!("--fault {name}"), why);
        if specs[..place].iter().any(|other| other.fault == spec.fault) {
            return Err(fail("it is given twice").into());
        }
        if plans.iter().all(|plan| !spec.fault.applies_to(&plan.target.transport().traits())) {
            let given = listed(plans.iter());
            let scope = spec.fault.scope();
            return Err(fail(&format!("it does not apply to {given} (it is for {scope})")).into());
        }
        spec.add_to(&mut faults);
    }
    faults.seed = args.faults.fault_seed.unwrap_or_else(|| fastrand::u64(..));
    Ok((!specs.is_empty()).then_some(faults))
}

/// The addresses of some plans.
fn listed<'a>(plans: impl Iterator<Item = &'a Plan<Builtin>>) -> String {
    plans.map(|plan| plan.target.to_string()).collect::<Vec<_>>().join(", ")
}

/// What somebody should know who started the server like this.
pub(super) fn warnings(args: &ServeArgs, plans: &[Plan<Builtin>]) -> Vec<String> {
    let mut warnings = Vec::new();
    let answers_datagrams =
        |plan: &&Plan<Builtin>| plan.target.transport().traits().session == Session::Connectionless;
    let greets = |plan: &&Plan<Builtin>| matches!(plan.service, Builtin::Greet(_));
    let long = args.greeting.as_ref().is_some_and(|text| text.len() > ANSWER_FLOOR);
    if long && !args.datagrams.allow_amplification {
        for plan in plans.iter().filter(answers_datagrams).filter(greets) {
            warnings.push(format!(
                "the greeting is longer than {ANSWER_FLOOR} bytes, so {} greets only datagrams that are as long \
                 (--allow-amplification lifts that)",
                plan.target
            ));
        }
    }
    let on_path = |plan: &Plan<Builtin>| plan.target.transport().traits().form == Form::Path;
    if args.greeting.is_some() && !plans.iter().any(|plan| greets(&plan)) {
        warnings.push("--greeting is not used: no listener greets".into());
    }
    for spec in &args.faults.fault {
        let passed_by = |plan: &&Plan<Builtin>| !spec.fault.applies_to(&plan.target.transport().traits());
        if plans.iter().any(|plan| passed_by(&plan)) {
            let passed_by = listed(plans.iter().filter(passed_by));
            let (name, scope) = (spec.fault.name(), spec.fault.scope());
            warnings.push(format!("--fault {name} does not apply to {passed_by} (it is for {scope})"));
        }
    }
    let streams = |plan: &Plan<Builtin>| plan.target.transport().traits().framing == Framing::Stream;
    if args.engine == EngineName::Uring {
        let why_not = [
            (args.spin, "--spin asks the sockets directly"),
            (!args.faults.fault.is_empty(), "faults on purpose are for epoll"),
            (!plans.iter().any(streams), "no listener carries a stream"),
            (
                !plans.iter().any(rides),
                "the kernel throws away what comes, because the service does not look at it",
            ),
        ];
        if let Some((_, why)) = why_not.iter().find(|(applies, _)| *applies) {
            warnings.push(format!("--engine uring is not used: {why}"));
        }
    }
    if args.limits.unix_mode != 0o600 && !plans.iter().any(on_path) {
        warnings.push("--unix-mode is not used: no listener has a path".into());
    }
    let sysctls = Sysctls::of_this_machine();
    for (flag, wanted, setting) in [
        ("--rcvbuf", args.limits.rcvbuf, "net.core.rmem_max"),
        ("--sndbuf", args.limits.sndbuf, "net.core.wmem_max"),
    ] {
        let most = sysctls.number(setting);
        if let (Some(wanted), Some(most)) = (wanted, most)
            && wanted as u64 > most
        {
            warnings.push(format!("{flag} is cut to {most} bytes: {setting} allows no more"));
        }
    }
    warnings
}
