//! From a figure to a place along an axis, and the figures that are worth a label there.

/// An axis: where a figure is between its two ends.
#[derive(Clone, Copy, Debug)]
pub(in crate::render::html) struct Scale {
    shape: Shape,
    /// The ends, as `Shape::bend` has them.
    low: f64,
    high: f64,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Linear,
    Log,
    /// As HdrHistogram draws them: 90, 99 and 99.9 % are equally far from each other.
    Quantile,
}

/// A figure that has a label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::render::html) struct Tick {
    pub(in crate::render::html) value: f64,
    /// Whether there is room for its label on a telephone, too.
    pub(in crate::render::html) strong: bool,
}

/// How near to each other labels may be, as a fraction of the axis: on a wide page, and on a telephone.
#[derive(Clone, Copy, Debug)]
pub(in crate::render::html) struct Gaps {
    pub(in crate::render::html) wide: f64,
    pub(in crate::render::html) narrow: f64,
}

/// The leading digits that a logarithmic axis may be labelled with, the roundest first.
const LEADING: [&[f64]; 5] = [&[1.0], &[2.0, 5.0], &[1.5, 3.0, 7.0], &[4.0, 6.0, 8.0, 9.0], &[1.2, 2.5]];

impl Scale {
    /// From the first of something to the last of it, evenly.
    pub(in crate::render::html) fn linear(low: f64, high: f64) -> Self {
        Self { shape: Shape::Linear, low, high: high.max(low + f64::MIN_POSITIVE) }
    }

    /// Logarithmic, with a margin around all that is above 0 of `values`. None if there is nothing of the kind.
    pub(in crate::render::html) fn log(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut ends: Option<(f64, f64)> = None;
        for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
            let bent = value.ln();
            ends = Some(ends.map_or((bent, bent), |(low, high)| (low.min(bent), high.max(bent))));
        }
        let (low, high) = ends?;
        let margin = ((high - low) * 0.06).max(0.01);
        Some(Self { shape: Shape::Log, low: low - margin, high: high + margin })
    }

    /// Quantiles from 0 to `highest`, which is below 1.
    pub(in crate::render::html) fn quantile(highest: f64) -> Self {
        let shape = Shape::Quantile;
        Self { shape, low: 0.0, high: shape.bend(highest.clamp(0.5, 1.0 - 1e-12)) }
    }

    /// Where `value` is: 0 is the left or lower end, 1 the other. Never further out than half the axis, and never no
    /// number.
    pub(in crate::render::html) fn at(&self, value: f64) -> f64 {
        let place = (self.shape.bend(value) - self.low) / (self.high - self.low);
        if place.is_nan() { 0.0 } else { place.clamp(-0.5, 1.5) }
    }

    /// Whether `value` is on the axis.
    pub(in crate::render::html) fn holds(&self, value: f64) -> bool {
        value.is_finite() && (-1e-9..=1.0 + 1e-9).contains(&self.at(value))
    }

    /// Round figures to label it with, in ascending order.
    pub(in crate::render::html) fn ticks(&self, gaps: Gaps) -> Vec<Tick> {
        let candidates = match self.shape {
            Shape::Linear => even(self.low, self.high, gaps.wide),
            Shape::Quantile => quantiles(),
            Shape::Log => match self.high - self.low {
                // Within a few percent there are no round leading digits, so the steps are even.
                narrow if narrow < 0.5 => even(self.low.exp(), self.high.exp(), gaps.wide),
                _ => self.leading(),
            },
        };
        self.thin(&candidates, gaps)
    }

    /// Of the candidates, the most important first, those that leave each other room.
    pub(in crate::render::html) fn thin(&self, candidates: &[f64], gaps: Gaps) -> Vec<Tick> {
        let wide = self.keep(candidates, gaps.wide);
        let narrow = self.keep(&wide, gaps.narrow);
        let mut ticks: Vec<Tick> =
            wide.iter().map(|&value| Tick { value, strong: narrow.contains(&value) }).collect();
        ticks.sort_by(|a, b| a.value.total_cmp(&b.value));
        ticks
    }

    fn keep(&self, candidates: &[f64], gap: f64) -> Vec<f64> {
        let mut kept: Vec<f64> = Vec::new();
        for &value in candidates.iter().filter(|value| self.holds(**value)) {
            if kept.iter().all(|other| (self.at(*other) - self.at(value)).abs() >= gap) {
                kept.push(value);
            }
        }
        kept
    }

    fn leading(&self) -> Vec<f64> {
        let to_ten = std::f64::consts::LN_10;
        let decades = (self.low / to_ten).floor() as i32..=(self.high / to_ten).ceil() as i32;
        LEADING
            .iter()
            .flat_map(|digits| {
                let decades = decades.clone();
                decades.flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)))
            })
            .collect()
    }
}

impl Shape {
    fn bend(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.ln(),
            Self::Quantile => -(1.0 - value).log10(),
        }
    }
}

/// 0, the middle, and from 90 % on one more 9 each.
fn quantiles() -> Vec<f64> {
    let nines = (1..10).map(|nines| 1.0 - 10f64.powi(-nines));
    [0.5].into_iter().chain(nines).chain([0.0]).collect()
}

/// Multiples of 1, 2 or 5 times a power of ten, about as far apart as `gap` asks for.
fn even(low: f64, high: f64, gap: f64) -> Vec<f64> {
    let least = (high - low) * gap.max(0.02);
    if !(least.is_finite() && least > 0.0) {
        return Vec::new();
    }
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= least);
    let step = step.unwrap_or(10.0 * power);
    // There are at most fifty, because a gap is at least a fiftieth.
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    (0..=(last - first).clamp(0.0, 50.0) as u32).map(|index| (first + f64::from(index)) * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAPS: Gaps = Gaps { wide: 0.1, narrow: 0.25 };

    fn values(ticks: &[Tick]) -> Vec<f64> {
        ticks.iter().map(|tick| (tick.value * 1e9).round() / 1e9).collect()
    }

    #[test]
    fn nines_are_evenly_spaced() {
        let scale = Scale::quantile(0.999);
        let places = [0.0, 0.9, 0.99, 0.999].map(|quantile| (scale.at(quantile) * 300.0).round());
        assert_eq!(places, [0.0, 100.0, 200.0, 300.0]);
        assert_eq!(values(&scale.ticks(GAPS)), [0.0, 0.5, 0.9, 0.99, 0.999]);
        assert!(!scale.holds(0.9999));
    }

    #[test]
    fn a_logarithmic_axis_has_round_labels() {
        let scale = Scale::log([20_000.0, 2_000_000.0, 300_000.0]).unwrap();
        assert!(scale.at(20_000.0) > 0.0 && scale.at(2_000_000.0) < 1.0);
        let middle = scale.at(200_000.0);
        assert!((middle - 0.5).abs() < 1e-9, "{middle}");
        assert_eq!(values(&scale.ticks(GAPS)), [20e3, 50e3, 100e3, 200e3, 500e3, 1e6, 2e6]);
    }

    #[test]
    fn a_narrow_axis_has_even_labels() {
        let scale = Scale::log([0.97, 1.03]).unwrap();
        assert_eq!(values(&scale.ticks(GAPS)), [0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03, 1.04]);
        assert_eq!(values(&Scale::linear(0.0, 11.0).ticks(GAPS)), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn labels_leave_each_other_room() {
        for (low, high) in [(1.0, 1.001), (1.0, 3.0), (3.0, 800.0), (1e-3, 1e12), (5.0, 5.0)] {
            let scale = Scale::log([low, high]).unwrap();
            let ticks = scale.ticks(GAPS);
            assert!((1..=11).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            for pair in ticks.windows(2) {
                let gap = scale.at(pair[1].value) - scale.at(pair[0].value);
                assert!(gap >= 0.0999, "{low} {high}: {pair:?}");
            }
        }
    }

    #[test]
    fn nonsense_has_a_place_all_the_same() {
        assert!(Scale::log([0.0, -1.0, f64::NAN, f64::INFINITY]).is_none());
        let scale = Scale::log([1.0]).unwrap();
        for value in [f64::NAN, f64::INFINITY, 0.0, -5.0, f64::MAX] {
            assert!((-0.5..=1.5).contains(&scale.at(value)), "{value}");
        }
        assert!((0.0..=1.0).contains(&Scale::linear(3.0, 3.0).at(3.0)));
        assert!(Scale::linear(f64::NAN, 1.0).ticks(GAPS).is_empty());
    }
}
