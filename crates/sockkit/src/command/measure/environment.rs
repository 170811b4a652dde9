//! Where a measurement was made: what a reader has to know of the machine before comparing figures with another one's.
//!
//! Nothing here can fail: a figure that cannot be read is left out, and is no reason not to measure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use jiff::{Timestamp, Unit};
use sockkit_stats::result::Environment;

use super::placement;
use super::ticks::Ticks;
use crate::cli::Placement;
use crate::command::engine::Engine;
use crate::command::info::{self, SHOWN, Sysctls};

/// Settings beyond those of `sockkit info` that change what is measured.
const MORE_SYSCTLS: [&str; 4] = [
    "net.core.busy_poll",
    "net.core.busy_read",
    "net.ipv4.tcp_autocorking",
    "net.ipv4.tcp_congestion_control",
];

/// The environment of a measurement that has begun.
#[derive(Debug)]
pub(crate) struct Survey {
    environment: Environment,
    ticks: Option<Ticks>,
}

impl Survey {
    /// To be called before anything is loaded: notes the load that was there already, and the time.
    pub(crate) fn begin(placement: Placement, engine: Engine) -> Self {
        let sysctls = Sysctls::of_this_machine();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = info::kernel().unwrap_or_default();
        let names = SHOWN.iter().copied().chain(MORE_SYSCTLS);
        let environment = Environment {
            started: Timestamp::now().round(Unit::Millisecond).unwrap_or_default().to_string(),
            host: info::host().unwrap_or_default(),
            kernel: format!("{} {} {}", kernel.name, kernel.release, kernel.machine).trim().to_owned(),
            cpu: field(&cpuinfo, "model name")
                .or_else(|| line(Path::new("/sys/firmware/devicetree/base/model"))),
            cores: placement::allowed().map_or(0, |processors| processors.len() as u32),
            mitigations: mitigations(),
            governor: governor(),
            virtualization: virtualization(&cpuinfo),
            sysctls: names.filter_map(|name| Some((name.to_owned(), sysctls.text(name)?))).collect(),
            load: fs::read_to_string("/proc/loadavg").ok().and_then(|text| load(&text)),
            steal_percent: None,
            versions: versions(),
            engine: engine.name().to_owned(),
            placement: name(placement).to_owned(),
        };
        Self { environment, ticks: Ticks::now() }
    }

    /// The environment so far, with what the hypervisor has taken since the beginning.
    pub(crate) fn so_far(&self) -> Environment {
        let taken = self.ticks.zip(Ticks::now()).and_then(|(begin, now)| now.since(begin).steal_percent());
        Environment { steal_percent: taken, ..self.environment.clone() }
    }
}

/// As it is typed behind `--placement`.
fn name(placement: Placement) -> &'static str {
    match placement {
        Placement::Free => "free",
        Placement::SameCore => "same-core",
        Placement::CrossCore => "cross-core",
    }
}

/// The first value of a field in the manner of `/proc/cpuinfo`, with tabs around the colon: `model name : Some Processor`.
fn field(text: &str, name: &str) -> Option<String> {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// What a file of one line says, unless it says nothing. Such files may end in a NUL.
fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

fn mitigations() -> BTreeMap<String, String> {
    let files = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten().flatten();
    files.filter_map(|file| Some((file.file_name().into_string().ok()?, line(&file.path())?))).collect()
}

/// All that are in use, which is one on nearly every machine.
fn governor() -> Option<String> {
    let mut governors = BTreeSet::new();
    for processor in placement::allowed().unwrap_or_default() {
        let path = format!("/sys/devices/system/cpu/cpu{processor}/cpufreq/scaling_governor");
        governors.extend(line(Path::new(&path)));
    }
    (!governors.is_empty()).then(|| governors.into_iter().collect::<Vec<_>>().join(", "))
}

/// The hypervisor by the names that it gives itself. A machine that has no such names and runs under one all the same
/// is told by the flag of its processor.
fn virtualization(cpuinfo: &str) -> Option<String> {
    let flags = field(cpuinfo, "flags").unwrap_or_default();
    let kind = line(Path::new("/sys/hypervisor/type"));
    if kind.is_none() && !flags.split(' ').any(|flag| flag == "hypervisor") {
        return None;
    }
    let board = |file: &str| line(&Path::new("/sys/class/dmi/id").join(file));
    let names: Vec<String> =
        [kind, board("sys_vendor"), board("product_name")].into_iter().flatten().collect();
    Some(if names.is_empty() { "unknown hypervisor".to_owned() } else { names.join(" ") })
}

fn load(text: &str) -> Option<[f64; 3]> {
    let averages: Vec<f64> = text.split(' ').take(3).map(str::parse).collect::<Result<_, _>>().ok()?;
    averages.try_into().ok()
}

fn versions() -> BTreeMap<String, String> {
    let known = [("sockkit", Some(env!("CARGO_PKG_VERSION"))), ("rustc", option_env!("SOCKKIT_RUSTC"))];
    known.into_iter().filter_map(|(name, version)| Some((name.to_owned(), version?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_says_what_it_is() {
        let environment = Survey::begin(Placement::SameCore, Engine::Epoll).so_far();
        assert!(environment.started.parse::<Timestamp>().is_ok(), "{}", environment.started);
        assert!(environment.kernel.starts_with("Linux "), "{}", environment.kernel);
        assert!(environment.cores >= 1);
        assert_eq!(environment.placement, "same-core");
        assert_eq!(environment.versions["sockkit"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn a_field_is_the_first_of_its_name() {
        let cpuinfo = "processor\t: 0\nmodel name\t: A: B\nflags\t\t: fpu hypervisor\n\nmodel name\t: C\n";
        assert_eq!(field(cpuinfo, "model name").as_deref(), Some("A: B"));
        assert_eq!(field(cpuinfo, "model"), None);
        assert!(virtualization(cpuinfo).is_some());
        assert_eq!(load("0.38 0.42 0.35 1/99 1234\n"), Some([0.38, 0.42, 0.35]));
        assert_eq!(load("0.38"), None);
    }
}
