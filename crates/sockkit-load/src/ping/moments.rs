//! Smallest, largest, mean and standard deviation of numbers that are not kept.

/// What is known of the numbers so far (Welford's method, which stays exact where sums of squares would cancel).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Moments {
    count: u64,
    min: f64,
    max: f64,
    mean: f64,
    /// The sum of the squares of the differences from the mean.
    squares: f64,
}

impl Moments {
    pub(super) fn add(&mut self, number: f64) {
        (self.min, self.max) = match self.count {
            0 => (number, number),
            _ => (self.min.min(number), self.max.max(number)),
        };
        self.count += 1;
        let off = number - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (number - self.mean);
    }

    pub(super) fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    pub(super) fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// Of the sample: divided by one less than the count. One number has none.
    pub(super) fn stddev(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_numbers() {
        let mut moments = Moments::default();
        assert_eq!((moments.min(), moments.mean(), moments.stddev()), (None, None, None));
        for number in [1e9 + 2.0, 1e9 + 4.0, 1e9 + 4.0, 1e9 + 4.0, 1e9 + 5.0, 1e9 + 5.0, 1e9 + 7.0, 1e9 + 9.0]
        {
            moments.add(number);
        }
        assert_eq!((moments.min(), moments.max()), (Some(1e9 + 2.0), Some(1e9 + 9.0)));
        assert_eq!(moments.mean(), Some(1e9 + 5.0));
        assert!((moments.stddev().unwrap() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-6);
    }
}
