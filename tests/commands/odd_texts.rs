//! Texts nobody means to send, through `cvtrt synth`: each is spoken or refused, at once and in words.

use crate::place::Place;
use crate::synth::{has_ort, line, samples};
use std::fs;
use std::time::Duration;

/// What becomes of a text: audio, or a refusal that says this.
type Outcome = Result<(), &'static str>;

const NOTHING: Outcome = Err("there is nothing to say");

#[test]
fn each_is_spoken_or_refused_in_words() {
    if !has_ort("each_is_spoken_or_refused_in_words") {
        return;
    }
    let texts: Vec<(&str, Vec<u8>, Outcome)> = vec![
        ("nothing", b"".to_vec(), NOTHING),
        ("blanks", " \t\r\n\u{3000}".into(), NOTHING),
        ("a byte order mark alone", b"\xef\xbb\xbf".to_vec(), NOTHING),
        ("stops alone", "...?!。".into(), NOTHING),
        ("an emoji alone", "😀".into(), NOTHING),
        ("half a tag", "<|".into(), NOTHING),
        ("an emoji and a word", "😀 hi".into(), Ok(())),
        ("a tag", "<|en|> hi".into(), Ok(())),
        ("a tag alone", "<|endofprompt|>".into(), Ok(())),
        ("zero bytes", b"a\0b\0".to_vec(), Ok(())),
        (
            "terminal controls",
            b"\x1b[2J hello \x07\x7f".to_vec(),
            Ok(()),
        ),
        ("right to left", "مرحبا \u{202e}بالعالم".into(), Ok(())),
        ("marks without a letter", "\u{301}\u{301}".into(), Ok(())),
        ("no character", "\u{10ffff}".into(), Ok(())),
        ("a long word", "a".repeat(300).into(), Ok(())),
        ("no text", b"good \xff morning".to_vec(), Err("UTF-8")),
        ("half a character", b"a\xe4\xb8".to_vec(), Err("UTF-8")),
        ("a surrogate", b"a\xed\xa0\x80".to_vec(), Err("UTF-8")),
        (
            "an endless word",
            "a".repeat(100_000).into(),
            Err("the model has 2048"),
        ),
        (
            "endless Chinese",
            "中".repeat(30_000).into(),
            Err("the model has 2048"),
        ),
        (
            "too much",
            vec![b'a'; (1 << 20) + 1],
            Err("split the text over several files"),
        ),
    ];
    for (name, text, outcome) in texts {
        let place = Place::new().with_time_limit(Duration::from_mins(2));
        place.write("text.txt", text);
        let run = place.cvtrt(&line(&["--text-file", "text.txt", "-o", "out.wav"]));
        assert!(!run.stderr.contains("panicked"), "{name}: {run:?}");
        match outcome {
            Ok(()) => {
                assert_eq!(run.code, Some(0), "{name}: {run:?}");
                let audio = fs::read(place.path("out.wav")).expect(name);
                assert!(!samples(&audio).is_empty(), "{name}");
            }
            Err(words) => {
                assert_eq!(run.code, Some(2), "{name}: {run:?}");
                assert!(run.stderr.contains(words), "{name}: {run:?}");
                assert!(!place.path("out.wav").exists(), "{name}");
            }
        }
    }
}

#[test]
fn the_limit_a_speech_stopped_at_is_said() {
    if !has_ort("the_limit_a_speech_stopped_at_is_said") {
        return;
    }
    let place = Place::new();
    let run = place.cvtrt(&line(&["Hello.", "--json"])).exits(0);
    let report = run.json();
    let segment = &report["segments"][0];
    assert_eq!(segment["end"], "max_tokens", "{segment}");
    assert_eq!(segment["loops_broken"], 0, "{segment}");
    assert_eq!(segment["silence_held_back"], 0, "{segment}");
    run.complains(&["the speech stopped at its limit", "tokens=12"]);
}
