//! What a text with Chinese characters is cleaned of.

/// A normalised Chinese text, ready to be split.
///
/// Source: CosyVoice `cosyvoice/cli/frontend.py`, `text_normalize`, and `cosyvoice/utils/frontend_utils.py`.
pub(super) fn clean(text: &str) -> String {
    let text = drop_blanks(&text.replace('\n', ""));
    let text = text
        .replace('²', "平方")
        .replace('³', "立方")
        .replace('.', "。")
        .replace(" - ", "，");
    let text = remove_brackets(&text);
    let spoken = text.trim_end_matches(['，', ',', '、']);
    if spoken.len() == text.len() {
        return text;
    }
    format!("{spoken}。")
}

/// Drops every space but those between two ASCII characters that are no spaces themselves.
pub fn drop_blanks(text: &str) -> String {
    let is_word = |letter: char| letter.is_ascii() && letter != ' ';
    let mut kept = String::with_capacity(text.len());
    let mut before = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let stays = letter != ' '
            || before.is_some_and(is_word) && letters.peek().copied().is_some_and(is_word);
        if stays {
            kept.push(letter);
        }
        before = Some(letter);
    }
    kept
}

/// Drops brackets that are not spoken; a dash becomes a space.
pub fn remove_brackets(text: &str) -> String {
    text.replace(['（', '）', '【', '】', '`'], "")
        .replace("——", " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_without_a_neighbour_is_dropped() {
        assert_eq!(drop_blanks(" a b "), "a b");
        assert_eq!(drop_blanks(" "), "");
    }

    #[test]
    fn trailing_commas_become_one_stop() {
        assert_eq!(clean("好，,、"), "好。");
        assert_eq!(clean("，"), "。");
        assert_eq!(clean("好，吧"), "好，吧");
    }
}
