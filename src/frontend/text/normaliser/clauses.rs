//! Pieces of a text that can be normalised by themselves.

use super::super::Language;

/// Longer clauses are cut between words: time and memory of a transducer grow with its input.
const MAX_CLAUSE_BYTES: usize = 600;

/// Cuts a text at its sentence ends; joined, the clauses are the text.
///
/// A full stop ends a sentence only after a word of more than three letters and before white space with no digit
/// behind it: after `Dr.`, `No.` or `p.m.` what follows decides how the clause is read.
pub(super) fn clauses(text: &str, language: Language) -> Vec<&str> {
    let mut clauses = Vec::new();
    let mut start = 0;
    for (at, letter) in text.char_indices() {
        let end = at + letter.len_utf8();
        let ends = match letter {
            '。' | '！' | '？' | '；' | '\n' => true,
            '.' | '!' | '?' | ';' if language == Language::Other => {
                ends_sentence(&text[start..at], letter, &text[end..])
            }
            _ => false,
        };
        if ends {
            push_bounded(&text[start..end], &mut clauses);
            start = end;
        }
    }
    push_bounded(&text[start..], &mut clauses);
    clauses
}

fn ends_sentence(before: &str, stop: char, after: &str) -> bool {
    if !after.starts_with(char::is_whitespace) {
        return false;
    }
    if after.trim_start().starts_with(char::is_numeric) {
        return false;
    }
    // Reading back over a whole clause for every stop in it would take square time.
    let is_word = |letter: &char| letter.is_alphabetic();
    stop != '.' || before.chars().rev().take(4).filter(is_word).count() == 4
}

/// Adds a clause, in parts where it is too long; a part ends with white space, or it is one word that stays too long.
fn push_bounded<'a>(clause: &'a str, clauses: &mut Vec<&'a str>) {
    let mut start = 0;
    let mut last_space = None;
    for (at, _) in clause.match_indices(char::is_whitespace) {
        if at - start > MAX_CLAUSE_BYTES {
            let end = last_space.filter(|&space| space > start).unwrap_or(at);
            clauses.push(&clause[start..end]);
            start = end;
        }
        last_space = Some(at);
    }
    if let Some(space) =
        last_space.filter(|&space| space > start && clause.len() - start > MAX_CLAUSE_BYTES)
    {
        clauses.push(&clause[start..space]);
        start = space;
    }
    if start < clause.len() {
        clauses.push(&clause[start..]);
    }
}

/// Whether a clause is short enough for a transducer.
pub(super) fn is_bounded(clause: &str) -> bool {
    clause.len() <= MAX_CLAUSE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_end_where_sentences_do() {
        let cases: [(&str, Language, &[&str]); 7] = [
            ("", Language::Other, &[]),
            (
                "Dr. Lee has 3. No. 7 too.",
                Language::Other,
                &["Dr. Lee has 3. No. 7 too."],
            ),
            (
                "They left. I have 3!  Why? Go",
                Language::Other,
                &["They left.", " I have 3!", "  Why?", " Go"],
            ),
            (
                "In total. 3 are left",
                Language::Other,
                &["In total. 3 are left"],
            ),
            ("one\ntwo", Language::Other, &["one\n", "two"]),
            (
                "今天3个。明天 4个！1. 2? a",
                Language::Chinese,
                &["今天3个。", "明天 4个！", "1. 2? a"],
            ),
            ("See a.com now", Language::Other, &["See a.com now"]),
        ];
        for (text, language, want) in cases {
            assert_eq!(clauses(text, language), want, "{text}");
        }
    }

    #[test]
    fn a_long_clause_is_cut_between_words() {
        for text in [
            "12 word ".repeat(1000),
            format!("{} 12", "x".repeat(5000)),
            "x".repeat(5000),
            format!("a {} b", "y".repeat(700)),
        ] {
            let parts = clauses(&text, Language::Other);
            assert_eq!(parts.concat(), text);
            for part in parts {
                assert!(
                    is_bounded(part) || !part.trim().contains(' '),
                    "{} bytes",
                    part.len()
                );
            }
        }
    }
}
