//! Wishes on the shipped bundle: which mode and voice they come to, and what is refused.

use super::{DEFAULT_VOICE, ReadError, Reader, Wish, WishedVoice};
use crate::bundle::{Bundle, EMBEDDING_WIDTH, Voice};
use crate::frontend::TextTokenizer;
use crate::frontend::text::TextFrontend;
use crate::hint::{Class, Hint};
use crate::ids::Mode;
use std::path::Path;
use std::sync::Arc;

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/onnx/cosyvoice2-tiny");

fn bundle() -> Bundle {
    Bundle::open(Path::new(DIR)).expect("the shipped bundle opens")
}

fn reader() -> Reader {
    Reader::open(&bundle(), TextFrontend::plain()).expect("it reads")
}

fn ids(text: &str) -> Vec<i32> {
    let path = bundle().tokenizer_path().expect("it takes text");
    let tokenizer = TextTokenizer::open(&path).expect("a tokenizer");
    tokenizer.encode(text).expect("plain text")
}

fn named(name: &str) -> WishedVoice {
    WishedVoice::Named(name.to_owned())
}

fn given(transcript: Option<&str>) -> WishedVoice {
    WishedVoice::Given(Arc::new(Voice {
        name: "given".to_owned(),
        prompt_token: vec![1],
        prompt_mel: vec![0.0; 160],
        embedding: vec![0.5; EMBEDDING_WIDTH],
        transcript: transcript.map(str::to_owned),
    }))
}

#[test]
fn a_wish_comes_to_the_mode_that_makes_the_most_of_its_voice() {
    type Edit = fn(&mut Wish);
    let cases: [(&str, Edit, Mode, &str); 9] = [
        ("a text alone", |_| {}, Mode::ZeroShot, "demo"),
        (
            "the first voice by its alias",
            |wish| wish.voice = named(DEFAULT_VOICE),
            Mode::ZeroShot,
            "demo",
        ),
        (
            "a voice without a prompt",
            |wish| wish.voice = named("plain"),
            Mode::Sft,
            "plain",
        ),
        (
            "a voice that is given",
            |wish| wish.voice = given(Some("words")),
            Mode::ZeroShot,
            "given",
        ),
        (
            "one without words",
            |wish| wish.voice = given(None),
            Mode::CrossLingual,
            "given",
        ),
        (
            "one with blank words",
            |wish| wish.voice = given(Some(" ")),
            Mode::CrossLingual,
            "given",
        ),
        (
            "words that come with the wish",
            |wish| {
                wish.voice = given(None);
                wish.transcript = Some("words".to_owned());
            },
            Mode::ZeroShot,
            "given",
        ),
        (
            "an instruction",
            |wish| wish.instruction = Some("Softly.".to_owned()),
            Mode::Instruct2,
            "demo",
        ),
        (
            "a mode by name",
            |wish| wish.mode = Some(Mode::Sft),
            Mode::Sft,
            "demo",
        ),
    ];
    let reader = reader();
    for (case, edit, mode, voice) in cases {
        let mut wish = Wish::new("Good morning.");
        edit(&mut wish);
        let segments = reader.segments(&wish).expect(case);
        assert_eq!(segments[0].mode, mode, "{case}");
        assert_eq!(segments[0].voice.name, voice, "{case}");
    }
}

#[test]
fn what_the_model_reads_first_depends_on_the_mode() {
    let reader = reader();
    let read = |mode, edit: fn(&mut Wish)| {
        let mut wish = Wish {
            mode: Some(mode),
            ..Wish::new("Good morning.")
        };
        edit(&mut wish);
        reader.segments(&wish).expect("a wish")[0]
            .prompt_text_ids
            .clone()
    };
    let own = bundle().voice("demo").expect("a voice").transcript;
    assert_eq!(read(Mode::ZeroShot, |_| {}), ids(&own.expect("words")));
    let spelled = read(Mode::ZeroShot, |wish| {
        wish.transcript = Some("Room 12.".to_owned());
    });
    assert_eq!(spelled, ids("Room twelve."), "normalised as the text is");
    assert!(read(Mode::Sft, |_| {}).is_empty());
    assert!(read(Mode::CrossLingual, |_| {}).is_empty());
    let softly = ids("Softly.<|endofprompt|>");
    for words in ["Softly.", "Softly.<|endofprompt|>"] {
        let wish = Wish {
            instruction: Some(words.to_owned()),
            ..Wish::new("Good morning.")
        };
        let segments = reader.segments(&wish).expect("a wish");
        assert_eq!(segments[0].prompt_text_ids, softly, "{words}");
    }
}

#[test]
fn refusals_name_the_field_and_are_input_errors() {
    type Edit = fn(&mut Wish);
    let cases: [(&str, Edit, &str, &str); 9] = [
        ("", |_| {}, "text", "nothing to say"),
        ("。！", |_| {}, "text", "nothing to say"),
        (
            "a",
            |wish| wish.voice = named("nobody"),
            "voice",
            "there are: demo, plain",
        ),
        (
            "a",
            |wish| {
                wish.voice = named("plain");
                wish.mode = Some(Mode::CrossLingual);
            },
            "voice",
            "`plain` has no prompt",
        ),
        (
            "a",
            |wish| {
                wish.voice = given(None);
                wish.mode = Some(Mode::ZeroShot);
            },
            "transcript",
            "no transcript",
        ),
        (
            "a",
            |wish| wish.mode = Some(Mode::Instruct),
            "mode",
            "mode `instruct` is not available",
        ),
        (
            "a",
            |wish| wish.mode = Some(Mode::Vc),
            "mode",
            "a recording, not a text",
        ),
        (
            "a",
            |wish| wish.mode = Some(Mode::Instruct2),
            "instruction",
            "needs an instruction",
        ),
        (
            "a",
            |wish| {
                wish.mode = Some(Mode::Sft);
                wish.instruction = Some("Softly.".to_owned());
            },
            "instruction",
            "takes no instruction",
        ),
    ];
    let reader = reader();
    for (text, edit, field, said) in cases {
        let mut wish = Wish::new(text);
        edit(&mut wish);
        let error = reader.segments(&wish).expect_err(said);
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.field(), field, "{error}");
        assert_eq!(error.class(), Class::Input, "{error}");
    }
}

#[test]
fn voices_come_and_go_while_others_read() {
    let reader = reader();
    let WishedVoice::Given(voice) = given(Some("words")) else {
        unreachable!("it was given");
    };
    reader.keep(Voice::clone(&voice));
    assert_eq!(reader.voice_names(), ["demo", "given", "plain"]);
    let wish = Wish {
        voice: named("given"),
        ..Wish::new("a")
    };
    assert_eq!(reader.segments(&wish).expect("known")[0].voice, voice);
    assert!(reader.forget("given"));
    assert!(!reader.forget("given"));
    assert!(matches!(
        reader.segments(&wish),
        Err(ReadError::UnknownVoice { .. })
    ));
    for name in ["demo", "plain"] {
        reader.forget(name);
    }
    let error = reader
        .segments(&Wish::new("a"))
        .expect_err("nobody is left");
    assert!(
        matches!(error, ReadError::NoVoice(Mode::ZeroShot)),
        "{error}"
    );
    assert!(error.hint().expect("a way").contains("voices add"));
}

#[test]
fn a_conversion_takes_the_wishs_voice() {
    let reader = reader();
    let wish = Wish {
        voice: given(None),
        seed: 3,
        speed: 1.5,
        ..Wish::new("")
    };
    let request = reader.conversion(vec![4, 5], &wish).expect("a voice");
    assert_eq!((request.tokens, request.seed), (vec![4, 5], 3));
    assert_eq!(request.voice.name, "given");
    let wish = Wish {
        voice: named("plain"),
        ..wish
    };
    let error = reader.conversion(vec![4], &wish).expect_err("no prompt");
    assert!(matches!(error, ReadError::NoPrompt { .. }), "{error}");
}
