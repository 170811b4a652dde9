//! Whether a workload makes sense on a transport, told before anything is opened.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sockkit_core::transport::Form;
use sockkit_core::{Error, ErrorKind, Framing, Target};
use sockkit_sys::Features;

use crate::workload::{Mode, Pacing, Workload};

/// Descriptors that a run needs beside its sockets: an epoll instance a thread, and what the process may open meanwhile.
const SPARE_DESCRIPTORS: u64 = 32;

/// Messages that may be outstanding on a connection at most: each takes some memory.
const DEPTH_MAX: usize = 1 << 20;

/// Bytes in a message at most, where the transport sets no bound.
const SIZE_MAX: usize = 1 << 30;

/// Refuses what cannot be done.
pub(crate) fn workload(target: &Target, workload: &Workload) -> Result<(), Error> {
    let traits = target.transport().traits();
    let refuse = |what: String, why: &str| Err(Error::new(ErrorKind::Usage, "load", target, what + why));
    for (number, name) in [
        (workload.connections, "connections"),
        (workload.depth, "messages outstanding"),
        (workload.threads, "threads"),
    ] {
        if number == 0 {
            return refuse(format!("with 0 {name}"), " nothing would be sent");
        }
    }
    if workload.depth > DEPTH_MAX {
        return refuse(format!("at most {DEPTH_MAX} messages can be outstanding on a connection"), "");
    }
    if traits.framing == Framing::Stream && workload.size == 0 && workload.mode != Mode::Connect {
        return refuse("a stream has no empty messages".to_owned(), "");
    }
    let most = traits.message_max.unwrap_or(SIZE_MAX);
    if workload.size > most {
        return refuse(format!("its messages have at most {most} bytes, not {}", workload.size), "");
    }
    if let Pacing::Open { rate_per_s, .. } = workload.pacing {
        if !(rate_per_s.is_finite() && rate_per_s > 0.0) {
            return refuse(format!("{rate_per_s} messages a second"), " are no rate");
        }
        if !matches!(workload.mode, Mode::Echo | Mode::Ping) {
            return refuse("only round trips can be sent at a rate".to_owned(), "");
        }
    }
    if workload.cpus.as_ref().is_some_and(Vec::is_empty) {
        return refuse("the list of processors is empty".to_owned(), "");
    }
    tuning(target, workload)?;
    if workload.gso { segments(target, workload) } else { Ok(()) }
}

/// Refuses messages of which not even two can leave as one.
fn segments(target: &Target, workload: &Workload) -> Result<(), Error> {
    let refuse = |what: &str, advice: &str| {
        let why = format!("only {what} can leave as one (GSO)");
        Err(Error::new(ErrorKind::Usage, "load", target, why).with_advice(advice))
    };
    let fit = workload.size > 0 && Features::default().segments(workload.size) > 1;
    match (workload.mode, workload.depth) {
        (Mode::Echo, 2..) if fit => Ok(()),
        (Mode::Echo, 2..) if workload.size == 0 => {
            refuse("messages that have a byte or more", "give a larger --size")
        }
        (Mode::Echo, 2..) => refuse("messages of which several fit into a datagram", "give a smaller --size"),
        (Mode::Echo, _) => refuse("messages of which several are outstanding", "give --depth 2 or more"),
        _ => refuse("round trips", "leave --gso out, or give --mode echo"),
    }
}

/// Refuses options that the transport does not have.
fn tuning(target: &Target, workload: &Workload) -> Result<(), Error> {
    let (transport, tuning) = (target.transport(), &workload.tuning);
    let traits = transport.traits();
    let inet = traits.form == Form::HostPort;
    let tcp = inet && traits.framing == Framing::Stream;
    for (wanted, name, has) in [
        (tuning.quickack, "TCP_QUICKACK", tcp),
        (tuning.congestion.is_some(), "TCP_CONGESTION", tcp),
        (tuning.busy_poll_us.is_some(), "SO_BUSY_POLL", inet),
        (tuning.tos.is_some(), "IP_TOS", inet),
        (tuning.ttl.is_some(), "IP_TTL", inet),
        (workload.gso, "UDP_SEGMENT", traits.segments),
    ] {
        if wanted && !has {
            let why = format!("it does not apply to {}", transport.scheme());
            return Err(Error::new(ErrorKind::Usage, "set", name, why));
        }
    }
    Ok(())
}

/// Makes sure that so many sockets can be open at a time, raising the soft limit of open files as far as it may be.
pub(crate) fn file_limit(target: &Target, workload: &Workload) -> Result<(), Error> {
    let open = fs::read_dir("/proc/self/fd").map_or(64, |entries| entries.count() as u64);
    let needed = open + (workload.connections + workload.threads) as u64 + SPARE_DESCRIPTORS;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    // A ring has descriptors of its own for the same sockets, as far as there is room for them.
    let wanted = (needed + workload.connections as u64).min(hard);
    let raised = wanted <= soft || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok();
    if needed <= soft || needed <= hard && raised {
        return Ok(());
    }
    let why =
        format!("{} connections need {needed} open files, and {hard} are allowed", workload.connections);
    let error = Error::new(ErrorKind::Local, "load", target, why);
    Err(error.with_advice(format!("raise the limit: ulimit -n {needed}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::workload as sample;
    use crate::workload::{Arrivals, Tuning};

    fn refused(url: &str, workload: &Workload) -> String {
        let error = super::workload(&url.parse().unwrap(), workload).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        error.to_string()
    }

    #[test]
    fn an_option_that_does_not_apply_is_named() {
        let with = |tuning: Tuning| Workload { tuning, ..sample() };
        let quickack = with(Tuning { quickack: true, ..Tuning::default() });
        assert_eq!(refused("udp://", &quickack), "cannot set TCP_QUICKACK: it does not apply to udp");
        let congestion = with(Tuning { congestion: Some("reno".into()), ..Tuning::default() });
        assert_eq!(refused("unix:s", &congestion), "cannot set TCP_CONGESTION: it does not apply to unix");
        let tos = with(Tuning { tos: Some(16), ..Tuning::default() });
        assert_eq!(refused("unix-dgram:s", &tos), "cannot set IP_TOS: it does not apply to unix-dgram");
        for (url, workload) in [("tcp://", &quickack), ("mptcp://", &congestion), ("udp://", &tos)] {
            assert!(super::workload(&url.parse().unwrap(), workload).is_ok());
        }
    }

    #[test]
    fn several_as_one_are_datagrams_of_which_several_fit() {
        let several = Workload { gso: true, depth: 16, ..sample() };
        assert!(super::workload(&"udp://".parse().unwrap(), &several).is_ok());
        assert_eq!(refused("tcp://", &several), "cannot set UDP_SEGMENT: it does not apply to tcp");
        for workload in [
            Workload { depth: 1, ..several.clone() },
            Workload { size: 40_000, ..several.clone() },
            Workload { size: 0, ..several.clone() },
            Workload { mode: Mode::Connect, ..several.clone() },
        ] {
            assert!(refused("udp://", &workload).contains("can leave as one (GSO) ("));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let empty = Workload { size: 0, ..sample() };
        assert!(refused("tcp://", &empty).ends_with("a stream has no empty messages"));
        assert!(super::workload(&"udp://".parse().unwrap(), &empty).is_ok());
        let long = Workload { size: 65_508, ..sample() };
        assert!(refused("udp://", &long).ends_with("its messages have at most 65507 bytes, not 65508"));
        let deep = Workload { depth: 2 << 20, ..sample() };
        assert!(
            refused("tcp://", &deep).ends_with("at most 1048576 messages can be outstanding on a connection")
        );
        let idle = Workload { connections: 0, ..sample() };
        assert!(refused("tcp://", &idle).ends_with("with 0 connections nothing would be sent"));
        let pacing = Pacing::Open { rate_per_s: 0.0, arrivals: Arrivals::Constant };
        assert!(
            refused("tcp://", &Workload { pacing, ..sample() }).ends_with("0 messages a second are no rate")
        );
    }

    #[test]
    fn more_connections_than_files_say_so() {
        let target = "tcp://".parse().unwrap();
        assert!(file_limit(&target, &sample()).is_ok());
        let error = file_limit(&target, &Workload { connections: 1 << 40, ..sample() }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local);
        assert!(error.to_string().contains("connections need"), "{error}");
    }
}
