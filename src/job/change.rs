//! `[checks.change]`: how much the measures of a profile may change from one version to the next.
//!
//! ```text
//! [checks.change]
//! rows = { warn = 0.2, stop = 0.5 }               of every input, and of the query's result
//! overlap = false                                 never
//! [checks.change.for."events.action"]             a column of an input; "events": the input; "score": of the result
//! values = { warn = 0.05, stop = false }
//! ```
//! Not for: comparing (`profile`) and judging (`check`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::toml_section::{Item, Section};

/// Every measure with the changes that are worth a warning and that stop a publish when the job does not say: warned of
/// early, stopped only at what is nearly surely wrong.
pub const DEFAULT_BOUNDS: [(&str, Bound); 9] = [
    ("rows", Bound { warn: Some(0.3), stop: Some(0.8) }),
    ("nulls", Bound { warn: Some(0.05), stop: Some(0.5) }),
    ("distinct", Bound { warn: Some(0.4), stop: Some(0.9) }),
    ("overlap", Bound { warn: Some(0.5), stop: Some(0.95) }),
    ("mean", Bound { warn: Some(0.5), stop: Some(10.0) }),
    ("pattern", Bound { warn: Some(0.2), stop: Some(0.8) }),
    ("values", Bound { warn: Some(0.4), stop: None }),
    ("size", Bound { warn: Some(0.3), stop: Some(0.8) }),
    ("entry", Bound { warn: Some(0.3), stop: Some(0.8) }),
];

/// Largest bound. Bounds of means are in standard deviations.
const MAX: f64 = 1e9;

/// The changes of a measure that warn and that stop a publish; `None`: no change does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Larger changes cause a warning.
    pub warn: Option<f64>,
    /// Larger changes stop the publish.
    pub stop: Option<f64>,
}

impl Bound {
    const NEVER: Self = Self { warn: None, stop: None };
}

/// Bounds of changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Those that differ from [`DEFAULT_BOUNDS`], by measure.
    bounds: BTreeMap<String, Bound>,
    /// The same for one input, column of an input (`events.action`) or column of the result.
    targets: BTreeMap<String, Target>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Target {
    line: usize,
    bounds: BTreeMap<String, Bound>,
}

impl Changes {
    /// The bound of a measure for an input (`None`: the result) and one of its columns (`None`: whole rows).
    pub fn bound(&self, input: Option<&str>, column: Option<&str>, measure: &str) -> Bound {
        let targets = match (input, column) {
            (Some(input), Some(column)) => vec![format!("{input}.{column}"), input.to_owned()],
            (one, other) => one.or(other).map(str::to_owned).into_iter().collect(),
        };
        let of_target = targets.iter().find_map(|target| self.targets.get(target)?.bounds.get(measure).copied());
        let default = || DEFAULT_BOUNDS.iter().find(|(name, _)| *name == measure).map(|(_, bound)| *bound);
        of_target.or_else(|| self.bounds.get(measure).copied()).or_else(default).unwrap_or(Bound::NEVER)
    }

    /// Every input or column that has its own bounds, with its line in the job file.
    pub fn targets(&self) -> impl Iterator<Item = (&str, usize)> {
        self.targets.iter().map(|(name, target)| (name.as_str(), target.line))
    }
}

/// Reads `[checks.change]`.
pub(super) fn read(item: &Item<'_>) -> Option<Changes> {
    if item.is_false() {
        let never = DEFAULT_BOUNDS.iter().map(|(name, _)| ((*name).to_owned(), Bound::NEVER)).collect();
        return Some(Changes { bounds: never, targets: BTreeMap::new() });
    }
    let measures = DEFAULT_BOUNDS.map(|(name, _)| name);
    let section = item.section("[checks.change]", &[&measures[..], &["for"]].concat())?;
    let mut changes = Changes { bounds: bounds(&section, &|_| None), targets: BTreeMap::new() };
    for (name, item) in section.item("for").and_then(|item| item.map("for")).iter().flat_map(Section::items) {
        let Some(section) = item.section(&format!("[checks.change.for.{name:?}]"), &measures) else { continue };
        let general = changes.bounds.clone();
        let bounds = bounds(&section, &|measure| general.get(measure).copied());
        changes.targets.insert(name.to_owned(), Target { line: section.line(), bounds });
    }
    Some(changes)
}

/// The bounds of a section; omitted parts are taken from `general`, or else from the default.
fn bounds(section: &Section<'_>, general: &dyn Fn(&str) -> Option<Bound>) -> BTreeMap<String, Bound> {
    let mut bounds = BTreeMap::new();
    for (name, default) in DEFAULT_BOUNDS {
        let Some(item) = section.item(name) else { continue };
        if let Some(bound) = bound(&item, name, general(name).unwrap_or(default)) {
            bounds.insert(name.to_owned(), bound);
        }
    }
    bounds
}

fn bound(item: &Item<'_>, name: &str, default: Bound) -> Option<Bound> {
    if item.is_false() {
        return Some(Bound::NEVER);
    }
    let section = item.section(name, &["warn", "stop"])?;
    let one = |key: &str, default: Option<f64>| match section.item(key) {
        None => default,
        Some(item) if item.is_false() => None,
        Some(item) => item.number(0.0..=MAX),
    };
    let stop = one("stop", default.stop);
    // If stop is below the default warning, the warning defaults to stop.
    let usual = default.warn.filter(|warn| stop.is_none_or(|stop| *warn <= stop)).or(stop);
    let bound = Bound { warn: one("warn", usual), stop };
    if let (Some(warn), Some(stop)) = (bound.warn, bound.stop)
        && warn > stop
    {
        section
            .problem(format!("warn ({warn}) is above stop ({stop}) in {name}: the publish would stop before it warns"));
    }
    Some(bound)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::job::Job;

    fn parse(change: &str) -> crate::error::Result<Changes> {
        let text = format!(
            "version = 1\ndataset = \"d\"\nstore = \"s\"\n[inputs.t]\npath = \"p\"\n[query]\nsql = \"SELECT 1\"\n[output]\n\
             key = [\"k\"]\n{change}"
        );
        Job::parse(Path::new("j.toml"), &text, &BTreeMap::new(), &|_| unreachable!()).map(|job| job.checks.change)
    }

    fn bound(
        changes: &Changes,
        input: Option<&str>,
        column: Option<&str>,
        measure: &str,
    ) -> (Option<f64>, Option<f64>) {
        let bound = changes.bound(input, column, measure);
        (bound.warn, bound.stop)
    }

    #[test]
    fn the_most_specific_bound_applies_and_the_rest_has_its_default() {
        let changes = parse(
            "[checks.change]\nrows = { warn = 0.1 }\nmean = { stop = 0.2 }\noverlap = false\n\
             [checks.change.for.events]\nrows = { stop = false }\n\
             [checks.change.for.\"events.action\"]\nvalues = { stop = 0.6 }\n",
        )
        .unwrap();
        assert_eq!(bound(&changes, Some("other"), None, "rows"), (Some(0.1), Some(0.8)));
        assert_eq!(bound(&changes, Some("events"), None, "rows"), (Some(0.1), None));
        assert_eq!(bound(&changes, None, Some("x"), "mean"), (Some(0.2), Some(0.2)));
        assert_eq!(bound(&changes, Some("events"), Some("x"), "overlap"), (None, None));
        assert_eq!(bound(&changes, Some("events"), Some("action"), "values"), (Some(0.4), Some(0.6)));
        assert_eq!(bound(&changes, Some("events"), Some("other"), "values"), (Some(0.4), None));
        assert_eq!(changes.targets().collect::<Vec<_>>(), [("events", 14), ("events.action", 16)]);
        let off = parse("[checks]\nchange = false\n").unwrap();
        for (measure, default) in DEFAULT_BOUNDS {
            assert_eq!(bound(&off, None, None, measure), (None, None));
            assert!(default.warn.is_some_and(|warn| default.stop.is_none_or(|stop| warn < stop)), "{measure}");
        }
    }

    #[test]
    fn wrong_bounds_are_reported_with_their_line() {
        for (change, said) in [
            (
                "[checks.change]\nrow = false\n",
                "j.toml:11: unknown key \"row\" in [checks.change], did you mean \"rows\"?",
            ),
            ("[checks.change]\nrows = true\n", "j.toml:11: \"rows\" in [checks.change] must be a table"),
            ("[checks.change]\nrows = { max = 1 }\n", "j.toml:11: unknown key \"max\" in rows"),
            ("[checks.change]\nrows = { warn = -1 }\n", "must be a number from 0"),
            ("[checks.change]\nrows = { warn = 0.9 }\n", "warn (0.9) is above stop (0.8) in rows"),
            ("[checks.change.for.e]\nx = false\n", "j.toml:11: unknown key \"x\" in [checks.change.for.\"e\"]"),
            ("[checks]\nchange = 1\n", "must be a table"),
        ] {
            let error = parse(change).unwrap_err();
            assert!(error.message().contains(said), "{change}: {error}");
        }
    }
}
