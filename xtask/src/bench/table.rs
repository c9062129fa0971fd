//! The result: rows, under what they were measured, and how they are printed.

use serde::Serialize;

/// All that one run measured.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    /// The command that measured it.
    pub(super) command: String,
    /// Processors of the machine.
    pub(super) processors: usize,
    /// How many processes wanted a processor, on average over a minute: before and after.
    pub(super) load: [f64; 2],
    /// What was measured.
    pub(super) rows: Vec<Row>,
}

/// One thing measured on both sides.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// What was measured.
    pub(super) what: String,
    /// Unit of the two values.
    pub(super) unit: &'static str,
    /// Ours.
    pub(super) longshore: f64,
    /// The peer's: dockerd's, unless `what` names another; `None` where it has no such thing.
    pub(super) peer: Option<f64>,
    /// More is better; otherwise less is.
    pub(super) more_is_better: bool,
    /// What is to be reached, in words.
    pub(super) reach: &'static str,
}

impl Row {
    /// How many times better we are.
    fn factor(&self) -> Option<f64> {
        let peer = self.peer?;
        Some(if self.more_is_better {
            self.longshore / peer
        } else {
            peer / self.longshore
        })
    }
}

impl Table {
    /// Prints it as Markdown.
    #[expect(clippy::print_stdout, reason = "the table is the result")]
    pub(super) fn print(&self) {
        let [before, after] = self.load;
        println!(
            "`{}`: {} processors, load {before:.1} before and {after:.1} after\n",
            self.command, self.processors
        );
        println!("| what | unit | longshore | peer | better by | to reach |");
        println!("|---|---|---|---|---|---|");
        for row in &self.rows {
            let peer = row
                .peer
                .map_or("-".to_owned(), |value| format!("{value:.2}"));
            let factor = row
                .factor()
                .map_or("-".to_owned(), |factor| format!("{factor:.1}x"));
            println!(
                "| {} | {} | {:.2} | {peer} | {factor} | {} |",
                row.what, row.unit, row.longshore, row.reach
            );
        }
    }
}

/// The load average over a minute; 0 where the kernel does not tell.
pub(super) fn load() -> f64 {
    std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or(0.0)
}

/// The median; 0 of nothing.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_one() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }
}
