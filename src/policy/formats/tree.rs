//! JSON and HCL as one tree with places, because products say the same things in both.

use std::collections::HashMap;

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Body, Structure};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, ast, parse_to_ast};

use super::Place;
use crate::source::{Document, PlaceError, Places};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The byte offset of a text behind its quote, of anything else of its first byte.
    pub(super) at: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Bool(bool),
    /// What only Terraform can work out, as it is written.
    Expression(String),
    Fields(Vec<Field>),
    Items(Vec<Node>),
    Null,
    Number(String),
    Text(String),
}

/// A key with its value; of a block of HCL, its type, its labels and its body.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// In snake case: `urlCategories` is `url_categories`.
    pub(super) key: String,
    pub(super) at: usize,
    pub(super) labels: Vec<String>,
    pub(super) node: Node,
}

/// References resolve this far; a circle ends here.
const DEPTH: usize = 8;

impl Node {
    pub(super) fn fields(&self) -> &[Field] {
        match &self.value {
            Value::Fields(fields) => fields,
            _ => &[],
        }
    }

    /// The elements of a list; a value that is no list stands for a list of one.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::Items(items) => items,
            Value::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// The value of the first field of a name.
    pub(super) fn field(&self, key: &str) -> Option<&Self> {
        self.fields().iter().find(|field| field.key == key).map(|field| &field.node)
    }

    /// All elements of all fields of a name: HCL repeats blocks where JSON has a list.
    pub(super) fn all<'n>(&'n self, key: &'n str) -> impl Iterator<Item = &'n Self> {
        self.fields().iter().filter(move |field| field.key == key).flat_map(|field| field.node.items())
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Expression(text) | Value::Number(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match &self.value {
            Value::Bool(value) => *value,
            Value::Text(text) => matches!(text.as_str(), "true" | "yes"),
            _ => false,
        }
    }

    /// Whether nothing is in it.
    pub(super) fn is_nothing(&self) -> bool {
        match &self.value {
            Value::Bool(value) => !value,
            Value::Expression(_) | Value::Number(_) => false,
            Value::Fields(fields) => fields.is_empty(),
            Value::Items(items) => items.iter().all(Self::is_nothing),
            Value::Null => true,
            Value::Text(text) => text.is_empty(),
        }
    }
}

/// The place of an offset in the first document.
pub(super) fn place(places: &mut Places<'_>, at: usize) -> Place {
    let (line, column) = places.at(at);
    Place { document: 0, line, column }
}

/// Reads JSON; comments and commas before a closing bracket are let pass, and nothing else.
pub(super) fn json(document: &Document) -> Result<Node, PlaceError> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(document.text(), &CollectOptions::default(), &options).map_err(|error| {
        let range = error.range();
        let message = error.kind().to_string();
        let (first, rest) = message.split_at(message.chars().next().map_or(0, char::len_utf8));
        document.error(range.start..range.end.max(range.start + 1), first.to_lowercase() + rest, None)
    })?;
    match parsed.value {
        Some(value) => Ok(of_json(document.text(), value)),
        None => Err(document.error(0..0, "the file holds no value", None)),
    }
}

fn of_json(text: &str, value: ast::Value<'_>) -> Node {
    let at = value.start();
    match value {
        ast::Value::StringLit(lit) => of_text(text, at, lit.value.into_owned()),
        ast::Value::NumberLit(lit) => Node { at, value: Value::Number(lit.value.to_owned()) },
        ast::Value::BooleanLit(lit) => Node { at, value: Value::Bool(lit.value) },
        ast::Value::NullKeyword(_) => Node { at, value: Value::Null },
        ast::Value::Array(array) => {
            let items = array.elements.into_iter().map(|element| of_json(text, element)).collect();
            Node { at, value: Value::Items(items) }
        }
        ast::Value::Object(object) => {
            let field = |property: ast::ObjectProp<'_>| Field {
                key: snake(property.name.as_str()),
                at: property.range.start,
                labels: Vec::new(),
                node: of_json(text, property.value),
            };
            Node { at, value: Value::Fields(object.properties.into_iter().map(field).collect()) }
        }
    }
}

/// A text in quotes: its place is behind the quote, where it is written as it is.
fn of_text(source: &str, at: usize, text: String) -> Node {
    let inner = at + 1;
    let as_it_is = !text.is_empty() && source.get(inner..).is_some_and(|rest| rest.starts_with(&text));
    Node { at: if as_it_is { inner } else { at }, value: Value::Text(text) }
}

/// `urlCategories` as `url_categories`.
fn snake(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    let mut before = ' ';
    for sign in key.chars() {
        if sign.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
            snake.push('_');
        }
        snake.push(sign.to_ascii_lowercase());
        before = sign;
    }
    snake
}

/// Reads HCL. References to locals and to the defaults of variables are followed within the file.
pub(super) fn hcl(document: &Document) -> Result<Node, PlaceError> {
    let body = hcl_edit::parser::parse_body(document.text()).map_err(|error| {
        let at = error.location().offset();
        document.error(at..at + 1, error.message().to_owned(), None)
    })?;
    let mut root = of_body(document.text(), &body);
    let mut known: HashMap<String, Node> = HashMap::new();
    for field in root.fields() {
        if field.key == "locals" {
            known.extend(field.node.fields().iter().map(|local| (format!("local.{}", local.key), local.node.clone())));
        } else if let ("variable", [name], Some(default)) =
            (field.key.as_str(), field.labels.as_slice(), field.node.field("default"))
        {
            known.insert(format!("var.{name}"), default.clone());
        }
    }
    resolve(&mut root, &known, DEPTH);
    Ok(root)
}

fn resolve(node: &mut Node, known: &HashMap<String, Node>, depth: usize) {
    match &mut node.value {
        Value::Expression(text) => {
            if let Some(found) = known.get(text.as_str()).filter(|_| depth > 0) {
                *node = found.clone();
                resolve(node, known, depth - 1);
            }
        }
        Value::Fields(fields) => fields.iter_mut().for_each(|field| resolve(&mut field.node, known, depth)),
        Value::Items(items) => {
            for item in items.iter_mut() {
                resolve(item, known, depth);
            }
            // A list of lists is what `concat` and `flatten` make of it.
            if items.iter().any(|item| matches!(item.value, Value::Items(_))) {
                let flat = std::mem::take(items).into_iter().flat_map(|item| match item.value {
                    Value::Items(inner) => inner,
                    _ => vec![item],
                });
                *items = flat.collect();
            }
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Text(_) => {}
    }
}

fn of_body(text: &str, body: &Body) -> Node {
    let field = |structure: &Structure| match structure {
        Structure::Attribute(attribute) => Field {
            key: snake(attribute.key.as_str()),
            at: attribute.span().map_or(0, |span| span.start),
            labels: Vec::new(),
            node: of_expression(text, &attribute.value),
        },
        Structure::Block(block) => Field {
            key: snake(block.ident.as_str()),
            at: block.span().map_or(0, |span| span.start),
            labels: block.labels.iter().map(|label| label.as_str().to_owned()).collect(),
            node: of_body(text, &block.body),
        },
    };
    let at = body.span().map_or(0, |span| span.start);
    Node { at, value: Value::Fields(body.iter().map(field).collect()) }
}

/// How HCL says a dollar sign that stands before an interpolation.
const DOLLAR: &str = "${\"$\"}";

fn of_expression(source: &str, expression: &Expression) -> Node {
    let span = expression.span().unwrap_or(0..0);
    let written = source.get(span.clone()).unwrap_or_default().trim();
    let as_written = || Value::Expression(written.to_owned());
    let value = match expression {
        Expression::Null(_) => Value::Null,
        Expression::Bool(value) => Value::Bool(*value.value()),
        Expression::Number(number) => Value::Number(number.value().to_string()),
        Expression::String(text) => return of_text(source, span.start, text.value().clone()),
        // A dollar sign before another interpolation can only be said as one; what is left is a text.
        Expression::StringTemplate(_) if written.contains(DOLLAR) => {
            Value::Text(written.trim_matches('"').replace(DOLLAR, "$").replace("\\\"", "\""))
        }
        Expression::HeredocTemplate(heredoc) => match heredoc.template.as_single_element() {
            Some(element) => match element.as_literal() {
                Some(text) => Value::Text(text.trim().to_owned()),
                None => as_written(),
            },
            None => as_written(),
        },
        Expression::Array(array) => Value::Items(array.iter().map(|item| of_expression(source, item)).collect()),
        Expression::Object(object) => {
            let field = |(key, value): (&ObjectKey, &hcl_edit::expr::ObjectValue)| {
                let name = match key {
                    ObjectKey::Ident(ident) => ident.as_str().to_owned(),
                    ObjectKey::Expression(key) => of_expression(source, key).text().unwrap_or_default().to_owned(),
                };
                let at = key.span().map_or(0, |span| span.start);
                Field { key: snake(&name), at, labels: Vec::new(), node: of_expression(source, value.expr()) }
            };
            Value::Fields(object.iter().map(field).collect())
        }
        Expression::Parenthesis(inner) => return of_expression(source, inner.inner()),
        // These change nothing of what is in a list.
        Expression::FuncCall(call)
            if ["tolist", "toset", "concat", "flatten", "distinct", "sort"].contains(&call.name.name.as_str()) =>
        {
            let mut items = Vec::new();
            for argument in &call.args {
                let argument = of_expression(source, argument);
                match argument.value {
                    Value::Items(inner) => items.extend(inner),
                    _ => items.push(argument),
                }
            }
            Value::Items(items)
        }
        _ => as_written(),
    };
    Node { at: span.start, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hcl_follows_what_the_file_itself_says() {
        let document = Document::new(
            "x.tf",
            "locals {\n  a = [\"x\"]\n  circle = local.circle\n}\nvariable \"v\" {\n  default = [\"y\", \"z\"]\n}\n\
             resource \"t\" \"n\" {\n  urls = concat(local.a, var.v, [\"$${w}\"])\n  more = local.circle\n  b {\n    \
             c = other.id\n  }\n}\n",
        );
        let root = hcl(&document).unwrap();
        let resource = &root.fields()[2];
        assert_eq!((resource.key.as_str(), resource.labels.join(" ")), ("resource", "t n".to_owned()));
        let mut places = document.places();
        let urls = resource.node.field("urls").unwrap().items();
        let told: Vec<_> =
            urls.iter().map(|url| format!("{} {}", place(&mut places, url.at), url.text().unwrap())).collect();
        assert_eq!(told, ["2:9 x", "6:15 y", "6:20 z", "9:34 ${w}"]);
        assert_eq!(resource.node.field("b").unwrap().field("c").unwrap().text(), Some("other.id"));
        let broken = Document::new("x.tf", "a = [\nb");
        assert!(hcl(&broken).unwrap_err().to_string().starts_with("x.tf:2:"), "{}", hcl(&broken).unwrap_err());
    }

    #[test]
    fn a_dollar_sign_before_an_interpolation_is_text() {
        let document = Document::new("x.tf", "a = \"n == \\\"b\\\" or n in ${\"$\"}${list.l.id}\"\nc = \"${d}.e\"\n");
        let root = hcl(&document).unwrap();
        assert!(
            matches!(&root.field("a").unwrap().value, Value::Text(text) if text == "n == \"b\" or n in $${list.l.id}")
        );
        assert!(matches!(&root.field("c").unwrap().value, Value::Expression(text) if text == "\"${d}.e\""));
    }

    #[test]
    fn json_has_places_and_snakes() {
        let document = Document::new("x.json", "// c\n{\"urlCategories\": [\"a\", \"\\u0062\",], \"dbURLs2Go\": 1}");
        let root = json(&document).unwrap();
        let mut places = document.places();
        let items = root.field("url_categories").unwrap().items();
        let told: Vec<_> = items.iter().map(|item| place(&mut places, item.at).to_string()).collect();
        assert_eq!(told, ["2:21", "2:25"]);
        assert_eq!(root.fields()[1].key, "db_urls2_go");
        let error = json(&Document::new("x", "{\"a\": nul}")).unwrap_err();
        assert_eq!(error.line_column(), (1, 7), "{error}");
        let deep = "[".repeat(100_000);
        assert!(json(&Document::new("x", deep)).is_err());
    }
}
