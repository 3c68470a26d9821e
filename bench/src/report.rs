//! Tables and charts, and results against the goals.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::path::Path;

use hdrhistogram::Histogram;
use plotters::prelude::*;

/// The results of one contestant at one point.
#[derive(Clone, Debug)]
pub struct Row {
    point: String,
    contestant: String,
    /// One value per round.
    values: Vec<f64>,
    latency: Option<Histogram<u64>>,
    /// The 99th percentile of each round, in microseconds.
    p99: Vec<f64>,
    extra: BTreeMap<&'static str, Vec<f64>>,
}

/// A part of the report.
#[derive(Clone, Debug)]
pub struct Section {
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    rows: Vec<Row>,
    /// Errors.
    pub notes: Vec<String>,
    /// The goals.
    pub goals: Vec<Goal>,
}

/// What a goal compares.
#[derive(Clone, Debug)]
enum Measure {
    /// Our figure to a peer's.
    Ratio(&'static str),
    /// Our 99th percentile to a peer's.
    Latency(&'static str),
    /// Our 99th percentile to that of another point.
    Points(&'static str),
    /// The same over all rounds together, for points with few requests per round.
    Together(&'static str),
    /// Our figure as it is.
    Value,
}

/// A goal for one point.
#[derive(Clone, Debug)]
pub struct Goal {
    point: &'static str,
    /// The framing that it is for; `None` means both.
    of: Option<&'static str>,
    measure: Measure,
    at_least: bool,
    bound: f64,
}

impl Goal {
    /// At least this many times a peer's figure.
    pub fn at_least(point: &'static str, peer: &'static str, bound: f64) -> Goal {
        Goal { point, of: None, measure: Measure::Ratio(peer), at_least: true, bound }
    }

    /// The same, for one of our framings.
    pub fn at_least_of(of: &'static str, point: &'static str, peer: &'static str, bound: f64) -> Goal {
        Goal { of: Some(of), ..Goal::at_least(point, peer, bound) }
    }

    /// A 99th percentile of at most this many times a peer's.
    pub fn latency_at_most(point: &'static str, peer: &'static str, bound: f64) -> Goal {
        Goal { point, of: None, measure: Measure::Latency(peer), at_least: false, bound }
    }

    /// A 99th percentile of at most this many times that of another point.
    pub fn latency_between(point: &'static str, other: &'static str, bound: f64) -> Goal {
        Goal { point, of: None, measure: Measure::Points(other), at_least: false, bound }
    }

    /// The same over all rounds together.
    pub fn latency_together(point: &'static str, other: &'static str, bound: f64) -> Goal {
        Goal { point, of: None, measure: Measure::Together(other), at_least: false, bound }
    }

    /// An upper bound for a figure.
    pub fn value_at_most(point: &'static str, bound: f64) -> Goal {
        Goal { point, of: None, measure: Measure::Value, at_least: false, bound }
    }

    /// The same, for one of our framings.
    pub fn value_at_most_of(of: &'static str, point: &'static str, bound: f64) -> Goal {
        Goal { of: Some(of), ..Goal::value_at_most(point, bound) }
    }

    fn what(&self) -> String {
        let sign = if self.at_least { "≥" } else { "≤" };
        let bound = plain(self.bound);
        match &self.measure {
            Measure::Ratio(peer) => format!("{sign} {bound} × {peer}"),
            Measure::Latency(peer) => format!("p99 {sign} {bound} × {peer}"),
            Measure::Points(other) | Measure::Together(other) => format!("p99 {sign} {bound} × {other}"),
            Measure::Value => format!("{sign} {bound}"),
        }
    }

    fn reached(&self, section: &Section, of: &str) -> Option<f64> {
        let ours = section.row(self.point, of)?;
        let ratios = |ours: &[f64], theirs: &[f64]| {
            median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
        };
        match &self.measure {
            Measure::Ratio(peer) => ratios(&ours.values, &section.row(self.point, peer)?.values),
            Measure::Latency(peer) => ratios(&ours.p99, &section.row(self.point, peer)?.p99),
            Measure::Points(other) => ratios(&ours.p99, &section.row(other, of)?.p99),
            Measure::Together(other) => {
                let p99 = |row: &Row| row.latency.as_ref().map(|latency| latency.value_at_quantile(0.99) as f64);
                Some(p99(ours)? / p99(section.row(other, of)?)?)
            }
            Measure::Value => median(ours.values.clone()),
        }
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => values.get(middle).copied(),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// Formats a value with its significant digits.
fn plain(value: f64) -> String {
    if value >= 1000.0 {
        let digits = format!("{value:.0}");
        let mut grouped = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    } else if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        let shown = format!("{value:.2}");
        shown.strip_suffix('0').map_or(shown.clone(), str::to_owned)
    }
}

impl Section {
    /// An empty section.
    pub fn new(name: &'static str, title: &'static str, unit: &'static str) -> Section {
        Section { name, title, unit, rows: Vec::new(), notes: Vec::new(), goals: Vec::new() }
    }

    fn row(&self, point: &str, contestant: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.point == point && row.contestant == contestant)
    }

    fn row_mut(&mut self, point: &str, contestant: &str) -> &mut Row {
        let found = self.rows.iter().position(|row| row.point == point && row.contestant == contestant);
        let place = found.unwrap_or_else(|| {
            self.rows.push(Row {
                point: point.to_owned(),
                contestant: contestant.to_owned(),
                values: Vec::new(),
                latency: None,
                p99: Vec::new(),
                extra: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        &mut self.rows[place]
    }

    /// Adds the figure of a round.
    pub fn take(&mut self, point: &str, contestant: &str, value: f64) {
        self.row_mut(point, contestant).values.push(value);
    }

    /// Adds the latencies of a round.
    pub fn latency(&mut self, point: &str, contestant: &str, latency: &Histogram<u64>) {
        let row = self.row_mut(point, contestant);
        row.p99.push(latency.value_at_quantile(0.99) as f64);
        match &mut row.latency {
            // All histograms have the same bounds.
            Some(all) => all.add(latency).expect("histograms of the same bounds"),
            None => row.latency = Some(latency.clone()),
        }
    }

    /// Adds another figure of a round.
    pub fn extra(&mut self, point: &str, contestant: &str, what: &'static str, value: f64) {
        self.row_mut(point, contestant).extra.entry(what).or_default().push(value);
    }

    /// The results, as Markdown.
    pub fn table(&self) -> String {
        let mut out = format!("### {}\n\n", self.title);
        let extras: Vec<&str> = {
            let mut all: Vec<&str> = self.rows.iter().flat_map(|row| row.extra.keys().copied()).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let latencies = self.rows.iter().any(|row| row.latency.is_some());
        let mut heads = vec!["point".to_owned(), "contestant".to_owned(), self.unit.to_owned()];
        if latencies {
            heads.push("p50, p99, p99.9 in µs".to_owned());
        }
        heads.extend(extras.iter().map(|extra| (*extra).to_owned()));
        let _ = writeln!(out, "| {} |\n|{}", heads.join(" | "), " --- |".repeat(heads.len()));
        for row in &self.rows {
            let mut cells = vec![row.point.clone(), row.contestant.clone()];
            cells.push(median(row.values.clone()).map(plain).unwrap_or_default());
            if latencies {
                cells.push(row.latency.as_ref().map_or_else(String::new, |latency| {
                    let at = |quantile| plain(latency.value_at_quantile(quantile) as f64);
                    format!("{} · {} · {}", at(0.5), at(0.99), at(0.999))
                }));
            }
            for extra in &extras {
                cells.push(row.extra.get(extra).cloned().and_then(median).map(plain).unwrap_or_default());
            }
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        for note in &self.notes {
            let _ = writeln!(out, "\n{note}");
        }
        out
    }

    /// Draws a bar chart with one group per point.
    fn chart(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        const ROW: u32 = 18;
        let mut points: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !points.contains(&row.point.as_str()) {
                points.push(&row.point);
            }
        }
        let height = (self.rows.len() + 2 * points.len()) as u32 * ROW + 40;
        let root = SVGBackend::new(path, (900, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
        root.draw(&Text::new(format!("{}: {}", self.title, self.unit), (10, 10), text(16)))?;
        let mut y = 40;
        for point in points {
            let rows: Vec<(&Row, f64)> = self
                .rows
                .iter()
                .filter(|row| row.point == point)
                .filter_map(|row| Some((row, median(row.values.clone())?)))
                .collect();
            let most = rows.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
            root.draw(&Text::new(point.to_owned(), (10, y), text(14)))?;
            y += ROW as i32;
            for (row, value) in rows {
                let width = (value / most * 540.0) as i32;
                let color =
                    if row.contestant.starts_with("dantok") { RGBColor(38, 120, 178) } else { RGBColor(176, 176, 176) };
                root.draw(&Text::new(row.contestant.clone(), (20, y + 2), text(12)))?;
                root.draw(&Rectangle::new([(190, y + 2), (191 + width, y + ROW as i32 - 3)], color.filled()))?;
                root.draw(&Text::new(plain(value), (200 + width, y + 2), text(12)))?;
                y += ROW as i32;
            }
            y += ROW as i32;
        }
        root.present()?;
        Ok(())
    }
}

/// The table of goals and results.
pub fn goals(sections: &[Section]) -> String {
    let mut out = "| point | goal | result |\n| --- | --- | --- |\n".to_owned();
    for section in sections {
        for goal in &section.goals {
            let ours = goal.of.map_or_else(|| vec!["dantok, lines", "dantok, frames"], |of| vec![of]);
            for of in ours {
                if let Some(reached) = goal.reached(section, of) {
                    let met = if goal.at_least { reached >= goal.bound } else { reached <= goal.bound };
                    let _ = writeln!(
                        out,
                        "| {}, {of}: {} | {} | {}{} |",
                        section.title,
                        goal.point,
                        goal.what(),
                        plain(reached),
                        if met { "" } else { " (missed)" }
                    );
                }
            }
        }
    }
    out
}

/// Writes the results between the marks of a Markdown file, and the charts beside it.
///
/// # Errors
/// The file can't be read or written, or lacks a mark.
pub fn write(path: &Path, sections: &[Section]) -> io::Result<()> {
    let before = std::fs::read_to_string(path)?;
    let mut text = before.clone();
    let charts = path.with_file_name("benchmarks");
    std::fs::create_dir_all(&charts)?;
    let mut put = |mark: &str, what: &str| {
        let range = between(&text, mark)?;
        text.replace_range(range, &format!("\n{what}\n"));
        io::Result::Ok(())
    };
    for section in sections {
        let chart = charts.join(format!("{}.svg", section.name));
        section.chart(&chart).map_err(|error| io::Error::other(error.to_string()))?;
        let picture = format!("![{}](benchmarks/{}.svg)", section.title, section.name);
        put(section.name, &format!("{}\n{picture}", section.table()))?;
    }
    let goals_before = before.get(between(&before, "goals")?).unwrap_or_default();
    put("goals", &with_others(goals_before, &goals(sections), sections))?;
    std::fs::write(path, text)
}

/// The range between the two marks of this name.
fn between(text: &str, mark: &str) -> io::Result<Range<usize>> {
    let (begin, end) = (format!("<!-- begin {mark} -->"), format!("<!-- end {mark} -->"));
    let places = text.find(&begin).map(|at| at + begin.len()).zip(text.find(&end));
    let (from, to) = places.ok_or_else(|| io::Error::other(format!("it lacks the marks of {mark}")))?;
    Ok(from..to)
}

/// The goals of this run, and the previous rows of sections that it did not measure.
fn with_others(before: &str, goals: &str, sections: &[Section]) -> String {
    let is_new = |row: &str| sections.iter().any(|section| row.starts_with(&format!("| {},", section.title)));
    let mut rows: Vec<&str> = goals.lines().collect();
    let kept = before.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    rows.extend(kept.filter(|row| row.starts_with('|') && !is_new(row)));
    rows.iter().map(|row| format!("{row}\n")).collect()
}
