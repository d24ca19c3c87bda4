//! What a run has measured of its inputs: the sketches that scans leave when they end, brought together by input.
//!
//! A scan has a sketch for each of its threads and each of the newest partitions by date. One that was not read to its
//! end by all of its threads is left out. Of an input that is read twice, the scan with most columns counts.
//!
//! Not for: taking rows from a plan (`profiled_scan`), and what is measured of them (`profile`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use crate::format::{InputProfile, PartProfile};
use crate::input::Input;
use crate::profile::{PortableSketch, Seed, TableSketch};

/// Partitions by date that are measured one by one: the newest.
const NEWEST: usize = 4;

/// A partition by date: where it lies among the others, and what it is called.
pub(super) type Label = (usize, String);

/// What a run has measured of its inputs so far.
#[derive(Debug)]
pub struct Measuring {
    seed: Seed,
    scans: Mutex<BTreeMap<usize, Scan>>,
}

#[derive(Debug)]
struct Scan {
    input: Arc<str>,
    partitions: usize,
    ended: BTreeMap<usize, Parts>,
}

/// The rows of one scan, by the partitions of the input.
#[derive(Debug, Default)]
pub(super) struct Parts {
    rows: BTreeMap<Option<Label>, u64>,
    /// The newest ones.
    tables: BTreeMap<Option<Label>, TableSketch>,
}

impl Parts {
    /// The table of a partition, unless there are newer ones enough.
    fn table(&mut self, of: Option<Label>, make: impl FnOnce() -> TableSketch) -> Option<&mut TableSketch> {
        if !self.tables.contains_key(&of) {
            if self.tables.len() >= NEWEST {
                if self.tables.first_key_value().is_some_and(|(oldest, _)| *oldest > of) {
                    return None;
                }
                self.tables.pop_first();
            }
            self.tables.insert(of.clone(), make());
        }
        self.tables.get_mut(&of)
    }

    /// Takes rows of one partition; `make` makes the table of a new one.
    pub(super) fn take(&mut self, of: Option<Label>, batch: &RecordBatch, make: impl FnOnce() -> TableSketch) {
        *self.rows.entry(of.clone()).or_default() += batch.num_rows() as u64;
        if let Some(table) = self.table(of, make) {
            table.take(batch);
        }
    }

    fn merge(&mut self, other: Self) {
        for (label, rows) in other.rows {
            *self.rows.entry(label).or_default() += rows;
        }
        for (label, table) in other.tables {
            match self.tables.get_mut(&label) {
                Some(held) => held.merge(table),
                None => drop(self.table(label, || table)),
            }
        }
    }
}

/// What one task of a cluster has measured of one input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortableScan {
    input: String,
    /// The columns that were read.
    columns: Vec<String>,
    rows: Vec<(Option<Label>, u64)>,
    tables: Vec<(Option<Label>, PortableSketch)>,
}

impl PortableScan {
    /// The input.
    pub fn input(&self) -> &str {
        &self.input
    }
}

impl Measuring {
    /// What a task has measured: of every input the scan with most columns that was read to its end.
    pub fn to_portable(&self) -> Vec<PortableScan> {
        let mut read: BTreeMap<String, PortableScan> = BTreeMap::new();
        for (input, parts) in self.take_ended() {
            let columns = parts.tables.values().next().map(TableSketch::columns).unwrap_or_default();
            let tables = parts.tables.into_iter().map(|(label, table)| (label, table.into_portable())).collect();
            let input = input.to_string();
            let rows = parts.rows.into_iter().collect();
            let scan = PortableScan { input: input.clone(), columns, rows, tables };
            // Of an input that is read twice, the scan with most columns counts, as in `inputs`.
            let rank = |scan: &PortableScan| (std::cmp::Reverse(scan.columns.len()), scan.columns.join(","));
            match read.get(&input) {
                Some(held) if rank(held) <= rank(&scan) => {}
                _ => _ = read.insert(input, scan),
            }
        }
        read.into_values().collect()
    }

    /// Adds what a task has measured, to that of the tasks before; `schema` has all columns of the input. What does not
    /// fit the input is left out.
    pub fn add_portable(&self, number: usize, scan: PortableScan, schema: &Schema) {
        let fields = scan.columns.iter().map(|name| schema.field_with_name(name).cloned().ok());
        let Some(fields) = fields.collect::<Option<Vec<_>>>() else { return };
        let fields = Arc::new(Schema::new(fields));
        let table =
            |(label, carried)| Some((label, TableSketch::from_portable(Arc::clone(&fields), self.seed, carried)?));
        let Some(tables) = scan.tables.into_iter().map(table).collect() else { return };
        let parts = Parts { rows: scan.rows.into_iter().collect(), tables };
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        let input = scan.input.as_str().into();
        let held = scans.entry(number).or_insert_with(|| Scan { input, partitions: 1, ended: BTreeMap::new() });
        held.ended.entry(0).or_default().merge(parts);
    }

    /// Nothing yet, of the inputs of a dataset.
    pub fn new(seed: Seed) -> Self {
        Self { seed, scans: Mutex::default() }
    }

    /// What the hashes of the dataset begin with.
    pub(super) fn seed(&self) -> Seed {
        self.seed
    }

    /// What is known of the inputs once the run has ended.
    pub fn inputs(&self, inputs: &[Input]) -> Vec<InputProfile> {
        let mut read: BTreeMap<Arc<str>, Vec<(InputProfile, String)>> = BTreeMap::new();
        for (input, parts) in self.take_ended() {
            let profile = profile(parts);
            let columns =
                profile.tables.first().map(|part| part.table.columns.iter().map(|column| column.name.as_str()));
            let columns = columns.map(|columns| columns.collect::<Vec<_>>().join(",")).unwrap_or_default();
            read.entry(input).or_default().push((profile, columns));
        }
        let of = |input: &Input| {
            // An input that is read twice is known by the scan with most columns; plans are made in any order.
            let mut scans = read.remove(input.name.as_str()).unwrap_or_default();
            scans.sort_by_key(|(profile, columns)| {
                (std::cmp::Reverse(columns_of(profile)), profile.read, columns.clone())
            });
            let mut read = scans.into_iter().next().map(|(profile, _)| profile).unwrap_or_default();
            add_listed(&mut read, input);
            InputProfile {
                name: input.name.clone(),
                files: input.files.len() as u64,
                bytes: input.bytes(),
                rows: input.rows(),
                ..read
            }
        };
        inputs.iter().map(of).collect()
    }

    /// Every scan that was read to its end, with its input; nothing is left.
    fn take_ended(&self) -> Vec<(Arc<str>, Parts)> {
        let scans = std::mem::take(&mut *self.scans.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = scans.into_values().filter(|scan| scan.ended.len() == scan.partitions).map(|scan| {
            let mut parts = Parts::default();
            scan.ended.into_values().for_each(|ended| parts.merge(ended));
            (scan.input, parts)
        });
        ended.collect()
    }

    /// Takes what one partition of a scan has read to its end.
    pub(super) fn end(&self, scan: (usize, Arc<str>), partitions: usize, partition: usize, parts: Parts) {
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, input) = scan;
        let scan = scans.entry(number).or_insert_with(|| Scan { input, partitions, ended: BTreeMap::new() });
        scan.ended.insert(partition, parts);
    }
}

fn columns_of(profile: &InputProfile) -> usize {
    profile.tables.first().map_or(0, |part| part.table.columns.len())
}

/// Adds the rows that the files have, read or skipped: what a filter skips depends on how rows lie in files.
fn add_listed(read: &mut InputProfile, input: &Input) {
    if read.read.is_none() {
        return;
    }
    if read.partitions.is_empty() {
        read.listed = input.rows();
        read.tables.iter_mut().for_each(|part| part.listed = read.listed);
    } else if let Some(rows) = input.rows_by_date() {
        read.partitions.iter_mut().for_each(|(name, read)| *read = rows.get(name).copied().unwrap_or(*read));
        read.listed = Some(read.partitions.iter().map(|(_, rows)| rows).sum());
        let listed = |part: &PartProfile| rows.get(part.partition.as_ref()?).copied();
        read.tables.iter_mut().for_each(|part| part.listed = listed(part));
    }
}

fn profile(parts: Parts) -> InputProfile {
    let named = |label: Option<Label>| label.map(|(_, label)| label);
    let read = Some(parts.rows.values().sum());
    let partitions = parts.rows.into_iter().filter_map(|(label, rows)| Some((named(label)?, rows))).collect();
    let part = |(label, table): (Option<Label>, TableSketch)| PartProfile {
        partition: named(label),
        table: table.profile(),
        listed: None,
    };
    InputProfile { read, partitions, tables: parts.tables.into_iter().map(part).collect(), ..InputProfile::default() }
}
