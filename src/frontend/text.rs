//! Text to segments, each spoken on its own.

/// The segments of a text, in order; none where there is nothing to say.
///
/// A text that holds both `<|` and `|>` is taken as it is: the caller wrote special tokens. Any other text is one
/// segment without the white space around it.
///
/// Source: CosyVoice `cosyvoice/cli/frontend.py`, `CosyVoiceFrontEnd::text_normalize`, with its normaliser off.
pub fn segments(text: &str) -> Vec<String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Vec::new();
    }
    if text.contains("<|") && text.contains("|>") {
        return vec![text.to_owned()];
    }
    vec![trimmed.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_trimmed_and_never_empty() {
        let none: [&str; 0] = [];
        assert_eq!(segments(""), none);
        assert_eq!(segments(" \n\t\u{3000}"), none);
        assert_eq!(segments("  Hello there. \n"), ["Hello there."]);
    }

    #[test]
    fn a_text_with_special_tokens_is_left_alone() {
        assert_eq!(
            segments("<|en|> Hello <|endofprompt|> "),
            ["<|en|> Hello <|endofprompt|> "]
        );
        assert_eq!(segments(" a <| b "), ["a <| b"]);
    }
}
