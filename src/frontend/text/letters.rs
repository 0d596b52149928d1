//! What kind of character one is.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Whether a text has a common Chinese character, which decides how it is read.
pub fn contains_chinese(text: &str) -> bool {
    text.contains(|letter| ('\u{4e00}'..='\u{9fff}').contains(&letter))
}

/// Whether a text is made of punctuation and symbols alone, or empty; a space is neither.
pub fn is_only_punctuation(text: &str) -> bool {
    text.chars().all(|letter| {
        matches!(
            letter.general_category_group(),
            GeneralCategoryGroup::Punctuation | GeneralCategoryGroup::Symbol
        )
    })
}

/// The text without the white space around it, which for Python includes the information separators.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(|letter: char| {
        letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
    })
}

/// Whether a character is a decimal digit of some script.
pub(super) fn is_digit(letter: char) -> bool {
    letter.general_category() == GeneralCategory::DecimalNumber
}

/// The value of a decimal digit of some script.
pub(super) fn digit_value(letter: char) -> Option<u8> {
    if !is_digit(letter) {
        return None;
    }
    // Unicode has the digits of a script in one row, 0 to 9; only rows of the same alphabet touch.
    let before = (1..u32::from(letter))
        .take_while(|back| char::from_u32(u32::from(letter) - back).is_some_and(is_digit));
    u8::try_from(before.count() % 10).ok()
}

/// Whether a character belongs to the one before it: accents, joiners, skin tones.
pub(super) fn continues(letter: char) -> bool {
    let joins = matches!(letter, '\u{200d}' | '\u{1f3fb}'..='\u{1f3ff}');
    joins || letter.general_category_group() == GeneralCategoryGroup::Mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_script_have_their_value() {
        let rows = [
            "0123456789",
            "٠١٢٣٤٥٦٧٨٩",
            "०१२३४५६७८९",
            "０１２３４５６７８９",
            "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
            "𝟘𝟙𝟚𝟛𝟜𝟝𝟞𝟟𝟠𝟡",
        ];
        for row in rows {
            let values: Vec<_> = row.chars().filter_map(digit_value).collect();
            assert_eq!(values, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "{row}");
        }
        for letter in ['a', '²', '½', '三', 'Ⅳ'] {
            assert_eq!(digit_value(letter), None, "{letter}");
        }
    }

    #[test]
    fn separators_are_white_space() {
        assert_eq!(strip("\u{1c}\u{3000} a\u{0} \u{1f}\n"), "a\u{0}");
    }
}
