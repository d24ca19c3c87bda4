//! Keeps strings of Avro's logical type `uuid` as the text that was written.
//!
//! The decoder makes 16 bytes of them: the dashes and the case are lost, and a value that is not a UUID is an error.
//! Without the logical type, which the specification lets readers ignore, they are strings like any other.
//!
//! Format: the Avro specification, "UUID". Not for: `fixed` types of 16 bytes, which are binary.

use serde_json::Value;

/// The schema without the logical type `uuid` of strings; unchanged if it has none.
pub(super) fn as_text(schema: String) -> String {
    if !schema.contains("uuid") {
        return schema;
    }
    let Ok(mut parsed) = serde_json::from_str(&schema) else { return schema };
    if strip(&mut parsed) { parsed.to_string() } else { schema }
}

/// Removes the logical type wherever it is one of a string; says whether there was any.
fn strip(schema: &mut Value) -> bool {
    match schema {
        Value::Array(types) => types.iter_mut().fold(false, |any, one| strip(one) | any),
        Value::Object(parts) => {
            let is = |key: &str, value: &str| parts.get(key).is_some_and(|found| found == value);
            let uuid = is("type", "string") && is("logicalType", "uuid");
            if uuid {
                parts.remove("logicalType");
            }
            // Names and symbols are not types, and a default is a value.
            let types =
                parts.iter_mut().filter(|(key, _)| ["type", "items", "values", "fields"].contains(&key.as_str()));
            types.fold(uuid, |any, (_, inner)| strip(inner) | any)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::as_text;

    #[test]
    fn strings_stay_text_wherever_they_are() {
        let id = r#"{"logicalType":"uuid","type":"string"}"#;
        let text = r#"{"type":"string"}"#;
        for (schema, expected) in [
            (id.to_owned(), text.to_owned()),
            (format!(r#"["null",{id}]"#), format!(r#"["null",{text}]"#)),
            (format!(r#"{{"items":{id},"type":"array"}}"#), format!(r#"{{"items":{text},"type":"array"}}"#)),
            (
                format!(r#"{{"fields":[{{"name":"uuid","type":{id}}}],"name":"r","type":"record"}}"#),
                format!(r#"{{"fields":[{{"name":"uuid","type":{text}}}],"name":"r","type":"record"}}"#),
            ),
        ] {
            assert_eq!(as_text(schema), expected);
        }
    }

    #[test]
    fn other_schemas_are_unchanged() {
        for schema in [
            r#"{"type": "fixed", "name": "uuid", "size": 16, "logicalType": "uuid"}"#,
            r#"{"type": "record", "name": "uuid", "fields": [{"name": "a", "type": "long", "default": 1}]}"#,
            "not JSON: uuid",
        ] {
            assert_eq!(as_text(schema.to_owned()), schema);
        }
    }
}
