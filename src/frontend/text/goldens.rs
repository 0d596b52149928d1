//! The normaliser against what wetext says; `crate::parity` replays the rest of the front end.

#![cfg(test)]

use super::*;
use crate::testkit::{data_path, runtime_dir, skip};
use serde_json::Value;
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
