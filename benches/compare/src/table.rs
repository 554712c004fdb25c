//! The figures of a run as a Markdown table.

use std::fmt;

/// Medians, a column for each proxy.
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<(&'static str, Vec<Vec<f64>>)>,
}

impl Table {
    pub(crate) fn new(columns: impl Iterator<Item = String>) -> Self {
        Self { columns: columns.collect(), rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, column: usize, name: &'static str, value: f64) {
        let at = self.rows.iter().position(|(row, _)| *row == name).unwrap_or_else(|| {
            self.rows.push((name, vec![Vec::new(); self.columns.len()]));
            self.rows.len() - 1
        });
        self.rows[at].1[column].push(value);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | {} |", self.columns.join(" | "))?;
        writeln!(f, "| --- |{}", " ---: |".repeat(self.columns.len()))?;
        for (name, cells) in &self.rows {
            let cells: Vec<_> = cells.iter().map(|values| median(values).map(short).unwrap_or_default()).collect();
            writeln!(f, "| {name} | {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
        _ => Some(sorted[middle]),
    }
}

/// Three figures are all that such a measurement is good for.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
