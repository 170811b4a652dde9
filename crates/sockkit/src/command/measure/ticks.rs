//! What the processors have done, as `/proc/stat` counts it: in ticks of a hundredth of a second, proc_stat(5).

use std::fs;
use std::time::Duration;

/// Ticks a second in `/proc/stat`. The kernel's USER_HZ, which is 100 wherever Linux runs on what people have.
const PER_SECOND: u32 = 100;

/// Ticks of all processors together, since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticks {
    /// Programs and the kernel on their behalf: user, nice and system.
    pub(crate) busy: u64,
    /// What the hypervisor gave to others while something here wanted to run.
    pub(crate) steal: u64,
    /// Everything, idle too.
    pub(crate) total: u64,
}

impl Ticks {
    /// Those of this machine by now, if they can be read.
    pub(crate) fn now() -> Option<Self> {
        parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// What has been added since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(earlier.busy),
            steal: self.steal.saturating_sub(earlier.steal),
            total: self.total.saturating_sub(earlier.total),
        }
    }

    /// Stolen time in percent of all.
    pub(crate) fn steal_percent(self) -> Option<f64> {
        (self.total > 0).then(|| 100.0 * self.steal as f64 / self.total as f64)
    }

    /// How long so many ticks are.
    pub(crate) fn duration(ticks: u64) -> Duration {
        Duration::from_secs(ticks) / PER_SECOND
    }
}

fn parse(stat: &str) -> Option<Ticks> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = fields.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    // user nice system idle iowait irq softirq steal; what follows is contained in the first two.
    let [user, nice, system, _, _, _, _, steal] = *fields.first_chunk()?;
    Some(Ticks { busy: user + nice + system, steal, total: fields.iter().take(8).sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_not_counted_twice() {
        let ticks = parse("cpu  10 20 30 400 5 6 7 8 10 20\ncpu0 1 2 3 4 5 6 7 8 9 10\n").unwrap();
        assert_eq!(ticks, Ticks { busy: 60, steal: 8, total: 486 });
        assert_eq!(parse("cpu  1 2 3\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn shares_are_of_what_was_added() {
        let earlier = Ticks { busy: 10, steal: 1, total: 100 };
        let later = Ticks { busy: 60, steal: 6, total: 200 };
        assert_eq!(later.since(earlier).steal_percent(), Some(5.0));
        assert_eq!(earlier.since(earlier).steal_percent(), None);
        assert_eq!(Ticks::duration(150), Duration::from_millis(1500));
        assert!(Ticks::now().is_some_and(|ticks| ticks.total > 0));
    }
}
