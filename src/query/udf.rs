//! SQL functions that make bytes, so that a job can write the key layout that an existing reader expects.
//!
//! | function | result |
//! |---|---|
//! | `be32(n)`, `be64(n)` | an integer as 4 or 8 bytes, big-endian two's complement; a number that does not fit is an error |
//! | `le32(n)`, `le64(n)` | the same, little-endian |
//! | `concat_bytes(a, b, …)` | the bytes of strings and binary values, one after another; null when any is null |
//!
//! Not for: string functions, which DataFusion has.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// All functions of this file.
pub(super) fn all() -> Vec<ScalarUDF> {
    let integer = |name, width, big_endian| {
        let signature = Signature::exact(vec![DataType::Int64], Volatility::Immutable);
        ScalarUDF::new_from_impl(IntegerBytes { name, width, big_endian, signature })
    };
    vec![
        integer("be32", 4, true),
        integer("be64", 8, true),
        integer("le32", 4, false),
        integer("le64", 8, false),
        ScalarUDF::new_from_impl(ConcatBytes { signature: Signature::variadic_any(Volatility::Immutable) }),
    ]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct IntegerBytes {
    name: &'static str,
    width: usize,
    big_endian: bool,
    signature: Signature,
}

impl ScalarUDFImpl for IntegerBytes {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(numbers) = arrays.first() else { return plan_err!("{} takes one integer", self.name) };
        let numbers = numbers.as_primitive::<Int64Type>();
        let mut bytes = BinaryBuilder::with_capacity(numbers.len(), numbers.len() * self.width);
        for number in numbers {
            let Some(number) = number else {
                bytes.append_null();
                continue;
            };
            if self.width == 4 && i32::try_from(number).is_err() {
                return exec_err!("{}: {number} does not fit into 4 bytes; use the 8-byte function", self.name);
            }
            let (big, little) = (number.to_be_bytes(), number.to_le_bytes());
            bytes.append_value(if self.big_endian { &big[8 - self.width..] } else { &little[..self.width] });
        }
        Ok(ColumnarValue::Array(Arc::new(bytes.finish())))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ConcatBytes {
    signature: Signature,
}

impl ScalarUDFImpl for ConcatBytes {
    fn name(&self) -> &'static str {
        "concat_bytes"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let binary = |data_type: &&DataType| data_type.is_string() || data_type.is_binary() || data_type.is_null();
        match types.iter().find(|data_type| !binary(data_type)) {
            Some(other) => plan_err!("concat_bytes takes strings and binary values, not {other}; wrap it in be64()"),
            None => Ok(DataType::Binary),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let columns: Vec<BinaryArray> = arrays.iter().map(binary).collect::<Result<_>>()?;
        let mut bytes = BinaryBuilder::new();
        let mut row_bytes = Vec::new();
        for row in 0..columns.first().map_or(args.number_rows, BinaryArray::len) {
            if columns.iter().any(|column| column.is_null(row)) {
                bytes.append_null();
                continue;
            }
            row_bytes.clear();
            columns.iter().for_each(|column| row_bytes.extend_from_slice(column.value(row)));
            bytes.append_value(&row_bytes);
        }
        Ok(ColumnarValue::Array(Arc::new(bytes.finish())))
    }
}

fn binary(array: &ArrayRef) -> Result<BinaryArray> {
    let array = cast(array, &DataType::Binary)?;
    array.as_binary_opt::<i32>().cloned().ok_or_else(|| DataFusionError::Internal("a cast to binary".to_owned()))
}
