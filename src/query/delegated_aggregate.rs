//! Methods of `AggregateUDFImpl` that an aggregate leaves to the one of DataFusion's that it wraps, as a macro.
//!
//! ```text
//! delegated!(inner: name, state_fields)    in an `impl`: both methods call the same method of `self.inner`
//! ```
//! A trait cannot provide default methods for another trait, hence a macro.
//!
//! Not for: what an aggregate does differently.

macro_rules! delegated {
    ($inner:tt: $($method:ident),+) => {
        $($crate::query::delegated_aggregate::delegated!(@$method $inner);)+
    };
    (@name $inner:tt) => {
        fn name(&self) -> &str {
            self.$inner.name()
        }
    };
    (@aliases $inner:tt) => {
        fn aliases(&self) -> &[String] {
            self.$inner.aliases()
        }
    };
    (@signature $inner:tt) => {
        fn signature(&self) -> &datafusion::logical_expr::Signature {
            self.$inner.signature()
        }
    };
    (@return_type $inner:tt) => {
        fn return_type(
            &self,
            types: &[arrow::datatypes::DataType],
        ) -> datafusion::common::Result<arrow::datatypes::DataType> {
            self.$inner.return_type(types)
        }
    };
    (@coerce_types $inner:tt) => {
        fn coerce_types(
            &self,
            types: &[arrow::datatypes::DataType],
        ) -> datafusion::common::Result<Vec<arrow::datatypes::DataType>> {
            self.$inner.coerce_types(types)
        }
    };
    (@state_fields $inner:tt) => {
        fn state_fields(
            &self,
            args: datafusion::logical_expr::function::StateFieldsArgs<'_>,
        ) -> datafusion::common::Result<Vec<arrow::datatypes::FieldRef>> {
            self.$inner.state_fields(args)
        }
    };
    (@accumulator $inner:tt) => {
        fn accumulator(
            &self,
            args: datafusion::logical_expr::function::AccumulatorArgs<'_>,
        ) -> datafusion::common::Result<Box<dyn datafusion::logical_expr::Accumulator>> {
            self.$inner.accumulator(args)
        }
    };
    (@create_sliding_accumulator $inner:tt) => {
        fn create_sliding_accumulator(
            &self,
            args: datafusion::logical_expr::function::AccumulatorArgs<'_>,
        ) -> datafusion::common::Result<Box<dyn datafusion::logical_expr::Accumulator>> {
            self.$inner.create_sliding_accumulator(args)
        }
    };
    (@groups_accumulator_supported $inner:tt) => {
        fn groups_accumulator_supported(
            &self,
            args: datafusion::logical_expr::function::AccumulatorArgs<'_>,
        ) -> bool {
            self.$inner.groups_accumulator_supported(args)
        }
    };
    (@create_groups_accumulator $inner:tt) => {
        fn create_groups_accumulator(
            &self,
            args: datafusion::logical_expr::function::AccumulatorArgs<'_>,
        ) -> datafusion::common::Result<Box<dyn datafusion::logical_expr::GroupsAccumulator>> {
            self.$inner.create_groups_accumulator(args)
        }
    };
    (@order_sensitivity $inner:tt) => {
        fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
            self.$inner.order_sensitivity()
        }
    };
    (@reverse_expr $inner:tt) => {
        fn reverse_expr(&self) -> datafusion::logical_expr::ReversedUDAF {
            self.$inner.reverse_expr()
        }
    };
    (@set_monotonicity $inner:tt) => {
        fn set_monotonicity(
            &self,
            of: &arrow::datatypes::DataType,
        ) -> datafusion::logical_expr::SetMonotonicity {
            self.$inner.set_monotonicity(of)
        }
    };
    (@default_value $inner:tt) => {
        fn default_value(
            &self,
            of: &arrow::datatypes::DataType,
        ) -> datafusion::common::Result<datafusion::common::ScalarValue> {
            self.$inner.default_value(of)
        }
    };
    (@is_nullable $inner:tt) => {
        fn is_nullable(&self) -> bool {
            self.$inner.is_nullable()
        }
    };
    (@supports_null_handling_clause $inner:tt) => {
        fn supports_null_handling_clause(&self) -> bool {
            self.$inner.supports_null_handling_clause()
        }
    };
}

pub(super) use delegated;
