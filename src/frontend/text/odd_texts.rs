//! Texts nobody means to send.

#![cfg(test)]

use super::goldens::WHISPER;
use super::*;
use crate::testkit::runtime_dir;
use std::cell::Cell;
use std::convert::Infallible;

const UNCUT: Splitting = Splitting {
    rules: SplitRules {
        max: 80,
        min: 60,
        merge: 20,
        at_commas: false,
    },
    max_length: None,
};

fn limited() -> Splitting {
    Splitting {
        max_length: NonZeroUsize::new(100),
        ..UNCUT
    }
}

fn large_texts(bytes: usize) -> Vec<String> {
    let repeated = [
        "a",
        "a.",
        "a. ",
        ".",
        "\"",
        ".\"",
        "word ",
        "1",
        "1 ",
        "1.",
        "12 word. ",
        " ",
        "中",
        "中。",
        "中，",
        "中 ",
        "3中。",
        "、",
        "😀",
        "é",
        "e\u{301}",
        "\u{301}",
        "\u{200d}",
        "\u{0}",
        "م",
        "م ١",
        "<|",
        "|>",
        "\n",
        "\u{3000}a",
        "——",
        "（",
        "x\u{202e}",
    ];
    repeated
        .iter()
        .map(|unit| unit.repeat(bytes / unit.len()))
        .collect()
}

#[test]
fn odd_texts_have_these_segments() {
    let cases: [(&str, &[&str]); 18] = [
        ("", &[""]),
        (" \n\t\u{3000}\u{1f}", &[]),
        ("…", &[]),
        ("😀", &[]),
        ("😀 hi", &["😀 hi."]),
        ("\u{0}", &["\u{0}."]),
        ("a\u{0}b\u{1b}[0m\r\n", &["a\u{0}b\u{1b}[zerom."]),
        ("<|", &[]),
        (" <|en|>  5 ", &[" <|en|>  5 "]),
        ("|> and <|", &["|> and <|"]),
        ("مرحبا بالعالم ١٢", &["مرحبا بالعالم twelve."]),
        ("שלום", &["שלום."]),
        ("e\u{301}\u{302}", &["e\u{301}\u{302}."]),
        ("\u{301}", &["\u{301}."]),
        ("한국어 텍스트", &["한국어 텍스트."]),
        ("\u{feff}中", &["\u{feff}中。"]),
        ("中\u{2028}文", &["中\u{2028}文。"]),
        ("\u{10ffff}", &["\u{10ffff}."]),
    ];
    let frontend = TextFrontend::plain();
    for (text, want) in cases {
        for splitting in [UNCUT, limited()] {
            assert_eq!(
                frontend
                    .segments(text, &WHISPER, &splitting)
                    .expect("segments"),
                want,
                "{text:?}"
            );
        }
    }
}

#[test]
fn large_texts_are_split_and_lose_nothing() {
    let frontend = TextFrontend::plain();
    for text in large_texts(20_000).into_iter().chain(["x".repeat(100_000)]) {
        let whole = frontend
            .segments(&text, &WHISPER, &UNCUT)
            .expect("segments");
        let cut = frontend
            .segments(&text, &WHISPER, &limited())
            .expect("segments");
        assert!(
            whole
                .iter()
                .chain(&cut)
                .all(|segment| !is_only_punctuation(segment)),
            "{text:.12}"
        );
        assert_eq!(letters_of(&whole), letters_of(&cut), "{text:.12}");
        if contains_chinese(&text) {
            // Two more for a last stop and quote.
            assert!(
                cut.iter().all(|segment| segment.chars().count() <= 102),
                "{text:.12}"
            );
        }
    }
}

fn letters_of(segments: &[String]) -> String {
    segments
        .concat()
        .split(|letter: char| is_only_punctuation(letter.encode_utf8(&mut [0; 4])))
        .collect()
}

#[test]
fn what_is_measured_grows_with_the_text_alone() {
    for text in large_texts(100_000) {
        let measured = Cell::new(0);
        let count = |piece: &str| {
            measured.set(measured.get() + piece.len());
            Ok::<_, Infallible>(piece.chars().count())
        };
        let segments = paragraph::split_paragraph(&text, Language::Other, &UNCUT.rules, count)
            .expect("counting cannot fail");
        assert!(
            measured.get() <= 400 * text.len(),
            "splitting {text:.12} measures {} bytes",
            measured.get()
        );
        measured.set(0);
        for segment in segments {
            limit::cut(&segment, 100, count).expect("counting cannot fail");
        }
        assert!(
            measured.get() <= 400 * text.len(),
            "cutting {text:.12} measures {} bytes",
            measured.get()
        );
    }
}

#[test]
fn large_texts_without_a_clause_for_the_graphs_pass_them_by() {
    let frontend = TextFrontend::open(&runtime_dir().join("wetext")).expect("graphs, or none");
    for text in large_texts(100_000)
        .iter()
        .filter(|text| !text.contains(letters::is_digit))
    {
        frontend.unsplit(text);
    }
    let word = "1".repeat(100_000);
    let spoken = frontend.unsplit(&word);
    assert!(
        spoken.starts_with("one one one "),
        "too long a word for the graphs: {spoken:.20}"
    );
}

#[test]
fn bytes_that_are_no_text_are_named_by_their_place() {
    assert_eq!(
        text_from_bytes("\u{feff}中".as_bytes()).expect("UTF-8"),
        "中"
    );
    assert_eq!(text_from_bytes(b"").expect("UTF-8"), "");
    for (bytes, offset) in [
        (b"ab\xff".as_slice(), 2),
        (b"\xe4\xb8", 0),
        (b"a\xed\xa0\x80", 1),
        (b"\xc0\x80", 0),
    ] {
        let error = text_from_bytes(bytes).expect_err("not UTF-8");
        assert!(
            matches!(error, FrontendError::NotUtf8 { offset: at } if at == offset),
            "{bytes:?}: {error}"
        );
    }
}
