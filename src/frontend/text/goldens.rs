//! The front end against what the reference and its packages say.

#![cfg(test)]

use super::*;
use crate::testkit::{data_path, runtime_dir, skip};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::LazyLock;

/// Whisper's tokenizer with the rows that occur here: the goldens count English in its tokens.
pub(super) static WHISPER: LazyLock<TextTokenizer> = LazyLock::new(|| {
    let path = data_path("goldens/frontend/whisper_subset.tiktoken");
    TextTokenizer::open(&path).expect("a vocabulary")
});

fn golden(name: &str) -> Value {
    let text =
        std::fs::read_to_string(data_path(&format!("goldens/frontend/{name}"))).expect("a golden");
    serde_json::from_str(&text).expect("JSON")
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().expect("rows")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn texts(value: &Value) -> Vec<&str> {
    rows(value).iter().map(text).collect()
}

#[test]
fn whole_texts_without_normaliser() {
    let frontend = TextFrontend::plain();
    for case in rows(&golden("text.json")["cases"]) {
        let (id, input) = (text(&case["id"]), text(&case["text"]));
        let segments = frontend
            .segments(input, &WHISPER, &Splitting::default())
            .expect("segments");
        let unsplit = frontend.unsplit(input);
        if case["error"].is_string() {
            // White space only: the reference fails there.
            assert_eq!((segments, unsplit), (Vec::new(), String::new()), "{id}");
            continue;
        }
        assert_eq!(segments, texts(&case["segments"]), "{id}");
        assert_eq!(unsplit, text(&case["unsplit"]), "{id}, not split");
    }
}

#[test]
fn paragraphs_measured_in_words() {
    for case in rows(&golden("text.json")["split_ws"]) {
        let number =
            |key: &str| usize::try_from(case[key].as_u64().expect("a number")).expect("small");
        let rules = SplitRules {
            max: number("token_max_n"),
            min: number("token_min_n"),
            merge: number("merge_len"),
            at_commas: case["comma_split"] == true,
        };
        let is_chinese = case["lang"] == "zh";
        let language = if is_chinese {
            Language::Chinese
        } else {
            Language::Other
        };
        let length = |piece: &str| {
            Ok::<_, Infallible>(if is_chinese {
                piece.chars().count()
            } else {
                piece.split_whitespace().count()
            })
        };
        let segments = paragraph::split_paragraph(text(&case["text"]), language, &rules, length);
        assert_eq!(
            segments.expect("counting cannot fail"),
            texts(&case["segments"]),
            "{}",
            case["id"]
        );
    }
}

#[test]
fn primitives() {
    type Check = fn(&str) -> Value;
    let checks: [(&str, Check); 5] = [
        ("contains_chinese", |text| contains_chinese(text).into()),
        ("is_only_punctuation", |text| {
            is_only_punctuation(text).into()
        }),
        ("replace_blank", |text| chinese::drop_blanks(text).into()),
        ("remove_bracket", |text| {
            chinese::remove_brackets(text).into()
        }),
        ("spell_out_number", |text| {
            numbers::spell_out_numbers(text).into()
        }),
    ];
    let golden = golden("text.json");
    let primitives = golden["primitives"].as_object().expect("named");
    assert_eq!(primitives.len(), checks.len(), "every primitive is checked");
    for (name, check) in checks {
        for case in rows(&primitives[name]) {
            assert_eq!(check(text(&case[0])), case[1], "{name} of {}", case[0]);
        }
    }
}

#[test]
fn whisper_ids() {
    for case in rows(&golden("text.json")["whisper_tokens"]) {
        let want: Vec<i32> = rows(&case["ids"])
            .iter()
            .map(|id| i32::try_from(id.as_i64().expect("id")).expect("id"))
            .collect();
        assert_eq!(
            WHISPER.encode(text(&case["text"])).expect("ids"),
            want,
            "{}",
            case["text"]
        );
    }
}

#[test]
fn sentences_normalised_as_by_wetext() {
    let frontend = TextFrontend::open(&runtime_dir().join("wetext")).expect("graphs, or none");
    if let Normalisation::Missing { file } = frontend.normalisation() {
        let reason = format!("no {}", file.display());
        return skip(
            "text normalisation matches wetext",
            &reason,
            "CVTRT_REQUIRE_WETEXT",
        );
    }
    for (name, language) in [("zh", Language::Chinese), ("en", Language::Other)] {
        for case in rows(&golden("wetext.json")[name]) {
            assert_eq!(
                frontend.normaliser.spoken(text(&case[0]), language),
                text(&case[1]),
                "{name}: {}",
                case[0]
            );
        }
    }
    let segments = |text| {
        frontend
            .segments(text, &WHISPER, &Splitting::default())
            .expect("segments")
    };
    assert_eq!(
        segments("价格是￥12.5，共3个。"),
        ["价格是十二点五元，共三个。"]
    );
}
