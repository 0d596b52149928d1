//! `text.json`: texts to segments and ids, without the normaliser's graphs.

use super::error::{GoldenError, ParityError};
use super::report::Rows;
use crate::frontend::text::{
    Language, SplitRules, Splitting, TextFrontend, contains_chinese, drop_blanks,
    is_only_punctuation, remove_brackets, spell_out_numbers, split_paragraph,
};
use crate::frontend::{FrontendError, TextTokenizer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

#[derive(serde::Deserialize)]
struct Recording {
    #[serde(default)]
    cases: Vec<WholeText>,
    #[serde(default)]
    split_ws: Vec<SplitText>,
    #[serde(default)]
    primitives: BTreeMap<String, Vec<(String, Value)>>,
    #[serde(default)]
    whisper_tokens: Vec<Tokens>,
}

/// A text and what the reference makes of it; where it fails, `error` says why and the rest is missing.
#[derive(serde::Deserialize)]
struct WholeText {
    id: String,
    text: String,
    #[serde(default)]
    segments: Vec<String>,
    #[serde(default)]
    unsplit: String,
}

#[derive(serde::Deserialize)]
struct SplitText {
    id: String,
    text: String,
    lang: String,
    token_max_n: usize,
    token_min_n: usize,
    merge_len: usize,
    comma_split: bool,
    segments: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Tokens {
    text: String,
    ids: Vec<i32>,
}

/// Why a text was not measured.
enum NotMeasured {
    NoVocabulary,
    Tokenizer(FrontendError),
}

/// English is measured in tokens of this vocabulary.
const NO_VOCABULARY: &str =
    "it counts tokens of Whisper's vocabulary; put multilingual.tiktoken beside text.json";

pub(super) fn replay(
    path: &Path,
    vocabulary: Option<&TextTokenizer>,
    rows: &mut Rows<'_>,
) -> Result<(), ParityError> {
    let text = std::fs::read_to_string(path).map_err(|source| GoldenError::Read {
        path: path.to_owned(),
        source,
    })?;
    let recording: Recording = serde_json::from_str(&text).map_err(|source| GoldenError::Json {
        path: path.to_owned(),
        source,
    })?;
    for case in &recording.cases {
        whole_text(case, vocabulary, rows);
    }
    for case in &recording.split_ws {
        split_text(case, rows);
    }
    for (name, cases) in &recording.primitives {
        primitive(name, cases, rows);
    }
    for (index, case) in recording.whisper_tokens.iter().enumerate() {
        let name = format!("whisper_tokens.{index}");
        match vocabulary.map(|vocabulary| vocabulary.encode(&case.text)) {
            None => rows.skip(&name, NO_VOCABULARY),
            Some(Ok(ids)) => rows.equal(&name, &ids, &case.ids),
            Some(Err(error)) => rows.fail(&name, &error),
        }
    }
    Ok(())
}

fn whole_text(case: &WholeText, vocabulary: Option<&TextTokenizer>, rows: &mut Rows<'_>) {
    let frontend = TextFrontend::plain();
    let name = format!("cases.{}", case.id);
    let tokens = |piece: &str| match vocabulary {
        None => Err(NotMeasured::NoVocabulary),
        Some(vocabulary) => match vocabulary.encode(piece) {
            Ok(ids) => Ok(ids.len()),
            Err(error) => Err(NotMeasured::Tokenizer(error)),
        },
    };
    match frontend.segments_by(&case.text, &Splitting::default(), tokens) {
        Ok(segments) => rows.equal(&name, &segments, &case.segments),
        Err(NotMeasured::NoVocabulary) => rows.skip(&name, NO_VOCABULARY),
        Err(NotMeasured::Tokenizer(error)) => rows.fail(&name, &error),
    }
    let unsplit = frontend.unsplit(&case.text);
    rows.equal(
        &format!("{name}.unsplit"),
        &[unsplit.as_str()],
        &[case.unsplit.as_str()],
    );
}

/// The splitter alone; a word counts one, in Chinese a character.
fn split_text(case: &SplitText, rows: &mut Rows<'_>) {
    let rules = SplitRules {
        max: case.token_max_n,
        min: case.token_min_n,
        merge: case.merge_len,
        at_commas: case.comma_split,
    };
    let language = match case.lang.as_str() {
        "zh" => Language::Chinese,
        _ => Language::Other,
    };
    let length = |piece: &str| {
        Ok::<_, Infallible>(match language {
            Language::Chinese => piece.chars().count(),
            Language::Other => piece.split_whitespace().count(),
        })
    };
    let Ok(segments) = split_paragraph(&case.text, language, &rules, length);
    rows.equal(&format!("split_ws.{}", case.id), &segments, &case.segments);
}

fn primitive(name: &str, cases: &[(String, Value)], rows: &mut Rows<'_>) {
    let apply: fn(&str) -> Value = match name {
        "contains_chinese" => |text| contains_chinese(text).into(),
        "is_only_punctuation" => |text| is_only_punctuation(text).into(),
        "replace_blank" => |text| drop_blanks(text).into(),
        "remove_bracket" => |text| remove_brackets(text).into(),
        "spell_out_number" => |text| spell_out_numbers(text).into(),
        _ => {
            rows.skip(
                &format!("primitives.{name}"),
                "nothing in the front end does this",
            );
            return;
        }
    };
    let got: Vec<Value> = cases.iter().map(|(text, _)| apply(text)).collect();
    let want: Vec<Value> = cases.iter().map(|(_, want)| want.clone()).collect();
    rows.equal(&format!("primitives.{name}"), &got, &want);
}
