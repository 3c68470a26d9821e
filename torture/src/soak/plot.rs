//! Draws a chart of a soak: the daemon's resource use over the retention periods.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::gauge::{MIB, Sample, by_window};
use super::level::median;

const WIDTH: u32 = 900;
const PANEL: u32 = 170;
/// The number of points in a line.
const POINTS: usize = 240;
const BLUE: RGBColor = RGBColor(38, 120, 178);
const ORANGE: RGBColor = RGBColor(214, 110, 20);
const GREEN: RGBColor = RGBColor(60, 140, 70);
const GREY: RGBColor = RGBColor(130, 130, 130);

/// A line: its name, its colour, and its values, evenly spread over the run.
type Line = (&'static str, RGBColor, Vec<f64>);

/// Draws the chart into a file.
///
/// # Errors
/// The file can't be written.
pub fn draw(path: &Path, samples: &[Sample], window_s: u64) -> Result<(), Box<dyn Error>> {
    let each = |of: fn(&Sample) -> f64| thinned(&samples.iter().map(of).collect::<Vec<f64>>());
    let of_windows = |part, of| by_window(samples, window_s as usize, part, of);
    let windows = samples.last().map_or(1.0, |last| last.at_s / window_s as f64);
    let panels: [(&str, Vec<Line>); 4] = [
        (
            "Memory, MiB",
            vec![
                ("resident", BLUE, each(|sample| sample.rss_bytes as f64 / MIB)),
                ("of which recent messages for readers", GREY, each(|sample| sample.recent_bytes as f64 / MIB)),
            ],
        ),
        (
            "Disk, MiB",
            vec![
                ("all", BLUE, each(|sample| sample.disk.all as f64 / MIB)),
                ("journal", ORANGE, each(|sample| sample.disk.journal as f64 / MIB)),
                ("segments", GREEN, each(|sample| sample.disk.segments as f64 / MIB)),
                ("sled", GREY, each(|sample| sample.disk.sled as f64 / MIB)),
            ],
        ),
        (
            "Open files, threads, tasks",
            vec![
                ("descriptors", BLUE, each(|sample| sample.fds as f64)),
                ("threads", ORANGE, each(|sample| sample.threads as f64)),
                ("tasks", GREEN, each(|sample| sample.tasks as f64)),
            ],
        ),
        (
            "latency of SEND, ms, by retention period",
            vec![
                ("p99", BLUE, of_windows(0.99, |sample| &sample.sends_ms)),
                ("p50", GREEN, of_windows(0.5, |sample| &sample.sends_ms)),
                ("p99 of a plain file beside it", GREY, of_windows(0.99, |sample| &sample.floor_ms)),
            ],
        ),
    ];
    let root = SVGBackend::new(path, (WIDTH, PANEL * panels.len() as u32 + 24)).into_drawing_area();
    root.fill(&WHITE)?;
    let (top, bottom) = root.split_vertically(PANEL * panels.len() as u32);
    for (area, (title, lines)) in top.split_evenly((panels.len(), 1)).iter().zip(&panels) {
        panel(area, title, lines, windows)?;
    }
    let text = format!("retention periods of {window_s} s");
    bottom.draw(&Text::new(text, (WIDTH as i32 / 2 - 90, 2), ("sans-serif", 13).into_font()))?;
    root.present()?;
    Ok(())
}

/// Reduces values to as many points as can be told apart: the median of each piece.
fn thinned(values: &[f64]) -> Vec<f64> {
    values.chunks(values.len().div_ceil(POINTS).max(1)).map(median).collect()
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    lines: &[Line],
    windows: f64,
) -> Result<(), Box<dyn Error>> {
    let most = lines.iter().flat_map(|(_, _, values)| values).copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin_top(24)
        .margin_right(16)
        .x_label_area_size(18)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..windows, 0.0..most * 1.12)?;
    let digits = if most < 5.0 { 1 } else { 0 };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .y_labels(5)
        .y_label_formatter(&|value| format!("{value:.digits$}"))
        .x_label_formatter(&|value| format!("{value:.0}"))
        .label_style(("sans-serif", 11))
        .draw()?;
    for (_, color, values) in lines {
        let step = windows / values.len().max(1) as f64;
        let points = values.iter().enumerate().map(|(place, value)| ((place as f64 + 0.5) * step, *value));
        chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
    }
    // The legend is above the plot, which the lines may fill anywhere.
    area.draw(&Text::new(title.to_owned(), (48, 6), ("sans-serif", 14).into_font()))?;
    let mut x = WIDTH as i32 - 16;
    for (name, color, _) in lines.iter().rev() {
        x -= 7 * name.chars().count() as i32;
        area.draw(&Text::new((*name).to_owned(), (x, 8), ("sans-serif", 12).into_font()))?;
        area.draw(&PathElement::new([(x - 18, 14), (x - 4, 14)], color.stroke_width(2)))?;
        x -= 34;
    }
    Ok(())
}
