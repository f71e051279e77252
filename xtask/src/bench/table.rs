//! What a benchmark tells: a table on the terminal, and the same as Markdown and JSON in `target/bench`.

use crate::workspace::{say, target};
use serde_json::{Map, Value, json};
use std::fs;

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    /// A number and how many decimals are shown.
    Number(f64, usize),
    /// First and third quartile.
    Spread(f64, f64, usize),
    /// Does not apply.
    None,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Cell {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number, decimals) => format!("{number:.decimals$}"),
            Self::Spread(low, high, decimals) => format!("{low:.decimals$}–{high:.decimals$}"),
            Self::None => "–".to_owned(),
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number, _) => json!(number),
            Self::Spread(low, high, _) => json!([low, high]),
            Self::None => Value::Null,
        }
    }
}

/// A table under its name.
#[derive(Debug)]
pub(super) struct Table {
    name: &'static str,
    what: String,
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table of the benchmark `name`; `what` is measured, and says the unit.
    pub(super) fn new(name: &'static str, what: impl Into<String>, head: &[&'static str]) -> Self {
        Self { name, what: what.into(), head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Prints it, and writes it to `target/bench/NAME.md` and `NAME.json`.
    pub(super) fn emit(&self) -> Result<(), String> {
        let text = self.markdown();
        say(&text);
        let folder = target().join("bench");
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        fs::write(folder.join(format!("{}.md", self.name)), &text).map_err(failed)?;
        let told = serde_json::to_string_pretty(&self.json()).map_err(|error| error.to_string())?;
        fs::write(folder.join(format!("{}.json", self.name)), told).map_err(failed)
    }

    fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let head = line(self.head.iter().map(|name| (*name).to_owned()).collect());
        let rule = line(self.head.iter().map(|_| "---".to_owned()).collect());
        let rows = self.rows.iter().map(|row| line(row.iter().map(Cell::shown).collect()));
        format!("\n{}\n\n{head}{rule}{}", self.what, rows.collect::<String>())
    }

    fn json(&self) -> Value {
        let object = |row: &Vec<Cell>| -> Map<String, Value> {
            self.head.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.value())).collect()
        };
        json!({ "benchmark": self.name, "what": self.what, "rows": self.rows.iter().map(object).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_the_same_to_people_and_programs() {
        let mut table = Table::new("test", "What, µs", &["subject", "median", "spread", "× peer"]);
        table.row(vec!["one".into(), Cell::Number(1.25, 1), Cell::Spread(1.0, 2.0, 2), Cell::None]);
        let shown = "\nWhat, µs\n\n| subject | median | spread | × peer |\n| --- | --- | --- | --- |\n| one | 1.2 | 1.00–2.00 | – |\n";
        assert_eq!(table.markdown(), shown);
        let row = json!({ "subject": "one", "median": 1.25, "spread": [1.0, 2.0], "× peer": null });
        assert_eq!(table.json()["rows"], json!([row]));
    }
}
