//! A text cut at its stops and packed into segments of a length that the model speaks well.

use super::Language;
use std::mem;

/// How long segments get, in the language's measure: characters for Chinese, tokens otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitRules {
    /// A segment is closed before a piece that makes it longer than this…
    pub max: usize,
    /// … if it is longer than this already.
    pub min: usize,
    /// A last segment shorter than this joins the one before it.
    pub merge: usize,
    /// Whether commas are stops, too.
    pub at_commas: bool,
}

impl Default for SplitRules {
    fn default() -> Self {
        Self {
            max: 80,
            min: 60,
            merge: 20,
            at_commas: false,
        }
    }
}

/// Cuts a text at its stops and packs the pieces into segments. A single piece is never cut, however long.
///
/// `length`: of a text in the measure of `rules`, where an ASCII character counts one at most. A text that does not end
/// with a stop gets one.
///
/// # Errors
/// What `length` returns.
///
/// Source: CosyVoice `cosyvoice/utils/frontend_utils.py`, `split_paragraph`.
pub fn split_paragraph<E>(
    text: &str,
    language: Language,
    rules: &SplitRules,
    length: impl Fn(&str) -> Result<usize, E>,
) -> Result<Vec<String>, E> {
    let mut segments = Vec::new();
    let mut current = String::new();
    let mut is_long = false;
    for piece in pieces(text, language, rules.at_commas) {
        let before = current.len();
        current.push_str(&piece);
        if is_surely_at_most(&current, rules.min.min(rules.max)) {
            continue;
        }
        let mut current_length = length(&current)?;
        if current_length > rules.max && is_long {
            let piece = current.split_off(before);
            segments.push(mem::replace(&mut current, piece));
            current_length = length(&current)?;
        }
        is_long = current_length > rules.min;
    }
    match segments.last_mut() {
        _ if current.is_empty() => {}
        Some(last) if length(&current)? < rules.merge => last.push_str(&current),
        _ => segments.push(current),
    }
    Ok(segments)
}

/// Whether a text is short enough without measuring it: an ASCII character is at most one token.
fn is_surely_at_most(text: &str, length: usize) -> bool {
    text.len() <= length && text.is_ascii()
}

/// The text from stop to stop; a stop right behind another is dropped, a closing quote belongs to the piece before it.
fn pieces(text: &str, language: Language, at_commas: bool) -> Vec<String> {
    let is_stop = |letter: char| {
        stops(language).contains(letter) || at_commas && matches!(letter, '，' | ',')
    };
    let mut text = text.to_owned();
    match text.chars().last() {
        None => return Vec::new(),
        Some(last) if is_stop(last) => {}
        Some(_) => text.push(if language == Language::Chinese {
            '。'
        } else {
            '.'
        }),
    }
    let mut pieces: Vec<String> = Vec::new();
    let mut start = 0;
    for (at, stop) in text.char_indices().filter(|(_, letter)| is_stop(*letter)) {
        let end = at + stop.len_utf8();
        if at > start {
            pieces.push(text[start..end].to_owned());
        }
        start = end;
        let quote = text[end..]
            .chars()
            .next()
            .filter(|letter| matches!(letter, '"' | '”'));
        if let (Some(quote), Some(last)) = (quote, pieces.last_mut()) {
            last.push(quote);
            start += quote.len_utf8();
        }
    }
    pieces
}

fn stops(language: Language) -> &'static str {
    match language {
        Language::Chinese => "。？！；：、.?!;",
        Language::Other => ".?!;:",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn split(text: &str) -> Vec<String> {
        let characters = |piece: &str| Ok::<_, Infallible>(piece.chars().count());
        split_paragraph(text, Language::Other, &SplitRules::default(), characters)
            .expect("counting cannot fail")
    }

    #[test]
    fn a_quote_with_no_piece_before_it_starts_one() {
        assert_eq!(split(".\"Hi"), ["\"Hi."]);
        assert_eq!(split("Hi..\" Yes"), ["Hi.\" Yes."]);
    }

    #[test]
    fn stops_alone_are_nothing() {
        assert_eq!(split(""), [""; 0]);
        assert_eq!(split("..."), [""; 0]);
    }
}
