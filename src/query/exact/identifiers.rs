//! Names in SQL, compared as DataFusion compares them.
//!
//! Not for: names of columns once a query is planned.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};

/// The name that an identifier means: in lower case, unless it is in quotes.
pub(super) fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// Whether a table in a FROM clause may be the `WITH` query of this name.
pub(super) fn may_be(relation: &ObjectName, name: &Ident) -> bool {
    let part = relation.0.last().and_then(|part| part.as_ident());
    part.is_some_and(|part| part.value.eq_ignore_ascii_case(&name.value))
}
