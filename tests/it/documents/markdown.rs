//! The part of Markdown that the tests of the documents need: headings, links, code spans and fenced blocks.
//!
//! Not for: rendering. Nested and reference-style constructs are not parsed; the documents use none.

use std::fs;
use std::path::{Path, PathBuf};

/// One document.
pub struct Document {
    /// Its path below the repository's root.
    pub path: PathBuf,
    /// Its lines, classified.
    lines: Vec<Line>,
}

struct Line {
    text: String,
    /// The language of the fenced block the line is in; none outside of one.
    fence: Option<String>,
}

impl Document {
    /// Reads the document at `path` below `root`.
    pub fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(root.join(path)).unwrap();
        Self { path: path.to_owned(), lines: lines(&text) }
    }

    /// How many lines it has.
    pub fn length(&self) -> usize {
        self.lines.len()
    }

    /// All of its text.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// Lines outside of fenced blocks.
    pub fn prose(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|line| line.fence.is_none()).map(|line| line.text.as_str())
    }

    /// The fenced blocks of a language.
    pub fn blocks(&self, language: &str) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut within = false;
        for line in &self.lines {
            let is_fence = line.text.trim_start().starts_with("```");
            if line.fence.as_deref() != Some(language) || is_fence {
                within = false;
                continue;
            }
            if !within {
                blocks.push(String::new());
                within = true;
            }
            let block = blocks.last_mut().unwrap();
            block.push_str(&line.text);
            block.push('\n');
        }
        blocks
    }

    /// The anchors that its headings have on GitHub.
    pub fn anchors(&self) -> Vec<String> {
        self.headings().map(anchor).collect()
    }

    /// Its headings.
    pub fn headings(&self) -> impl Iterator<Item = &str> {
        self.prose().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
    }

    /// The targets of its links, except those to other sites.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose().map(without_code).collect::<Vec<_>>().join("\n");
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
    }

    /// Its code spans: the text between backticks, outside of fenced blocks.
    pub fn spans(&self) -> Vec<String> {
        let prose: Vec<&str> = self.prose().collect();
        let text = prose.join("\n");
        text.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect()
    }

    /// The rows of all tables below the heading `heading`, cell by cell; without headers and rules.
    pub fn table(&self, heading: &str) -> Vec<Vec<String>> {
        let below =
            self.prose().skip_while(|line| line.trim_start_matches('#').trim() != heading || !line.starts_with('#'));
        let section = below.skip(1).take_while(|line| !line.starts_with('#'));
        let rows: Vec<&str> = section.filter(|line| line.starts_with('|')).collect();
        let is_rule = |row: &str| row.chars().all(|letter| "|-: ".contains(letter));
        let is_header = |at: usize| rows.get(at + 1).is_some_and(|next| is_rule(next));
        let body = rows.iter().enumerate().filter(|(at, row)| !is_rule(row) && !is_header(*at));
        body.map(|(_, row)| cells(row)).collect()
    }
}

fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{1}");
    row.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
}

fn lines(text: &str) -> Vec<Line> {
    let mut open: Option<String> = None;
    let mut lines = Vec::new();
    for text in text.lines() {
        let marker = text.trim_start().strip_prefix("```");
        let begins = marker.filter(|_| open.is_none()).map(|language| language.trim().to_owned());
        let fence = open.clone().or_else(|| begins.clone());
        if marker.is_some() {
            open = begins;
        }
        lines.push(Line { text: text.to_owned(), fence });
    }
    lines
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The anchor that GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let plain = heading.chars().filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
    plain.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}
