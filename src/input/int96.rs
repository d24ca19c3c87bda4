//! Finds the unit that represents the timestamps of INT96 columns exactly.
//!
//! INT96 is a day and the nanoseconds in it, 96 bits: it has digits that microseconds lack, and days that 64-bit
//! nanoseconds lack (beyond 1677 to 2262). Spark writes 9999-12-31 for "no end", Impala nanoseconds. The footer does
//! not say which, so every value of such a column is read once, before the query is planned: if all are whole
//! microseconds they are read as such, otherwise as nanoseconds if they fit; if neither unit holds them the column is
//! refused.
//!
//! Not for: columns of other types, whose unit is in the footer.

use std::collections::BTreeMap;
use std::sync::Arc;

use parquet::basic::Type;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{Int96, Int96Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::RowGroupReader;
use parquet::file::serialized_reader::SerializedRowGroupReader;
use rayon::prelude::*;

use super::source::{Chunks, Source};
use crate::catch_panic::contain;
use crate::error::{Error, Result};

/// The Julian day of 1970-01-01.
const EPOCH: i128 = 2_440_588;
const NANOS_OF_DAY: i128 = 86_400_000_000_000;
/// Values read at once.
const BATCH: usize = 8_192;

/// The units that hold all values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instants {
    /// Microseconds: no value has finer digits, and all fit into 64 bits.
    pub(super) micros: bool,
    /// Nanoseconds: all values fit into 64 bits.
    pub(super) nanos: bool,
}

impl Instants {
    const ANY: Self = Self { micros: true, nanos: true };

    /// The units that hold the values of both.
    pub(super) fn and(self, other: Self) -> Self {
        Self { micros: self.micros && other.micros, nanos: self.nanos && other.nanos }
    }

    fn of(value: Int96) -> Self {
        let [low, high, day] = [0, 1, 2].map(|at| value.data().get(at).copied().unwrap_or_default());
        let in_day = i128::from(i64::from(high as i32) << 32 | i64::from(low));
        let nanos = (i128::from(day as i32) - EPOCH) * NANOS_OF_DAY + in_day;
        Self { micros: nanos % 1_000 == 0 && i64::try_from(nanos / 1_000).is_ok(), nanos: i64::try_from(nanos).is_ok() }
    }
}

/// Reads the INT96 columns of a file; returns the units for each column of the table that has any.
///
/// # Errors
/// `Input` if a column cannot be read, naming it and its row group; `Unavailable` if the file cannot be read.
pub(super) fn measure(source: &Source, metadata: &ParquetMetaData) -> Result<BTreeMap<String, Instants>> {
    let schema = metadata.file_metadata().schema_descr();
    let columns: Vec<(usize, &String)> = (0..schema.num_columns())
        .filter(|&at| schema.column(at).physical_type() == Type::INT96)
        .filter_map(|at| Some((at, metadata.file_metadata().schema_descr().columns()[at].path().parts().first()?)))
        .collect();
    let chunks: Vec<(usize, usize, &String)> = (0..metadata.num_row_groups())
        .flat_map(|group| columns.iter().map(move |(at, name)| (group, *at, *name)))
        .collect();
    let measured = chunks.into_par_iter().map(|(group, at, name)| {
        let of_group = metadata.row_group(group);
        let (start, length) = of_group.column(at).byte_range();
        let range = start..start.saturating_add(length);
        let chunks = source.open()?.chunks(std::iter::once(range));
        let chunks = Arc::new(source.with_source("read", chunks)?);
        let instants = contain(|| measure_chunk(chunks, of_group, at).map_err(|error| error.to_string()));
        let unreadable =
            |why| Error::input(format!("{source}: column {name} of row group {group} cannot be read: {why}"));
        Ok((name.clone(), instants.unwrap_or_else(Err).map_err(unreadable)?))
    });
    let mut all: BTreeMap<String, Instants> =
        columns.iter().map(|(_, name)| ((*name).clone(), Instants::ANY)).collect();
    for (name, instants) in measured.collect::<Result<Vec<_>>>()? {
        let found = all.entry(name).or_insert(Instants::ANY);
        *found = found.and(instants);
    }
    Ok(all)
}

fn measure_chunk(file: Arc<Chunks>, group: &RowGroupMetaData, column: usize) -> Result<Instants, ParquetError> {
    let properties = Arc::new(ReaderProperties::builder().build());
    let reader = SerializedRowGroupReader::new(file, group, None, properties)?;
    let mut reader = get_typed_column_reader::<Int96Type>(reader.get_column_reader(column)?);
    let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
    let mut all = Instants::ANY;
    loop {
        let (records, _, _) =
            reader.read_records(BATCH, Some(&mut definitions), Some(&mut repetitions), &mut values)?;
        all = values.drain(..).map(Instants::of).fold(all, Instants::and);
        definitions.clear();
        repetitions.clear();
        if records == 0 {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int96(days: i64, nanos: u64) -> Int96 {
        let mut value = Int96::new();
        value.set_data(nanos as u32, (nanos >> 32) as u32, (days + 2_440_588) as u32);
        value
    }

    #[test]
    fn the_unit_that_holds_an_instant() {
        let both = Instants { micros: true, nanos: true };
        assert_eq!(Instants::of(int96(0, 0)), both);
        assert_eq!(Instants::of(int96(19_000, 86_399_999_999_000)), both);
        assert_eq!(Instants::of(int96(19_000, 1)), Instants { micros: false, nanos: true });
        assert_eq!(Instants::of(int96(2_932_896, 1_000)), Instants { micros: true, nanos: false }, "9999-12-31");
        assert_eq!(Instants::of(int96(-400_000, 1)), Instants { micros: false, nanos: false });
        assert_eq!(Instants::of(int96(-1, 86_399_999_999_999)), Instants { micros: false, nanos: true });
    }
}
