//! Text for the terminal: made harmless, and broken at a width.

/// Text from files, clients and the network, without anything that moves a cursor, changes a colour or turns the
/// direction of writing.
pub(crate) fn clean(text: &str) -> String {
    let text = anstream::adapter::strip_str(text).to_string();
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !is_disguise(*c)).collect()
}

fn is_disguise(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Breaks a line at spaces; a word that is longer than the width stays whole, so that it can be copied.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for (at, word) in text.split(' ').enumerate() {
        let word_length = word.chars().count();
        if length > 0 && length + 1 + word_length > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        } else if at > 0 {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += word_length;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_commands_a_terminal_gets_through() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\ttab \u{1b}]0;title\u{7}end\r \u{202e}gnp"), "red tab end gnp");
    }

    #[test]
    fn lines_break_at_spaces_and_nowhere_else() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("sha256/AAAAAAAAAA", 7), ["sha256/AAAAAAAAAA"]);
        assert_eq!(wrap("", 7), [""]);
        assert_eq!(wrap("  kept", 20), ["  kept"]);
    }
}
