//! Whether something levels off.

use std::fmt;

/// What is asked of a measure.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// How many times the level before it may come to …
    pub times: f64,
    /// … and so much more, in the measure's unit.
    pub more: f64,
}

/// How a measure went.
#[derive(Clone, Debug)]
pub struct Level {
    /// What was measured.
    pub name: &'static str,
    /// In this unit.
    pub unit: &'static str,
    /// The medians of the three thirds of the run.
    pub thirds: [f64; 3],
    /// What was asked of it; none where it is only told.
    pub bound: Option<Bound>,
}

/// The one in the middle; 0 where there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The value that so many of them (of 1) are not above; 0 where there is none.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * part).ceil() as usize;
    values.get(place.max(1).min(values.len()) - usize::from(!values.is_empty())).copied().unwrap_or(0.0)
}

impl Level {
    /// Of a run's values, in their order: evenly spread over all of it.
    pub fn of(name: &'static str, unit: &'static str, values: &[f64], bound: Option<Bound>) -> Level {
        let third = values.len() / 3;
        let thirds = [&values[..third], &values[third..2 * third], &values[2 * third..]];
        Level { name, unit, thirds: thirds.map(median), bound }
    }

    /// The last third's level to that of the one before; the first is for warming up.
    pub fn ratio(&self) -> f64 {
        let [_, before, last] = self.thirds;
        if before == 0.0 { 1.0 } else { last / before }
    }

    /// Whether it has grown by more than it may.
    pub fn has_grown(&self) -> bool {
        let [_, before, last] = self.thirds;
        self.bound.is_some_and(|bound| last > before * bound.times + bound.more)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, before, last] = self.thirds;
        let (name, ratio) = (self.name, self.ratio());
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        write!(out, "{name}: {first:.1}, {before:.1}, {last:.1}{unit}; the last to the second: {ratio:.2}")?;
        match self.bound {
            None => Ok(()),
            Some(Bound { times, more }) => write!(out, ", at most {times} and {more}{unit} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Option<Bound> = Some(Bound { times: 1.1, more: 0.5 });

    fn grows(values: impl Fn(f64) -> f64) -> bool {
        let values: Vec<f64> = (0..600).map(|second| values(f64::from(second))).collect();
        Level::of("x", "MiB", &values, BOUND).has_grown()
    }

    #[test]
    fn what_levels_off_is_told_from_what_grows() {
        assert!(!grows(|_| 50.0));
        assert!(!grows(|second| 50.0 - 40.0 * (-second / 60.0).exp()), "a warm-up");
        assert!(!grows(|second| 50.0 + second % 40.0), "saw teeth");
        assert!(!grows(|second| if second == 500.0 { 1e9 } else { 50.0 }), "a spike");
        assert!(grows(|second| 50.0 + second / 10.0));
        assert!(grows(|second| if second < 400.0 { 50.0 } else { 60.0 }), "a step");
        assert!(!grows(|second| 1.0 + second / 1000.0), "within what it may");
    }

    #[test]
    fn quantiles() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!((quantile(&mut values, 0.5), quantile(&mut values, 0.99)), (100.0, 198.0));
        assert_eq!((quantile(&mut [], 0.5), quantile(&mut [3.0], 0.99), median(&[])), (0.0, 3.0, 0.0));
    }
}
