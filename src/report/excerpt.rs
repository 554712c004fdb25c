//! One line of a file with a caret under the place that is meant, plain enough for an XML report.

use std::fmt::Write as _;

use super::text::wrap;
use super::{Failure, Place};

/// The characters of a line that are shown: with its margin it fits into 100 columns.
const WIDTH: usize = 80;

/// The line with a caret below it, and below that what was expected and what happened.
pub(super) fn excerpt(failure: &Failure) -> String {
    let Place { file, line, column, width } = &failure.place;
    let (text, column) = window(&failure.excerpt, *column);
    let width = (*width).min(text.chars().count().saturating_sub(column - 1)).max(1);
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let blank = " ".repeat(column - 1);
    let carets = "^".repeat(width);
    let mut whole = format!("{margin}--> {file}:{line}:{}\n{margin} |\n", failure.place.column);
    let _ = writeln!(whole, "{number} | {text}\n{margin} | {blank}{carets}");
    for (label, value) in [("expected", &failure.expected), ("  actual", &failure.actual)] {
        let head = format!("{margin} = {label} {}: ", failure.expectation);
        let hang = " ".repeat(head.len());
        let lines = value.lines().flat_map(|line| wrap(line, (WIDTH + 4).saturating_sub(hang.len())));
        let lines: Vec<_> = lines.collect();
        let _ = writeln!(whole, "{head}{}", lines.join(&format!("\n{hang}")));
    }
    whole
}

/// The part of a long line around the column, and where the column is in it.
fn window(line: &str, column: usize) -> (String, usize) {
    // A tab is one column to a caret.
    let characters: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if characters.len() <= WIDTH {
        return (characters.iter().collect(), column.clamp(1, characters.len().max(1)));
    }
    let column = column.clamp(1, characters.len());
    let from = if column <= WIDTH / 2 { 0 } else { (column - 1).saturating_sub(WIDTH / 4) };
    let to = (from + WIDTH).min(characters.len());
    let mut text: String = characters[from..to].iter().collect();
    let mut shown = column - from;
    if from > 0 {
        text.insert_str(0, "… ");
        shown += 2;
    }
    if to < characters.len() {
        text.push_str(" …");
    }
    (text, shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Document;

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line =
            format!("expect = {{ a = \"{}\", cause = \"expired\", b = \"{}\" }}", "x".repeat(90), "y".repeat(90));
        let document = Document::new("long.toml", line.as_str());
        let at = line.find("\"expired\"").unwrap();
        let failure = Failure::at(&document, &(at..at + 9), "cause", "expired", "policy");
        insta::assert_snapshot!(excerpt(&failure), @r##"
         --> long.toml:1:118
          |
        1 | … xxxxxxxxx", cause = "expired", b = "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy …
          |                       ^^^^^^^^^
          = expected cause: expired
          =   actual cause: policy
        "##);
    }

    #[test]
    fn long_values_are_broken() {
        let document = Document::new("log.toml", "log = \"x\"\n");
        let expected = "one of the lines says that the remote certificate is invalid according to the procedure";
        let failure = Failure::at(&document, &(6..9), "log", expected, "first line\nsecond line");
        insta::assert_snapshot!(excerpt(&failure), @r##"
         --> log.toml:1:7
          |
        1 | log = "x"
          |       ^^^
          = expected log: one of the lines says that the remote certificate is invalid
                          according to the procedure
          =   actual log: first line
                          second line
        "##);
    }

    #[test]
    fn a_place_over_several_lines_is_marked_on_the_first() {
        let document = Document::new("short.toml", "log = [\n  \"a\",\n]\n");
        let failure = Failure::at(&document, &(6..16), "log", "a", "nothing");
        insta::assert_snapshot!(excerpt(&failure), @r##"
         --> short.toml:1:7
          |
        1 | log = [
          |       ^
          = expected log: a
          =   actual log: nothing
        "##);
    }

    proptest::proptest! {
        #[test]
        fn any_place_can_be_shown(line in "\\PC{0,200}", from in 0..900_usize, length in 0..900_usize) {
            let document = Document::new("any.toml", line.as_str());
            let failure = Failure::at(&document, &(from..from + length), "k", "e", "a");
            for line in excerpt(&failure).lines() {
                proptest::prop_assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }
}
