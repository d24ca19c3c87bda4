//! Names of tables and columns as SQL identifiers.
//!
//! Not for: keys of TOML (`template`).

use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;

/// A name as an SQL identifier: in quotes unless it is plain and no keyword.
pub(super) fn identifier(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && ALL_KEYWORDS.binary_search(&name.to_ascii_uppercase().as_str()).is_err();
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_that_sql_would_misread_are_quoted() {
        for (name, sql) in [
            ("user_id", "user_id"),
            ("User", "\"User\""),
            ("order", "\"order\""),
            ("2nd", "\"2nd\""),
            ("a b", "\"a b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
        ] {
            assert_eq!(identifier(name), sql);
        }
    }
}
