//! stdout is data, stderr is talk.

use super::failure::{Exit, Failure};
use super::global::Color;
use std::io::{self, IsTerminal, Write};

/// Writes a command's result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer {
    json: bool,
    color: bool,
}

impl Printer {
    pub(super) fn new(json: bool, color: bool) -> Self {
        Self { json, color }
    }

    pub(super) fn json(self) -> bool {
        self.json
    }

    pub(super) fn color(self) -> bool {
        self.color
    }

    /// Prints one result: as a JSON document, or as the text `human` makes.
    pub(super) fn result<T: serde::Serialize>(
        self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let mut text = if self.json {
            serde_json::to_string_pretty(value)
                .map_err(|error| Failure::new(Exit::Failed, error))?
        } else {
            human(value)
        };
        if !text.ends_with('\n') && !text.is_empty() {
            text.push('\n');
        }
        Self::write(text.as_bytes())
    }

    /// Writes bytes to stdout; a reader that has gone is no failure.
    pub(super) fn write(bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(Exit::Failed, error))
            }
            _ => Ok(()),
        }
    }
}

/// Says something about the work in hand on stderr; nothing depends on anyone reading it.
pub(super) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether stderr and stdout want colour.
pub(super) fn color_wanted(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && io::stderr().is_terminal()
        }
    }
}

/// A spinner on a terminal; a plain line elsewhere, unless `quiet`.
pub(super) fn spinner(text: String, quiet: bool) -> indicatif::ProgressBar {
    if quiet {
        return indicatif::ProgressBar::hidden();
    }
    if !io::stderr().is_terminal() {
        let _ = writeln!(io::stderr().lock(), "{text}");
        return indicatif::ProgressBar::hidden();
    }
    let spinner = indicatif::ProgressBar::new_spinner().with_message(text);
    spinner.enable_steady_tick(std::time::Duration::from_millis(120));
    spinner
}

/// A table with aligned columns; the first row is the heading.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A number of things: `1 entry`, `2 entries`.
pub(super) fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// Bytes as people read them.
pub(super) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let rows = [
            vec!["graph".to_owned(), "size".to_owned()],
            vec!["hift_decode".to_owned(), "1".to_owned()],
        ];
        assert_eq!(table(&rows), "graph        size\nhift_decode  1\n");
    }
}
