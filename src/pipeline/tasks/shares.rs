//! Which input the map tasks of a job share out, and which parts of it each one reads.
//!
//! The number of tasks follows from the data alone, so that a run on another cluster can continue the build. A query
//! that has to see all rows at once is one task: its rows are then made by one machine, and its shards by all.
//!
//! Not for: which inputs may be shared out (`query`).

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::prepare::Prepared;
use super::records::ExchangeSpec;
use crate::error::{Error, Result};
use crate::input::Input;

/// Bytes of input of a map task, below [`LARGE`] bytes of all: 256 MiB.
const SMALL_SHARE: u64 = 256 << 20;
/// Bytes of input of a map task of larger jobs: 4 GiB.
const LARGE_SHARE: u64 = 4 << 30;
/// From this size of the input on, shares are large: 1 TiB.
const LARGE: u64 = 1 << 40;
/// How many times less the tasks must read with an exchange, which also sorts, writes and reads every row once more.
const EXCHANGE_COST: u128 = 4;
/// Most map tasks.
const MAX_TASKS: u64 = 4096;

/// How a job is shared out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pipeline) struct Shares {
    /// The input; none if one task reads everything.
    pub(in crate::pipeline) input: Option<String>,
    /// The parts of it that each task reads.
    pub(in crate::pipeline) parts: Vec<Range<u64>>,
    /// Bytes of what is shared out or exchanged.
    pub(in crate::pipeline) bytes: u64,
    /// The exchange before the query, if it needs one.
    pub(in crate::pipeline) exchange: Option<ExchangeSpec>,
}

impl Shares {
    /// Shares out the largest input that can be; each share has about `share_bytes`, if that is given.
    ///
    /// # Errors
    /// `Invalid` for a query that two machines would not run alike.
    pub(in crate::pipeline) fn of(prepared: &Prepared<'_>, share_bytes: Option<u64>) -> Result<Self> {
        if let Some(function) = prepared.query.unrepeatable()? {
            return Err(Error::invalid(format!(
                "{}: {function}() gives other values on every machine, so a cluster cannot run this query: pass the value \
                 with --set, or run it without --cluster",
                prepared.job.path.display()
            )));
        }
        let shareable = prepared.query.shareable()?;
        let largest =
            prepared.inputs.iter().filter(|input| shareable.contains(&input.name)).max_by_key(|it| it.bytes());
        let Some(input) = largest else {
            return Ok(Self::exchanged(Self::exchange(prepared, share_bytes)?));
        };
        let bytes = input.part_bytes();
        let (parts, shared) = (cut(&bytes, share_bytes), bytes.iter().sum());
        let others = |read: &dyn Fn(&str) -> bool| {
            prepared.inputs.iter().filter(|input| !read(&input.name)).map(Input::bytes).sum::<u64>()
        };
        let by_shares = read_by_tasks(shared, parts.len() as u64, others(&|name| name == input.name));
        // An exchange of no bytes at all would be the cheapest.
        if by_shares > EXCHANGE_COST * u128::from(shared)
            && let Some((exchange, bytes)) = Self::exchange(prepared, share_bytes)?
        {
            let whole = others(&|name| exchange.columns.contains_key(name));
            let tasks = u64::from(exchange.partitions);
            if by_shares > EXCHANGE_COST * read_by_tasks(bytes, tasks, whole) {
                return Ok(Self::exchanged(Some((exchange, bytes))));
            }
        }
        Ok(Self { input: Some(input.name.clone()), parts, bytes: shared, exchange: None })
    }

    /// Nothing shared out: an exchange before the query, or a single task without one.
    fn exchanged(exchange: Option<(ExchangeSpec, u64)>) -> Self {
        let bytes = exchange.as_ref().map_or(0, |(_, bytes)| *bytes);
        Self { input: None, parts: cut(&[], None), bytes, exchange: exchange.map(|(exchange, _)| exchange) }
    }

    /// The exchange for a query that combines rows, and the bytes of its inputs; none if it cannot be parted, or is so
    /// small that one task reads all.
    fn exchange(prepared: &Prepared<'_>, share_bytes: Option<u64>) -> Result<Option<(ExchangeSpec, u64)>> {
        let of = |name: &str| prepared.inputs.iter().find(|input| input.name == name);
        let columns = prepared.query.exchange_columns(|name| of(name).map_or(0, Input::bytes))?;
        let Some(columns) = columns else { return Ok(None) };
        let (mut scans, mut read, mut total) = (Vec::new(), BTreeMap::new(), 0);
        for name in columns.keys() {
            let Some(input) = of(name) else { return Ok(None) };
            let bytes = input.part_bytes();
            total += bytes.iter().sum::<u64>();
            scans.extend(cut(&bytes, share_bytes).into_iter().map(|parts| (name.clone(), parts)));
            let used = prepared.query.columns_in_use().get(name).into_iter().flatten().cloned();
            read.insert(name.clone(), used.collect::<Vec<String>>());
        }
        let partitions = total.div_ceil(share_of(total, share_bytes)).clamp(1, MAX_TASKS) as u32;
        let exchange = ExchangeSpec { columns, read, scans, partitions };
        Ok((partitions > 1).then_some((exchange, total)))
    }

    /// Map tasks.
    pub(in crate::pipeline) fn tasks(&self) -> u64 {
        self.exchange.as_ref().map_or(self.parts.len() as u64, |exchange| u64::from(exchange.partitions))
    }

    /// The inputs as task `number` reads them.
    pub(super) fn inputs(inputs: &[Input], shared: Option<&str>, share: &Range<u64>) -> Vec<Input> {
        let mut inputs = inputs.to_vec();
        inputs
            .iter_mut()
            .filter(|input| shared == Some(&input.name))
            .for_each(|input| input.share = Some(share.clone()));
        inputs
    }
}

/// Bytes that all tasks read, of which each reads its part of one input and the `whole` bytes of the others.
fn read_by_tasks(parts: u64, tasks: u64, whole: u64) -> u128 {
    u128::from(parts) + u128::from(tasks) * u128::from(whole)
}

/// Bytes of a share, by the bytes of the input.
fn share_of(total: u64, share_bytes: Option<u64>) -> u64 {
    share_bytes.unwrap_or(if total < LARGE { SMALL_SHARE } else { LARGE_SHARE }).max(1)
}

/// Cuts parts of these bytes into ranges of about equal bytes, each of at least one part; one range if there are none.
fn cut(parts: &[u64], share_bytes: Option<u64>) -> Vec<Range<u64>> {
    let total: u64 = parts.iter().sum();
    let tasks = total.div_ceil(share_of(total, share_bytes)).clamp(1, MAX_TASKS.min(parts.len().max(1) as u64));
    let (mut ranges, mut from, mut before) = (Vec::new(), 0, 0_u128);
    for (number, bytes) in (1..).zip(parts) {
        before += u128::from(*bytes);
        // The end of a share is where its part of all bytes is reached.
        let reached = before * u128::from(tasks) >= u128::from(total) * (ranges.len() as u128 + 1);
        if reached && number < parts.len() as u64 && ranges.len() as u64 + 1 < tasks {
            ranges.push(from..number);
            from = number;
        }
    }
    ranges.push(from..parts.len() as u64);
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn little_data_is_one_share_and_parts_stay_whole() {
        assert!(cut(&[], None).iter().eq([&(0..0)]));
        assert!(cut(&[1, 2, 3], None).iter().eq([&(0..3)]));
        assert_eq!(cut(&[10, 10, 10, 10], Some(20)), [0..2, 2..4]);
        assert!(cut(&[100], Some(1)).iter().eq([&(0..1)]));
        assert_eq!(cut(&[SMALL_SHARE; 3], None), [0..1, 1..2, 2..3]);
    }

    proptest! {
        #[test]
        fn shares_have_every_part_once(parts in proptest::collection::vec(0u64..100, 0..50), share in 1u64..200) {
            let ranges = cut(&parts, Some(share));
            prop_assert_eq!((ranges[0].start, ranges.last().unwrap().end), (0, parts.len() as u64));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            prop_assert!(ranges.iter().all(|range| !range.is_empty()) || parts.is_empty());
            let most = parts.iter().sum::<u64>().div_ceil(share).max(1);
            prop_assert!(ranges.len() as u64 <= most, "{} of {most}", ranges.len());
        }
    }
}
