//! Rewrites the schema of an Avro file for the decoder, without a change of meaning.
//!
//! - Full names: `{"name": "a.b.N"}` becomes `{"name": "N", "namespace": "a.b"}`, and a reference has its full name. The
//!   decoder finds no type again whose definition has a dotted name.
//! - UUIDs: strings of the logical type `uuid` become plain strings, the text that was written. The decoder makes 16 bytes
//!   of them: the dashes and the case are lost, and a value that is not a UUID is an error.
//!
//! Format: the Avro specification, "Names" and "UUID". Not for: `fixed` types of 16 bytes, which are binary.

use serde_json::{Map, Value};

use super::shape::{full_name, is_primitive};

/// The schema as the decoder understands it; unchanged if it does already, or is not JSON.
pub(super) fn for_decoder(schema: String) -> String {
    let Ok(written) = serde_json::from_str::<Value>(&schema) else { return schema };
    let mut rewritten = written.clone();
    rewrite(&mut rewritten, "");
    if rewritten == written { schema } else { rewritten.to_string() }
}

/// Rewrites a type within the namespace `space`.
fn rewrite(schema: &mut Value, space: &str) {
    match schema {
        Value::String(name) if !is_primitive(name) => *name = full_name(name, space),
        Value::Array(branches) => branches.iter_mut().for_each(|branch| rewrite(branch, space)),
        Value::Object(parts) => rewrite_object(parts, space),
        _ => {}
    }
}

fn rewrite_object(parts: &mut Map<String, Value>, space: &str) {
    let Some(Value::String(kind)) = parts.get("type") else {
        return parts.get_mut("type").into_iter().for_each(|inner| rewrite(inner, space));
    };
    match kind.as_str() {
        "array" => parts.get_mut("items").into_iter().for_each(|item| rewrite(item, space)),
        "map" => parts.get_mut("values").into_iter().for_each(|value| rewrite(value, space)),
        "record" | "error" | "enum" | "fixed" => {
            let space = split_name(parts, space);
            let fields = parts.get_mut("fields").and_then(Value::as_array_mut);
            let types = fields.into_iter().flatten().filter_map(|field| field.get_mut("type"));
            types.for_each(|of| rewrite(of, &space));
        }
        "string" if parts.get("logicalType").is_some_and(|logical| logical == "uuid") => {
            parts.remove("logicalType");
        }
        _ => parts.get_mut("type").into_iter().for_each(|reference| rewrite(reference, space)),
    }
}

/// Gives a named type its name and its namespace, which is returned.
fn split_name(parts: &mut Map<String, Value>, space: &str) -> String {
    let text = |key: &str| parts.get(key).and_then(Value::as_str);
    let Some(name) = text("name") else { return space.to_owned() };
    let (space, name) = match name.rsplit_once('.') {
        Some((space, name)) => (space.to_owned(), name.to_owned()),
        None => (text("namespace").unwrap_or(space).to_owned(), name.to_owned()),
    };
    parts.insert("name".to_owned(), name.into());
    if !space.is_empty() {
        parts.insert("namespace".to_owned(), space.as_str().into());
    }
    space
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::for_decoder;

    fn check(written: &Value, expected: &Value) {
        let rewritten: Value = serde_json::from_str(&for_decoder(written.to_string())).unwrap();
        assert_eq!(rewritten, *expected, "{written}");
    }

    #[test]
    fn uuids_are_text_wherever_they_are() {
        let (id, text) = (json!({"logicalType": "uuid", "type": "string"}), json!({"type": "string"}));
        check(&id, &text);
        check(&json!(["null", id]), &json!(["null", text]));
        check(&json!({"items": id, "type": "array"}), &json!({"items": text, "type": "array"}));
        check(
            &json!({"fields": [{"name": "uuid", "type": id}], "name": "r", "type": "record"}),
            &json!({"fields": [{"name": "uuid", "type": text}], "name": "r", "type": "record"}),
        );
    }

    #[test]
    fn names_and_references_have_their_namespaces() {
        let field = |name: &str, of: Value| json!({"name": name, "type": of});
        let address = |name: &str| json!({"type": "record", "name": name, "fields": [field("city", "string".into())]});
        let mut split = address("Address");
        split["namespace"] = "shop.common".into();
        check(
            &json!({"type": "record", "name": "shop.Order", "fields": [
                field("billing", address("shop.common.Address")),
                field("shipping", json!(["null", "shop.common.Address"])),
                field("kind", json!({"type": "enum", "name": "Kind", "symbols": ["a", "shop.x"]})),
                field("others", json!({"type": "map", "values": "Kind"})),
            ]}),
            &json!({"type": "record", "name": "Order", "namespace": "shop", "fields": [
                field("billing", split),
                field("shipping", json!(["null", "shop.common.Address"])),
                field("kind", json!({"type": "enum", "name": "Kind", "namespace": "shop", "symbols": ["a", "shop.x"]})),
                field("others", json!({"type": "map", "values": "shop.Kind"})),
            ]}),
        );
    }

    #[test]
    fn other_schemas_are_unchanged() {
        for schema in [
            r#"{"type": "fixed", "name": "uuid", "size": 16, "logicalType": "uuid"}"#,
            r#"{"type": "record", "name": "uuid", "fields": [{"name": "a", "type": "long", "default": 1}]}"#,
            r#"{"type": "record", "name": "a", "fields": [{"name": "b", "type": ["null", "c"]}]}"#,
            "not JSON: uuid",
        ] {
            assert_eq!(for_decoder(schema.to_owned()), schema);
        }
    }
}
