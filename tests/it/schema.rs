//! Validates JSON documents against schemas/output.json: the few keywords of JSON Schema that it uses, and no others.
//!
//! Not for: other schemas. An unknown keyword is a failure, so that none goes unchecked.

use serde_json::Value;

const SCHEMA: &str = include_str!("../../schemas/output.json");

/// Where a document violates the schema: a path and a sentence each.
pub fn problems(document: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut problems = Vec::new();
    check(&schema, &schema, document, "$", &mut problems);
    problems
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
    for (word, rule) in schema.as_object().expect("a schema is an object") {
        let holds = match word.as_str() {
            "$schema" | "title" | "$defs" | "then" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().trim_start_matches("#/$defs/");
                check(root, &root["$defs"][name], value, at, problems);
                true
            }
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| is_a(value, name)),
                name => is_a(value, name),
            },
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap()),
            "required" => {
                let lacks = |name: &&Value| value.is_object() && value.get(name.as_str().unwrap()).is_none();
                problems.extend(rule.as_array().unwrap().iter().filter(lacks).map(|name| format!("{at} lacks {name}")));
                true
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    value.get(name).into_iter().for_each(|it| check(root, rule, it, &format!("{at}.{name}"), problems));
                }
                true
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                items.for_each(|(number, it)| check(root, rule, it, &format!("{at}[{number}]"), problems));
                true
            }
            "allOf" => {
                rule.as_array().unwrap().iter().for_each(|rule| check(root, rule, value, at, problems));
                true
            }
            "if" => {
                let mut unmet = Vec::new();
                check(root, rule, value, at, &mut unmet);
                if unmet.is_empty() {
                    check(root, &schema["then"], value, at, problems);
                }
                true
            }
            other => panic!("the schema uses {other}, which is not held"),
        };
        if !holds {
            problems.push(format!("{at} is {value}, but {word} is {rule}"));
        }
    }
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the schema has a type {other}"),
    }
}

#[test]
fn missing_fields_and_other_types_are_found() {
    let mut document: Value = serde_json::from_str(
        r#"{"format": 1, "command": "path", "outcome": "done", "exit_code": 0, "kind": null, "message": null,
            "causes": [], "dataset": "d", "store": "s", "readers_see": 1, "next": null, "version": 1, "path": "p"}"#,
    )
    .unwrap();
    assert_eq!(problems(&document), [""; 0]);
    document["readers_see"] = "1".into();
    document["path"] = 7.into();
    document["kind"] = "input".into();
    document.as_object_mut().unwrap().remove("version");
    let found = problems(&document).join("\n");
    for what in ["$.readers_see", "$.path", "$.kind", "$ lacks \"version\""] {
        assert!(found.contains(what), "{found}");
    }
}
