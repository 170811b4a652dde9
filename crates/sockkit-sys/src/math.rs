//! What libm.so would be needed for: the handful of functions by which reports and progress bars compute.
//!
//! To find, map and relocate that library is a twentieth of what a greeting takes from start to exit, and 0.3 MB of what an
//! idle server keeps, for functions that neither calls. So they are here under their C names (math.h), from the crate
//! that Rust itself takes them from where a system has none, and the linker needs the library no more. `scripts/smoke`
//! looks whether it came back.

macro_rules! provide {
    ($($name:ident($($argument:ident),+))+) => {$(
        // SAFETY: this is the function that goes by that name, by signature and by what it does.
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: f64),+) -> f64 {
            libm::$name($($argument),+)
        }
    )+};
}

provide! {
    exp(x)
    exp2(x)
    expm1(x)
    log(x)
    log10(x)
    log1p(x)
    log2(x)
    pow(x, y)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    /// To the last bit but two: the C library's are no better.
    #[track_caller]
    fn assert_close(got: f64, expected: f64) {
        assert!((got / expected - 1.0).abs() <= 2.0 * f64::EPSILON, "{got} for {expected}");
    }

    #[test]
    fn each_name_stands_for_its_function() {
        let of = |x: f64| black_box(x);
        assert_close(of(1.0).exp(), std::f64::consts::E);
        assert_close(of(0.5).exp2(), std::f64::consts::SQRT_2);
        assert_close(of(1e-10).exp_m1(), 1.000_000_000_05e-10);
        assert_close(of(10.0).ln(), std::f64::consts::LN_10);
        assert_close(of(1e-3).log10(), -3.0);
        assert_close(of(1e-10).ln_1p(), 9.999_999_999_5e-11);
        assert_close(of(10.0).log2(), std::f64::consts::LOG2_10);
        assert_close(of(0.1).powf(of(-2.5)), 316.227_766_016_837_94);
        assert!(of(-1.0).ln().is_nan());
        assert_eq!(of(0.0).ln(), f64::NEG_INFINITY);
    }
}
