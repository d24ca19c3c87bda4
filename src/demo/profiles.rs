//! Sample profiles: the users of the sample events.
//!
//! A profile is derived from its user id and the last day on which it changed: each day one profile in 20 gets another
//! age and country. Files are split by user id, in ascending order.
//!
//! | column | type | content |
//! |---|---|---|
//! | `user_id` | int64 | 1 to the number of profiles |
//! | `name` | string | first and last name, some not in ASCII |
//! | `age` | int32, nullable | 16 to 89, skewed to the young; null for 3 % |
//! | `country` | string | two letters, 20 of them, the first ones more often |
//! | `signup` | date | 2015 up to the day before the first event |

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::events::FIRST_HOUR;
use super::parquet_part::Part;
use super::random::Random;
use super::{Shape, internal};
use crate::error::Result;

/// One profile in N changes per day.
const CHANGES: u64 = 20;

/// The day, since 1970, of the first sign-up: 2015-01-01.
const FIRST_SIGNUP: u64 = 16_436;

/// Days on which users signed up.
const SIGNUP_DAYS: u64 = FIRST_HOUR / 24 - FIRST_SIGNUP;

const BATCH_ROWS: usize = 16 * 1024;

const COUNTRIES: [&str; 20] = [
    "US", "IN", "DE", "BR", "GB", "FR", "JP", "CA", "IT", "ES", "MX", "PL", "NL", "TR", "SE", "KR", "AR", "ZA", "NO",
    "IS",
];

const FIRST_NAMES: [&str; 24] = [
    "Ada", "Aisha", "Björn", "Carla", "Chen", "Dmitri", "Elif", "Emma", "Fatima", "Grace", "Hiro", "Inês", "Jonas",
    "José", "Lena", "Liam", "Mei", "Nia", "Olu", "Priya", "Rosa", "Sofía", "Tariq", "Zoë",
];

const LAST_NAMES: [&str; 24] = [
    "Almeida", "Andersen", "Bauer", "Costa", "Dubois", "Fischer", "García", "Haddad", "Ivanov", "Jansen", "Kim",
    "Kowalski", "Lopez", "Mbeki", "Müller", "Nakamura", "O'Brien", "Okafor", "Patel", "Rossi", "Singh", "Smith",
    "Tanaka", "Yılmaz",
];

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("user_id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("age", DataType::Int32, true),
        Field::new("country", DataType::Utf8, false),
        Field::new("signup", DataType::Date32, false),
    ]))
}

/// Writes the profiles of `users`, counted from 0, into `part`.
pub(super) fn write(mut part: Part, shape: &Shape, users: Range<u64>) -> Result<()> {
    let mut start = users.start;
    while start < users.end {
        let end = users.end.min(start + BATCH_ROWS as u64);
        part.write(&batch(shape, start..end)?)?;
        start = end;
    }
    part.finish()
}

fn batch(shape: &Shape, users: Range<u64>) -> Result<RecordBatch> {
    let mut user_id = Int64Builder::with_capacity(BATCH_ROWS);
    let mut name = StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * 16);
    let mut age = Int32Builder::with_capacity(BATCH_ROWS);
    let mut country = StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * 2);
    let mut signup = Date32Builder::with_capacity(BATCH_ROWS);
    for user in users {
        let mut lasting = Random::of(shape.seed, &[user, 0]);
        user_id.append_value(user as i64 + 1);
        // Writing into a builder's buffer cannot fail; the empty value ends the string.
        let _ = write!(name, "{} {}", pick(&mut lasting, &FIRST_NAMES, 1), pick(&mut lasting, &LAST_NAMES, 1));
        name.append_value("");
        signup.append_value((FIRST_SIGNUP + lasting.below(SIGNUP_DAYS)) as i32);
        let mut changing = Random::of(shape.seed, &[user, 1, last_change(shape, user)]);
        let known = changing.below(100) >= 3;
        age.append_option(known.then(|| 16 + changing.below(74).min(changing.below(74)) as i32));
        country.append_value(pick(&mut changing, &COUNTRIES, 2));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(user_id.finish()),
        Arc::new(name.finish()),
        Arc::new(age.finish()),
        Arc::new(country.finish()),
        Arc::new(signup.finish()),
    ];
    RecordBatch::try_new(schema(), columns).map_err(internal)
}

/// The last day, up to the shape's, on which a profile changed; 0 if it never did.
fn last_change(shape: &Shape, user: u64) -> u64 {
    let changed = |day: &u64| Random::of(shape.seed, &[user, 2, *day]).one_in(CHANGES);
    (1..=u64::from(shape.day)).rev().find(changed).unwrap_or(0)
}

fn pick(random: &mut Random, from: &[&'static str], power: i32) -> &'static str {
    from[random.skewed(from.len() as u64, power) as usize]
}
