//! The report for people: names on the left, in columns.

use std::fmt::Write;

use super::report::{Availability, Report, Setting};

/// The width of the longest name, `net.ipv4.ip_local_port_range`.
const NAME_COLUMNS: usize = 28;

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    let unknown = |name: &str| match report.unknown.get(name) {
        Some(why) => format!("unknown: {why}"),
        None => "unknown".to_owned(),
    };
    line(&mut out, "sockkit", report.version);
    line(&mut out, "host", &or_else(&report.host, || unknown("host")));
    let kernel = format!("{} {} {}", report.kernel.name, report.kernel.release, report.kernel.machine);
    line(&mut out, "kernel", &or_else(kernel.trim(), || unknown("kernel")));
    out.push('\n');
    for transport in &report.transports {
        line(&mut out, transport.scheme, &answer(&transport.availability));
    }
    line(&mut out, "io_uring", &answer(&report.io_uring));
    out.push('\n');
    let bound = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let descriptors = match report.unknown.contains_key("descriptors") {
        true => unknown("descriptors"),
        false => {
            format!("{} (hard: {})", bound(report.descriptors.soft), bound(report.descriptors.hard))
        }
    };
    line(&mut out, "descriptors", &descriptors);
    for (name, setting) in &report.sysctls {
        let value = match setting {
            Some(Setting::One(number)) => number.to_string(),
            Some(Setting::Several(numbers)) => {
                numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
            }
            None => unknown(name),
        };
        line(&mut out, name, &value);
    }
    out
}

fn line(out: &mut String, name: &str, value: &str) {
    // The host may have named itself anything; a name cannot write to a terminal.
    let value = value.replace(char::is_control, "\u{fffd}");
    writeln!(out, "{name:NAME_COLUMNS$}  {value}").expect("a String takes everything");
}

fn answer(availability: &Availability) -> String {
    match &availability.why_not {
        None => "yes".to_owned(),
        Some(why) => format!("no: {why}"),
    }
}

fn or_else(text: &str, otherwise: impl FnOnce() -> String) -> String {
    match text.is_empty() {
        true => otherwise(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::command::info::report::{Descriptors, Kernel, Transport};

    #[test]
    fn what_is_unknown_says_why() {
        let report = Report {
            version: "0.1.0",
            host: "box\x1b[2J".into(),
            kernel: Kernel { name: "Linux".into(), release: "6.1.0".into(), machine: "x86_64".into() },
            transports: vec![
                Transport { scheme: "tcp", availability: Ok(()).into() },
                Transport { scheme: "mptcp", availability: Err("net.mptcp.enabled is 0".into()).into() },
            ],
            io_uring: Err("operation not permitted (disabled by seccomp)".into()).into(),
            descriptors: Descriptors { soft: Some(1024), hard: None },
            sysctls: BTreeMap::from([
                ("net.core.somaxconn", Some(Setting::One(4096))),
                ("net.ipv4.tcp_rmem", Some(Setting::Several(vec![4096, 131_072, 6_291_456]))),
                ("net.unix.max_dgram_qlen", None),
            ]),
            unknown: BTreeMap::from([("net.unix.max_dgram_qlen", "permission denied".into())]),
        };
        assert_eq!(
            render(&report),
            "\
sockkit                       0.1.0
host                          box\u{fffd}[2J
kernel                        Linux 6.1.0 x86_64

tcp                           yes
mptcp                         no: net.mptcp.enabled is 0
io_uring                      no: operation not permitted (disabled by seccomp)

descriptors                   1024 (hard: unlimited)
net.core.somaxconn            4096
net.ipv4.tcp_rmem             4096 131072 6291456
net.unix.max_dgram_qlen       unknown: permission denied
"
        );
        assert_eq!(
            serde_json::to_string(&report.transports).unwrap(),
            r#"[{"scheme":"tcp","available":true,"why_not":null},{"scheme":"mptcp","available":false,"why_not":"net.mptcp.enabled is 0"}]"#
        );
        assert_eq!(
            serde_json::to_value(&report.sysctls).unwrap(),
            serde_json::json!({
                "net.core.somaxconn": 4096,
                "net.ipv4.tcp_rmem": [4096, 131_072, 6_291_456],
                "net.unix.max_dgram_qlen": null,
            })
        );
    }
}
