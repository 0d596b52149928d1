//! The language model's cache: rows beside each other, and rows that outgrow a bucket.

use crate::fixture::{Fixture, check};
use cvtrt::parity::{Golden, LlmRun, Quantity};
use cvtrt::pipeline::{Feed, LlmPrompt, LlmStage, SlotId, SpeechError};
use cvtrt::testkit::data_path;

const MODES: [&str; 3] = ["zs", "xl", "instruct2"];

fn golden() -> Golden {
    let path = data_path("goldens/cosyvoice2-tiny/golden_llm.npz");
    Golden::read(&path).expect("an archive")
}

fn run<'a>(golden: &'a Golden, fixture: &Fixture, mode: &str) -> LlmRun<'a> {
    LlmRun::read(golden, fixture.bundle.manifest(), mode).expect("a recorded run")
}

fn check_step(run: &LlmRun<'_>, llm: &LlmStage, slot: SlotId, step: usize) {
    let got = llm.logits(slot).expect("live");
    check(
        &format!("step {step}"),
        got,
        run.logits(step),
        Quantity::Logits,
    );
}

#[test]
fn utterances_decode_together_as_they_do_alone() {
    let Some(fixture) = Fixture::cosyvoice2("utterances decode together as they do alone") else {
        return;
    };
    let golden = golden();
    let runs = MODES.map(|mode| run(&golden, &fixture, mode));
    let mut llm = fixture.llm(runs.len());
    // The longest run is admitted last and outlives the others, so that its row moves.
    let mut live: Vec<(&LlmRun<'_>, SlotId)> = Vec::new();
    for run in runs.iter().rev() {
        live.push((run, llm.prefill(&run.prompt).expect("prefill")));
    }
    assert!(matches!(
        llm.prefill(&runs[0].prompt),
        Err(SpeechError::NoFreeRow(3))
    ));
    for step in 0..runs[0].tokens.len() {
        let (done, going): (Vec<_>, Vec<_>) = live
            .into_iter()
            .partition(|(run, _)| step >= run.tokens.len());
        for (_, slot) in done {
            llm.release(slot).expect("moved");
            assert!(matches!(llm.logits(slot), Err(SpeechError::StaleSlot)));
        }
        live = going;
        // Every other step, one row waits.
        let waiting = step % 2;
        let feed = |&(run, slot): &(&LlmRun<'_>, SlotId)| Feed {
            slot,
            token: run.tokens[step],
        };
        let feeds: Vec<Feed> = live.iter().map(feed).collect();
        let (first, rest) = feeds.split_at(waiting.min(feeds.len() - 1));
        llm.decode(rest).expect("decode");
        llm.decode(first).expect("decode");
        for &(run, slot) in &live {
            check_step(run, &llm, slot, step + 1);
        }
    }
}

#[test]
fn the_cache_grows_without_changing_what_was_read() {
    let Some(fixture) = Fixture::cosyvoice2("the cache grows without changing what was read")
    else {
        return;
    };
    let golden = golden();
    let run = run(&golden, &fixture, "zs");
    let mut llm = fixture.llm(1);
    // A prompt of 300 positions crosses two buckets; decoding it token by token must agree with reading it at once.
    let speech: Vec<i32> = run.tokens.iter().copied().cycle().take(260).collect();
    let whole = LlmPrompt {
        speech: speech.clone(),
        ..run.prompt.clone()
    };
    let slot = llm.prefill(&whole).expect("prefill");
    let wanted = llm.logits(slot).expect("live").to_vec();
    llm.release(slot).expect("moved");
    let begun = LlmPrompt {
        speech: speech[..60].to_vec(),
        ..run.prompt
    };
    let slot = llm.prefill(&begun).expect("prefill");
    for &token in &speech[60..] {
        llm.decode(&[Feed { slot, token }]).expect("decode");
    }
    let got = llm.logits(slot).expect("live");
    check("260 tokens", got, &wanted, Quantity::Logits);
}
