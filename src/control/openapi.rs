//! `GET /openapi.json`: the API as an OpenAPI 3.1 document.

use axum::response::{IntoResponse, Response};
use http::header;

const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn openapi() -> Response {
    let document = DOCUMENT.replacen("\"VERSION\"", concat!("\"", env!("CARGO_PKG_VERSION"), "\""), 1);
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::journal::{Cause, DecisionKind, Outcome};

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    #[test]
    fn every_path_that_is_served_is_described_and_no_other() {
        let routes = include_str!("routes.rs");
        let served = routes.lines().filter_map(|line| line.trim().strip_prefix(".route(\""));
        let served: BTreeSet<_> = served.filter_map(|line| line.split('"').next()).collect();
        let document = document();
        let described: BTreeSet<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(served, described);
    }

    #[test]
    fn its_words_are_those_of_the_records() {
        let document = document();
        let words = |name: &str| -> Vec<String> {
            let values = document["components"]["schemas"][name]["enum"].as_array().unwrap();
            values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
        };
        let of = |all: &mut dyn Iterator<Item = &'static str>| all.map(ToOwned::to_owned).collect::<Vec<_>>();
        assert_eq!(words("Outcome"), of(&mut Outcome::ALL.iter().map(|value| value.word())));
        assert_eq!(words("Decision"), of(&mut DecisionKind::ALL.iter().map(|value| value.word())));
        assert_eq!(words("Cause"), of(&mut Cause::ALL.iter().map(|value| value.word())));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, document: &Value) {
            match value {
                Value::Object(entries) => {
                    if let Some(reference) = entries.get("$ref").and_then(Value::as_str) {
                        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
                    }
                    entries.values().for_each(|value| walk(value, document));
                }
                Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
                _ => {}
            }
        }
        let document = document();
        walk(&document, &document);
    }
}
