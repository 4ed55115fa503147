//! The curve of the last minute, as SVG that takes its colours from the page.

use super::{count, put};
use crate::activity::SECONDS_KEPT;

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 60.0;

/// Draws how many of something came in each second; the newest second is at the right edge.
pub(super) fn sparkline(html: &mut String, per_second: &[u64], noun: &str) {
    let peak = per_second.iter().copied().max().unwrap_or(0);
    let step = WIDTH / (SECONDS_KEPT - 1) as f64;
    let left = SECONDS_KEPT.saturating_sub(per_second.len());
    let mut points = String::new();
    for (place, records) in per_second.iter().enumerate() {
        let x = (left + place) as f64 * step;
        let y = HEIGHT - HEIGHT * *records as f64 / peak.max(1) as f64;
        put(
            &mut points,
            format_args!("{}{x:.1},{y:.1}", if place == 0 { "M" } else { "L" }),
        );
    }
    put(
        html,
        format_args!(
            r#"<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{noun} per second, peak {peak}"><line class="base" x1="0" y1="{HEIGHT}" x2="{WIDTH}" y2="{HEIGHT}"/>"#
        ),
    );
    if per_second.len() > 1 {
        let start = left as f64 * step;
        put(
            html,
            format_args!(
                r#"<path class="area" d="{points}L{WIDTH},{HEIGHT}L{start:.1},{HEIGHT}Z"/><path class="curve" d="{points}"/>"#
            ),
        );
    }
    put(
        html,
        format_args!(
            r#"</svg><div class="axis"><span>{SECONDS_KEPT} s ago</span><span>peak {} {noun}/s</span><span>now</span></div>"#,
            count(peak)
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_touches_the_top_and_now_the_right_edge() {
        let mut html = String::new();
        sparkline(&mut html, &[0, 50, 100], "files");
        assert!(html.contains("L300.0,0.0"), "{html}");
        assert!(html.contains("peak 100 files/s"), "{html}");
    }

    #[test]
    fn silence_draws_no_curve() {
        let mut html = String::new();
        sparkline(&mut html, &[], "files");
        assert!(!html.contains("<path"), "{html}");
    }
}
