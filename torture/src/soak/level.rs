//! Decides whether a measure levels off.

use std::fmt;

/// The bound on a measure's growth.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The factor by which it may exceed the level before …
    pub times: f64,
    /// … plus this much, in the measure's unit.
    pub more: f64,
}

/// The course of a measure.
#[derive(Clone, Debug)]
pub struct Level {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The medians of the three thirds of the run.
    pub thirds: [f64; 3],
    /// Its bound; `None` if it is only reported.
    pub bound: Option<Bound>,
}

/// The median; 0 if there are no values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// A quantile (of 1); 0 if there are no values.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * part).ceil() as usize;
    values.get(place.max(1).min(values.len()) - usize::from(!values.is_empty())).copied().unwrap_or(0.0)
}

impl Level {
    /// The course of a run's values, in order and evenly spread over the run.
    pub fn of(name: &'static str, unit: &'static str, values: &[f64], bound: Option<Bound>) -> Level {
        let third = values.len() / 3;
        let thirds = [&values[..third], &values[third..2 * third], &values[2 * third..]];
        Level { name, unit, thirds: thirds.map(median), bound }
    }

    /// The ratio of the last third's level to that of the second; the first third is for warming up.
    pub fn ratio(&self) -> f64 {
        let [_, before, last] = self.thirds;
        if before == 0.0 { 1.0 } else { last / before }
    }

    /// Whether it has grown beyond its bound.
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
        write!(out, "{name}: {first:.1}, {before:.1}, {last:.1}{unit}; last to second: {ratio:.2}")?;
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
        assert!(!grows(|second| 1.0 + second / 1000.0), "within the bound");
    }

    #[test]
    fn quantiles() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!((quantile(&mut values, 0.5), quantile(&mut values, 0.99)), (100.0, 198.0));
        assert_eq!((quantile(&mut [], 0.5), quantile(&mut [3.0], 0.99), median(&[])), (0.0, 3.0, 0.0));
    }
}
