//! Which features of the kernel are used: all, unless tests want to see how it goes without.

use sockkit_sys::Features;

/// Names of features that are not used although they are there, with commas between them: `gso,gro,mmsg,ring`. For tests, see
/// CONTRIBUTING.md.
const WITHOUT: &str = "SOCKKIT_WITHOUT";

/// What is used.
pub(crate) fn features() -> Features {
    without(&std::env::var(WITHOUT).unwrap_or_default())
}

fn without(names: &str) -> Features {
    let uses = |feature: &str| names.split(',').all(|name| name.trim() != feature);
    let ring_from = if uses("ring") { Features::default().ring_from } else { usize::MAX };
    Features { mmsg: uses("mmsg"), gro: uses("gro"), gso: uses("gso"), ring_from }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_those_that_are_named() {
        assert_eq!(without(""), Features::default());
        assert_eq!(without("gso, mmsg"), Features { mmsg: false, gso: false, ..Features::default() });
        assert_eq!(without("gro"), Features { gro: false, ..Features::default() });
    }
}
