//! Regular expressions of products, read by an engine that is linear in the text: what it cannot say is an error.

use std::sync::Arc;

use regex::RegexBuilder;
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{self, Ast, ClassSet, ClassSetItem, Flag, FlagsItem, FlagsItemKind, GroupKind};

use crate::policy::matcher::{Expression, Matcher};
use crate::policy::pattern::{PatternError, PatternProblem as Problem};
use crate::policy::standing::Standing;

/// An expression compiles to so many bytes at most.
const SIZE: usize = 1 << 20;

/// Whose syntax an expression is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Perl's, as far as it is common ground.
    Perl,
    /// Python's `re`.
    Python,
}

/// Reads an expression that is searched for without regard to case.
pub(super) fn expression(text: &str, at: usize, syntax: Syntax) -> Result<Matcher, PatternError> {
    let source = &text[at..];
    let fail = |start: usize, end: usize, reason: String, mend: Option<&str>, standing| PatternError {
        pattern: text.to_owned(),
        span: at + start..(at + end.max(start)).min(text.len()),
        problem: Problem::Expression(reason),
        mend: mend.map(str::to_owned),
        standing,
    };
    if let Some((start, what)) = beyond(source, syntax) {
        let reason = format!("{what} are part of the product's syntax and cannot be tried here");
        return Err(fail(
            start,
            source.len(),
            reason,
            Some("write the expression without them"),
            Standing::NotEstablished,
        ));
    }
    let parsed = Parser::new().parse(source).map_err(|error| {
        let (start, end) = (error.span().start.offset, error.span().end.offset);
        // What every engine refuses; other forms mean something to some, as a lone brace does to Python.
        let refused = match error.kind() {
            ast::ErrorKind::RepetitionMissing => !source[start..].starts_with('{'),
            ast::ErrorKind::ClassRangeInvalid
            | ast::ErrorKind::ClassUnclosed
            | ast::ErrorKind::EscapeUnexpectedEof
            | ast::ErrorKind::GroupUnclosed
            | ast::ErrorKind::GroupUnopened => true,
            _ => false,
        };
        let (reason, mend) = match error.kind() {
            ast::ErrorKind::RepetitionMissing if refused => (
                "this is no regular expression: there is nothing to repeat before the `*`".to_owned(),
                Some(r"for a domain and everything below it write `^(.+\.)?okta\.com:443$`"),
            ),
            kind if refused => (format!("this is no regular expression: {kind}"), None),
            kind => (format!("the expression cannot be tried here: {kind}"), None),
        };
        fail(start, end, reason, mend, if refused { Standing::Established } else { Standing::NotEstablished })
    })?;
    if syntax == Syntax::Python
        && let Some((span, reason)) = not_python(&parsed, true)
    {
        return Err(fail(span.start.offset, span.end.offset, reason.to_owned(), None, Standing::Established));
    }
    if syntax == Syntax::Python
        && let Some(span) = nested_class(&parsed)
    {
        let reason = "the expression cannot be tried here: Python's `re` has no classes within classes, and reads this otherwise";
        return Err(fail(span.start.offset, span.end.offset, reason.to_owned(), None, Standing::NotEstablished));
    }
    let built = RegexBuilder::new(source).case_insensitive(true).size_limit(SIZE).dfa_size_limit(SIZE).build();
    let regex = built.map_err(|error| {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => "the expression is too large to be tried here".to_owned(),
            error => format!("the expression cannot be tried here: {}", last_line(&error.to_string())),
        };
        fail(0, source.len(), reason, None, Standing::NotEstablished)
    })?;
    Ok(Matcher::Regex(Expression(Arc::new(regex))))
}

/// What backtracking engines know and this one does not.
fn beyond(source: &str, syntax: Syntax) -> Option<(usize, &'static str)> {
    let mut chars = source.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let rest = &source[at..];
        let known = match c {
            '(' if ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|look| rest.starts_with(look)) => "look-around assertions",
            '(' if rest.starts_with("(?>") => "atomic groups",
            '(' if rest.starts_with("(?P=") => "back-references",
            '(' if rest.starts_with("(?(") => "conditional groups",
            '(' if rest.starts_with("(?#") => "comments",
            '\\' => match chars.next() {
                Some((_, '1'..='9')) => "back-references",
                Some((_, 'Z')) => "`\\Z` anchors",
                _ => continue,
            },
            '*' | '+' | '?' | '}' if rest[1..].starts_with('+') => "possessive repetitions",
            '[' if syntax == Syntax::Perl && rest.starts_with("[[:<:]]") => "word-boundary brackets",
            _ => continue,
        };
        return Some((at, known));
    }
    None
}

/// What this engine takes and Python refuses. `first` says that nothing stands before it.
fn not_python(ast: &Ast, first: bool) -> Option<(ast::Span, &'static str)> {
    match ast {
        Ast::Repetition(repetition) => match &*repetition.ast {
            Ast::Repetition(_) => Some((repetition.op.span, "this is no regular expression: multiple repeat")),
            Ast::Assertion(_) => Some((repetition.op.span, "this is no regular expression: nothing to repeat")),
            inner => not_python(inner, false),
        },
        Ast::Group(group) => match &group.kind {
            GroupKind::CaptureName { starts_with_p: false, .. } => {
                Some((group.span, "Python names a group with `(?P<name>…)`"))
            }
            GroupKind::NonCapturing(flags) if flags.items.iter().any(is_foreign) => {
                Some((flags.span, "Python knows no such flag"))
            }
            _ => not_python(&group.ast, false),
        },
        Ast::Alternation(alternation) => {
            alternation.asts.iter().enumerate().find_map(|(at, ast)| not_python(ast, first && at == 0))
        }
        Ast::Concat(concat) => {
            let flags = concat.asts.iter().take_while(|ast| matches!(ast, Ast::Flags(_))).count();
            concat.asts.iter().enumerate().find_map(|(at, ast)| not_python(ast, first && at < flags))
        }
        Ast::ClassUnicode(class) => Some((class.span, "Python's `re` knows no `\\p`")),
        Ast::Flags(flags) if !first => Some((flags.span, "Python takes flags at the start of an expression alone")),
        Ast::Flags(set) => {
            let foreign = |item: &FlagsItem| is_foreign(item) || item.kind == FlagsItemKind::Negation;
            set.flags.items.iter().any(foreign).then_some((set.span, "Python knows no such flag"))
        }
        Ast::ClassBracketed(_)
        | Ast::Empty(_)
        | Ast::Literal(_)
        | Ast::Dot(_)
        | Ast::Assertion(_)
        | Ast::ClassPerl(_) => None,
    }
}

/// The first class that has another one in it.
fn nested_class(ast: &Ast) -> Option<ast::Span> {
    match ast {
        Ast::ClassBracketed(class) => (!is_plain(&class.kind)).then_some(class.span),
        Ast::Repetition(repetition) => nested_class(&repetition.ast),
        Ast::Group(group) => nested_class(&group.ast),
        Ast::Alternation(alternation) => alternation.asts.iter().find_map(nested_class),
        Ast::Concat(concat) => concat.asts.iter().find_map(nested_class),
        _ => None,
    }
}

fn is_foreign(item: &FlagsItem) -> bool {
    matches!(item.kind, FlagsItemKind::Flag(Flag::SwapGreed | Flag::CRLF))
}

/// Whether a class has nothing in it but characters, ranges and `\d` and its like.
fn is_plain(set: &ClassSet) -> bool {
    let is_plain_item = |item: &ClassSetItem| {
        matches!(
            item,
            ClassSetItem::Empty(_) | ClassSetItem::Literal(_) | ClassSetItem::Range(_) | ClassSetItem::Perl(_)
        )
    };
    match set {
        ClassSet::BinaryOp(_) => false,
        ClassSet::Item(ClassSetItem::Union(union)) => union.items.iter().all(is_plain_item),
        ClassSet::Item(item) => is_plain_item(item),
    }
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> (String, String) {
        let error = expression(text, 0, Syntax::Python).unwrap_err();
        (error.pattern[error.span].to_owned(), error.problem.to_string())
    }

    #[test]
    fn what_cannot_be_said_says_so() {
        assert_eq!(error("*.okta.com").1, "this is no regular expression: there is nothing to repeat before the `*`");
        assert_eq!(
            error(r"^(?!evil)okta\.com$").1,
            "look-around assertions are part of the product's syntax and cannot be tried here"
        );
        assert!(error(r"(a)\1").1.starts_with("back-references"));
        assert_eq!(error("a**").1, "this is no regular expression: multiple repeat");
        assert!(error("a++").1.starts_with("possessive"));
        assert!(error("a{1000}{1000}").1.contains("multiple repeat"));
        assert!(error(r"(\w{1000}){1000}").1.contains("too large"));
        assert!(error("(?<n>a)").1.contains("(?P<name>"));
        assert!(error("[[:alpha:]]").1.contains("classes within classes"));
        assert!(error("okta(?i)").1.contains("at the start") && error("(?i:a)|(?i)b").1.contains("at the start"));
        assert!(error("(?U)a").1.contains("no such flag") && error("(?-i)a").1.contains("no such flag"));
        assert!(expression("(?i)(?s)okta|(?i:acme)", 0, Syntax::Python).is_ok());
        assert!(expression(r"[a-z\d_-]+", 0, Syntax::Python).is_ok());
        assert!(error("[a").1.contains("no regular expression"));
        assert!(expression(r"^(.+\.)?okta\.com:443$", 0, Syntax::Python).is_ok());
    }
}
