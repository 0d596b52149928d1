//! A limit on segments that their stops leave too long.

use super::letters::{continues, is_only_punctuation};

/// Cuts a segment into parts of at most `max`, at a stop or comma in the second half of what fits, else between words,
/// else between characters. One character stays whole even where it is longer, and a last stop stays where it is.
///
/// `length`: of a text, in the measure of `max`; it grows with the text.
///
/// # Errors
/// What `length` returns.
///
/// This goes beyond the reference, which lets one endless sentence run into the model's limit.
pub(super) fn cut<E>(
    segment: &str,
    max: usize,
    length: impl Fn(&str) -> Result<usize, E>,
) -> Result<Vec<String>, E> {
    let mut parts = Vec::new();
    let mut rest = segment;
    while !rest.is_empty() {
        let fits = longest_fit(rest, max, &length)?;
        let end = if is_closing(&rest[fits..]) {
            rest.len()
        } else {
            boundary(rest, fits)
        };
        let (part, after) = rest.split_at(end);
        parts.push(part.to_owned());
        rest = after;
    }
    Ok(parts)
}

/// Bytes of the longest head of a text that is no longer than `max`, at least one character.
///
/// Heads are doubled until one is too long, so that only text near the cut is measured.
fn longest_fit<E>(
    text: &str,
    max: usize,
    length: &impl Fn(&str) -> Result<usize, E>,
) -> Result<usize, E> {
    let mut unseen = ends(text);
    let mut seen: Vec<usize> = unseen.by_ref().take(max.max(1)).collect();
    let mut fits = 1;
    while length(&text[..seen[seen.len() - 1]])? <= max {
        fits = seen.len();
        seen.extend(unseen.by_ref().take(fits));
        if seen.len() == fits {
            return Ok(text.len());
        }
    }
    let mut too_long = seen.len().max(2);
    while too_long - fits > 1 {
        let middle = usize::midpoint(fits, too_long);
        if length(&text[..seen[middle - 1]])? <= max {
            fits = middle;
        } else {
            too_long = middle;
        }
    }
    Ok(seen[fits - 1])
}

/// Where each character of a text ends, with the marks that belong to it.
fn ends(text: &str) -> impl Iterator<Item = usize> {
    let mut letters = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (at, letter) = letters.next()?;
        let mut end = at + letter.len_utf8();
        let mut joined = false;
        // A joiner takes the character behind it along.
        while let Some((at, letter)) = letters.next_if(|(_, letter)| joined || continues(*letter)) {
            end = at + letter.len_utf8();
            joined = letter == '\u{200d}';
        }
        Some(end)
    })
}

/// Whether nothing is left to say but a stop, and a quote perhaps.
fn is_closing(rest: &str) -> bool {
    is_only_punctuation(rest) && rest.chars().nth(2).is_none()
}

/// The best place to cut at or before `fits`.
fn boundary(text: &str, fits: usize) -> usize {
    let head = &text[..fits];
    let after = |found: Option<(usize, &str)>| found.map(|(at, mark)| at + mark.len());
    let is_stop = |letter: char| "。？！；：、，.?!;:,…".contains(letter);
    // A stop in the middle of `3.5` or `a.com` ends nothing; a Chinese one always does.
    let ends_something = |(at, mark): &(usize, &str)| {
        !mark.is_ascii() || text[at + mark.len()..].starts_with(char::is_whitespace)
    };
    let stop = after(head.rmatch_indices(is_stop).find(ends_something));
    if let Some(stop) = stop.filter(|&stop| stop > fits / 2) {
        return stop;
    }
    if text[fits..].starts_with(char::is_whitespace) {
        return fits;
    }
    let space = after(head.rmatch_indices(char::is_whitespace).next());
    space.unwrap_or(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn parts(segment: &str, max: usize) -> Vec<String> {
        let characters = |text: &str| Ok::<_, Infallible>(text.chars().count());
        let parts = cut(segment, max, characters).expect("counting cannot fail");
        assert_eq!(parts.concat(), segment);
        parts
    }

    #[test]
    fn parts_end_at_the_best_boundary() {
        let cases: [(&str, usize, &[&str]); 10] = [
            ("short", 10, &["short"]),
            ("one two, three four", 10, &["one two,", " three ", "four"]),
            ("one two three four", 9, &["one two ", "three ", "four"]),
            ("价格是三元，一共九个", 7, &["价格是三元，", "一共九个"]),
            ("abcd.\"", 4, &["abcd.\""]),
            ("abcdefghij", 4, &["abcd", "efgh", "ij"]),
            ("see a.com/x now", 7, &["see ", "a.com/x", " now"]),
            (
                "e\u{301}e\u{301}e\u{301}",
                3,
                &["e\u{301}", "e\u{301}", "e\u{301}"],
            ),
            (
                "👩\u{200d}🚀👩\u{200d}🚀",
                2,
                &["👩\u{200d}🚀", "👩\u{200d}🚀"],
            ),
            ("", 4, &[]),
        ];
        for (segment, max, want) in cases {
            assert_eq!(parts(segment, max), want, "{segment:?} at {max}");
        }
    }

    #[test]
    fn a_long_word_takes_linear_time() {
        let parts = parts(&"x".repeat(100_000), 100);
        assert_eq!(parts.len(), 1000);
    }
}
