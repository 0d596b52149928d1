//! The language model: prompt, logits and greedy tokens through the KV cache.

use crate::fixture::{Fixture, Golden, check};
use cvtrt::compare::Tolerance;
use cvtrt::pipeline::{Feed, LlmPrompt, LlmStage, SlotId, SpeechError};

const GATE: f64 = 1e-4;
const MODES: [&str; 3] = ["zs", "xl", "instruct2"];

/// One recorded run, position by position.
struct Run<'a> {
    mode: &'a str,
    prompt: LlmPrompt,
    tokens: &'a [i32],
    logits: &'a [f32],
    head_rows: usize,
    /// The id that cannot be drawn before step `min`.
    eos: i32,
    min: usize,
}

impl<'a> Run<'a> {
    fn read(golden: &'a Golden, fixture: &Fixture, mode: &'a str) -> Self {
        let manifest = fixture.bundle.manifest();
        let text = golden.ids("text");
        let prompt_text = match mode {
            "xl" => &[],
            _ => golden.ids("prompt_text"),
        };
        let speech = match mode {
            "zs" => golden.ids("prompt_speech_token").to_vec(),
            _ => Vec::new(),
        };
        Self {
            mode,
            prompt: LlmPrompt {
                text: [prompt_text, text].concat(),
                speech,
            },
            tokens: golden.ids(&format!("{mode}.greedy_tokens")),
            logits: golden.floats(&format!("{mode}.tf_logits")),
            head_rows: manifest.llm.head_rows,
            eos: manifest.llm.eos,
            min: 2 * text.len(),
        }
    }

    /// Compares the logits that predict token `step`, and the token they favour.
    fn check(&self, llm: &LlmStage, slot: SlotId, step: usize) {
        let row = self.prompt.positions() - 1 + step;
        let want = &self.logits[row * self.head_rows..(row + 1) * self.head_rows];
        let got = llm.logits(slot).expect("live");
        let case = format!("{}.tf_logits[{row}]", self.mode);
        check(&case, got, want, Tolerance::absolute(GATE));
        if let Some(&token) = self.tokens.get(step) {
            let best = (0..)
                .zip(got)
                .filter(|(id, _)| step >= self.min || *id != self.eos);
            let best = best.max_by(|a, b| a.1.total_cmp(b.1)).expect("logits").0;
            assert_eq!(best, token, "{}.greedy_tokens[{step}]", self.mode);
        }
    }
}

#[test]
fn prompts_embed_as_recorded() {
    let Some(fixture) = Fixture::cosyvoice2("prompts embed as recorded") else {
        return;
    };
    let golden = Golden::read("cosyvoice2-tiny/golden_llm.npz");
    let tables = fixture.tables();
    for mode in MODES {
        let run = Run::read(&golden, &fixture, mode);
        let width = fixture.bundle.manifest().llm.hidden;
        let mut embeds = vec![0.0; run.prompt.positions() * width];
        run.prompt.embed(&tables, &mut embeds).expect("known ids");
        golden.check(
            &format!("{mode}.lm_input"),
            &embeds,
            Tolerance::absolute(GATE),
        );
    }
}

#[test]
fn logits_are_the_recorded_ones_step_by_step() {
    let Some(fixture) = Fixture::cosyvoice2("logits are the recorded ones step by step") else {
        return;
    };
    let golden = Golden::read("cosyvoice2-tiny/golden_llm.npz");
    let mut llm = fixture.llm(1);
    for mode in MODES {
        let run = Run::read(&golden, &fixture, mode);
        let slot = llm.prefill(&run.prompt).expect("prefill");
        run.check(&llm, slot, 0);
        for (step, &token) in run.tokens.iter().enumerate() {
            llm.decode(&[Feed { slot, token }]).expect("decode");
            run.check(&llm, slot, step + 1);
        }
        llm.release(slot);
    }
}

#[test]
fn utterances_decode_together_as_they_do_alone() {
    let Some(fixture) = Fixture::cosyvoice2("utterances decode together as they do alone") else {
        return;
    };
    let golden = Golden::read("cosyvoice2-tiny/golden_llm.npz");
    let runs = MODES.map(|mode| Run::read(&golden, &fixture, mode));
    let mut llm = fixture.llm(runs.len());
    // The longest run is admitted last and outlives the others, so that its row moves.
    let mut live: Vec<(&Run<'_>, SlotId)> = Vec::new();
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
            llm.release(slot);
            assert!(matches!(llm.logits(slot), Err(SpeechError::StaleSlot)));
        }
        live = going;
        // Every other step, one row waits.
        let waiting = step % 2;
        let feed = |&(run, slot): &(&Run<'_>, SlotId)| Feed {
            slot,
            token: run.tokens[step],
        };
        let feeds: Vec<Feed> = live.iter().map(feed).collect();
        let (first, rest) = feeds.split_at(waiting.min(feeds.len() - 1));
        llm.decode(rest).expect("decode");
        llm.decode(first).expect("decode");
        for &(run, slot) in &live {
            run.check(&llm, slot, step + 1);
        }
    }
}

#[test]
fn the_cache_grows_without_changing_what_was_read() {
    let Some(fixture) = Fixture::cosyvoice2("the cache grows without changing what was read")
    else {
        return;
    };
    let golden = Golden::read("cosyvoice2-tiny/golden_llm.npz");
    let run = Run::read(&golden, &fixture, "zs");
    let mut llm = fixture.llm(1);
    // A prompt of 300 positions crosses two buckets; decoding it token by token must agree with reading it at once.
    let speech: Vec<i32> = run.tokens.iter().copied().cycle().take(260).collect();
    let whole = LlmPrompt {
        speech: speech.clone(),
        ..run.prompt.clone()
    };
    let slot = llm.prefill(&whole).expect("prefill");
    let wanted = llm.logits(slot).expect("live").to_vec();
    llm.release(slot);
    let begun = LlmPrompt {
        speech: speech[..60].to_vec(),
        ..run.prompt
    };
    let slot = llm.prefill(&begun).expect("prefill");
    for &token in &speech[60..] {
        llm.decode(&[Feed { slot, token }]).expect("decode");
    }
    let got = llm.logits(slot).expect("live");
    check("260 tokens", got, &wanted, Tolerance::absolute(GATE));
}
