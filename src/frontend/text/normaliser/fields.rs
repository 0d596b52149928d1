//! The tagger's output: tokens with named fields, brought into the order they are spoken in.

use super::super::Language;

/// Brings the fields of each token into spoken order; `None` where the text is not made of tokens.
///
/// A token reads `date { year: "…" month: "…" }`; values escape with a backslash. A token with
/// `preserve_order: "true"` keeps its own order; of one that the table names, only the fields there are kept.
///
/// Source: wetext 0.0.9, `token_parser.py`.
pub(super) fn reorder(tagged: &str, language: Language) -> Option<String> {
    let mut rest = tagged.trim_start_matches(' ');
    let mut spoken = String::with_capacity(tagged.len());
    while !rest.is_empty() {
        let (token, after) = Token::parse(rest)?;
        if !spoken.is_empty() {
            spoken.push(' ');
        }
        token.write(language, &mut spoken);
        rest = after.trim_start_matches(' ');
    }
    Some(spoken).filter(|spoken| !spoken.is_empty())
}

struct Token<'a> {
    name: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Token<'a> {
    /// The first token of a text, and what follows it.
    fn parse(text: &'a str) -> Option<(Self, &'a str)> {
        let (name, rest) = key(text)?;
        let mut rest = rest.trim_start_matches(' ').strip_prefix('{')?;
        let mut fields = Vec::new();
        loop {
            rest = rest.trim_start_matches(' ');
            if let Some(after) = rest.strip_prefix('}') {
                return Some((Self { name, fields }, after));
            }
            let (field, after) = key(rest)?;
            let value = after
                .strip_prefix(':')?
                .trim_start_matches(' ')
                .strip_prefix('"')?;
            let end = closing_quote(value)?;
            fields.push((field, &value[..end]));
            rest = &value[end + 1..];
        }
    }

    fn write(&self, language: Language, out: &mut String) {
        out.push_str(self.name);
        out.push_str(" {");
        let keeps_order = self.value("preserve_order") == Some("true");
        match spoken_order(language, self.name).filter(|_| !keeps_order) {
            Some(order) => {
                for field in order {
                    if let Some(value) = self.value(field) {
                        write_field(field, value, out);
                    }
                }
            }
            None => {
                for (field, _) in &self.fields {
                    write_field(field, self.value(field).unwrap_or_default(), out);
                }
            }
        }
        out.push_str(" }");
    }

    /// A field's value; of a repeated field the last.
    fn value(&self, name: &str) -> Option<&'a str> {
        self.fields
            .iter()
            .rfind(|(field, _)| *field == name)
            .map(|(_, value)| *value)
    }
}

fn write_field(name: &str, value: &str, out: &mut String) {
    for part in [" ", name, ": \"", value, "\""] {
        out.push_str(part);
    }
}

fn spoken_order(language: Language, token: &str) -> Option<&'static [&'static str]> {
    Some(match (language, token) {
        (Language::Chinese, "date") => &["year", "month", "day"],
        (Language::Chinese, "fraction") => &["denominator", "numerator"],
        (Language::Chinese, "measure") => &["denominator", "numerator", "value"],
        (Language::Chinese, "money") => &["value", "currency"],
        (Language::Chinese, "time") => &["noon", "hour", "minute", "second"],
        (Language::Other, "date") => &["preserve_order", "text", "day", "month", "year"],
        (Language::Other, "money") => &[
            "integer_part",
            "fractional_part",
            "quantity",
            "currency_maj",
        ],
        _ => return None,
    })
}

/// A name of letters and underscores, and what follows it.
fn key(text: &str) -> Option<(&str, &str)> {
    let is_key = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    let end = text.find(|letter| !is_key(letter))?;
    (end > 0).then(|| text.split_at(end))
}

/// Where a value ends: its first quote that no backslash escapes.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_spoken_order() {
        let cases = [
            (
                r#"date { day: "三" year: "一" } char { value: "中" }"#,
                Language::Chinese,
                Some(r#"date { year: "一" day: "三" } char { value: "中" }"#),
            ),
            (
                r#"date { month: "may" day: "five" preserve_order: "true" } "#,
                Language::Other,
                Some(r#"date { month: "may" day: "five" preserve_order: "true" }"#),
            ),
            (
                r#"money { currency_maj: "dollars" integer_part: "two"  }"#,
                Language::Other,
                Some(r#"money { integer_part: "two" currency_maj: "dollars" }"#),
            ),
            (
                r#"p { v: "\"" } p { v: "\\" }"#,
                Language::Other,
                Some(r#"p { v: "\"" } p { v: "\\" }"#),
            ),
            (
                r#"p { v: "a" v: "b" }"#,
                Language::Other,
                Some(r#"p { v: "b" v: "b" }"#),
            ),
            ("", Language::Other, None),
            ("plain", Language::Other, None),
            (r#"p { v: "open"#, Language::Other, None),
            (r#"p { v: "x" "#, Language::Other, None),
            (r#"p { 7: "x" }"#, Language::Other, None),
        ];
        for (tagged, language, want) in cases {
            assert_eq!(reorder(tagged, language).as_deref(), want, "{tagged}");
        }
    }
}
