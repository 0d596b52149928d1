//! What crosses between host and device while an utterance is made, and what does not.

use crate::fixture::Fixture;
use crate::speaking::{request, speak};
use cvtrt::bundle::Manifest;
use cvtrt::compare::compare;
use cvtrt::cuda::{CudaErrorKind, HostCounts, HostFault, HostGpu};
use cvtrt::ids::{GraphId, Mode};
use cvtrt::parity::{Arithmetic, Quantity};
use cvtrt::pipeline::{
    Attention, Feed, FlowCall, FlowSolve, FlowStage, LlmPrompt, NEEDED, SpeechRequest,
};
use cvtrt::tensor::{DType, Shape, TensorView};
use std::error::Error;

/// What the device was asked to do by `work`.
fn counted(device: &HostGpu, work: impl FnOnce()) -> HostCounts {
    let before = device.counts();
    work();
    let after = device.counts();
    HostCounts {
        allocations: after.allocations - before.allocations,
        uploads: after.uploads - before.uploads,
        uploaded_bytes: after.uploaded_bytes - before.uploaded_bytes,
        downloads: after.downloads - before.downloads,
        downloaded_bytes: after.downloaded_bytes - before.downloaded_bytes,
        waits: after.waits - before.waits,
        enqueued: after.enqueued - before.enqueued,
        replays: after.replays - before.replays,
    }
}

fn bytes(values: usize) -> u64 {
    4 * values as u64
}

#[test]
fn a_decode_step_takes_embeddings_gives_logits_and_waits_once() {
    let device = HostGpu::default();
    let test = "a decode step takes embeddings and gives logits";
    let Some(fixture) = Fixture::on_device(test, &device, &[]) else {
        return;
    };
    let spec = &fixture.bundle.manifest().llm;
    for rows in [1, 3] {
        let mut llm = fixture.llm(rows);
        let prompt = LlmPrompt {
            text: vec![1, 2, 3],
            speech: vec![4; 90],
        };
        let slots: Vec<_> = (0..rows)
            .map(|_| llm.prefill(&prompt).expect("prefill"))
            .collect();
        let feeds: Vec<Feed> = slots.iter().map(|&slot| Feed { slot, token: 5 }).collect();
        llm.decode(&feeds).expect("decode");
        for step in 1..60 {
            let copies = fixture.lane().copies().count();
            let counts = counted(&device, || llm.decode(&feeds).expect("decode"));
            let case = format!("{rows} rows, step {step}: {counts:?}");
            // Where each input begins is rounded up, in front of three integers or floats per row.
            let embeddings = bytes(rows * spec.hidden);
            let fed = embeddings..=embeddings + 3 * 256 + bytes(rows);
            assert!(fed.contains(&counts.uploaded_bytes), "{case}");
            assert_eq!(counts.uploads, 1, "{case}");
            assert_eq!(counts.downloads, 1, "{case}");
            assert_eq!(
                counts.downloaded_bytes,
                bytes(rows * spec.head_rows),
                "{case}"
            );
            // Moving to the cache's second bucket, on the way, takes no more waiting.
            assert_eq!(counts.waits, 1, "{case}");
            let now = fixture.lane().copies().count();
            assert_eq!(now.calls - copies.calls, 2, "{case}");
            let counted = counts.uploaded_bytes + counts.downloaded_bytes;
            assert_eq!(now.bytes - copies.bytes, counted, "{case}");
        }
    }
}

#[test]
fn a_solve_neither_copies_nor_waits_and_the_mel_stays() {
    let device = HostGpu::default();
    let test = "a solve neither copies nor waits";
    let Some(fixture) = Fixture::on_device(test, &device, &[]) else {
        return;
    };
    let manifest = fixture.bundle.manifest();
    let voice = fixture.bundle.voice("demo").expect("a voice");
    let tokens: Vec<i32> = (0..40).collect();
    let call = FlowCall {
        prompt_tokens: &voice.prompt_token,
        tokens: &tokens,
        prompt_mel: &voice.prompt_mel,
        embedding: &voice.embedding,
        finalize: true,
        attention: Attention::Full,
    };
    let mut flow = fixture.flow();
    let mut solve = flow.new_solve().expect("memory");
    let mut mel = fixture
        .lane()
        .place()
        .tensor(DType::F32, Shape::new(&[1, 1, 0]))
        .expect("memory");
    for round in 0..2 {
        let encoded = counted(&device, || flow.encode(&call, &mut solve).expect("encoded"));
        assert_eq!((encoded.downloads, encoded.waits), (0, 0), "{encoded:?}");
        let steps = counted(&device, || {
            for step in 0..flow.steps() {
                flow.step(&mut solve, step).expect("a step");
            }
        });
        // Time, estimator, Euler step; then whether the result is a number, on its way to the host.
        assert_eq!(steps.enqueued, 3 * flow.steps() as u64 + 1, "{steps:?}");
        assert_eq!((steps.uploads, steps.waits), (0, 0), "{steps:?}");
        assert_eq!(
            (steps.downloads, steps.downloaded_bytes),
            (1, 8),
            "{steps:?}"
        );
        let handed = counted(&device, || solve.copy_mel(0, &mut mel).expect("copied"));
        assert_eq!((handed.uploads, handed.downloads, handed.waits), (0, 0, 0));
        if round > 0 {
            let made = encoded.allocations + steps.allocations + handed.allocations;
            assert_eq!(made, 0, "a warm solve allocates nothing");
        }
        let frames = manifest.frames_of_tokens(tokens.len());
        assert_eq!(mel.shape().dims(), [1, manifest.mel_bins, frames]);
        assert!(solve.frames() > frames, "the prompt's are in front");
        solve.check().expect("numbers");
    }
}

#[test]
fn an_utterance_costs_what_goes_in_and_comes_out() {
    let device = HostGpu::default();
    let test = "an utterance costs what goes in and comes out";
    let Some(fixture) = Fixture::on_device(test, &device, &[]) else {
        return;
    };
    let request = request(&fixture, Mode::ZeroShot, "demo");
    let mut synthesizer = fixture.synthesizer();
    let first = speak(&mut synthesizer, &request);
    let mut again = None;
    let counts = counted(&device, || again = Some(speak(&mut synthesizer, &request)));
    let again = again.expect("spoken");
    assert!(first.pcm == again.pcm, "a seed repeats");
    assert_eq!(counts.allocations, 0, "a warm utterance allocates nothing");
    let Manifest { llm, .. } = fixture.bundle.manifest();
    let (tokens, frames) = (
        again.tokens.len(),
        fixture
            .bundle
            .manifest()
            .frames_of_tokens(again.tokens.len()),
    );
    // Logits of prefill and decode steps, whether the solution is a number, F0, audio.
    let given = tokens * llm.head_rows + 2 + frames + again.pcm.len();
    assert_eq!(counts.downloaded_bytes, bytes(given), "{counts:?}");
    assert_eq!(counts.downloads, tokens as u64 + 3, "{counts:?}");
    // One wait for each of the logits, one for F0 and one for the audio.
    assert_eq!(counts.waits, tokens as u64 + 2, "{counts:?}");
}

#[test]
fn steps_recorded_at_warm_up_say_the_same_in_fewer_calls() {
    let device = HostGpu::default();
    let test = "steps recorded at warm-up say the same";
    let Some(fixture) = Fixture::on_device(test, &device, &[]) else {
        return;
    };
    let request = request(&fixture, Mode::ZeroShot, "demo");
    let plain = speak(&mut fixture.synthesizer(), &request);
    let before = device.outstanding();
    let mut synthesizer = fixture.synthesizer();
    synthesizer.warm_up(&|| false).expect("warm");
    let recorded = device.outstanding();
    synthesizer.warm_up(&|| false).expect("warm still");
    assert_eq!(
        device.outstanding(),
        recorded,
        "a second warm-up adds nothing"
    );
    for round in 0..2 {
        let mut spoken = None;
        let counts = counted(&device, || spoken = Some(speak(&mut synthesizer, &request)));
        let spoken = spoken.expect("spoken");
        assert!(spoken.pcm == plain.pcm, "round {round}");
        // Every decode step and every step of the flow.
        let steps = u64::from(spoken.times.decode.runs) + 10;
        assert_eq!(counts.replays, steps, "round {round}: {counts:?}");
        assert_eq!(spoken.times.flow.runs, 10, "round {round}");
        assert_eq!(spoken.times.decode.runs, plain.times.decode.runs);
    }
    drop(synthesizer);
    assert_eq!(
        device.outstanding(),
        before,
        "recordings go with their stages"
    );
}

/// A tensor that had to grow is another one, which nothing recorded knows of.
#[test]
fn longer_speech_than_was_recorded_is_spoken_all_the_same() {
    let device = HostGpu::default();
    let test = "longer speech than was recorded is spoken all the same";
    let Some(fixture) = Fixture::on_device(test, &device, &[]) else {
        return;
    };
    let voice = fixture.bundle.voice("demo").expect("a voice");
    let solved = |flow: &mut FlowStage, solve: &mut FlowSolve, count: i32| {
        let tokens: Vec<i32> = (0..count).map(|id| id % 200).collect();
        let call = FlowCall {
            prompt_tokens: &voice.prompt_token,
            tokens: &tokens,
            prompt_mel: &voice.prompt_mel,
            embedding: &voice.embedding,
            finalize: true,
            attention: Attention::Full,
        };
        flow.encode(&call, solve).expect("encoded");
        for step in 0..flow.steps() {
            flow.step(solve, step).expect("a step");
        }
        solve.check().expect("numbers");
        solve.sample().expect("read")
    };
    let mut flow = fixture.flow();
    let mut solve = flow.new_solve().expect("memory");
    let (short, long) = (20, 800);
    let wanted = [short, long].map(|count| solved(&mut flow, &mut solve, count));
    let mut warm = flow.new_solve().expect("memory");
    flow.warm_up(&mut warm, &|| false).expect("warm");
    for (count, replays) in [(short, 10), (long, 0), (short, 0)] {
        let before = device.counts().replays;
        let got = solved(&mut flow, &mut warm, count);
        assert!(wanted.contains(&got), "{count} tokens");
        assert_eq!(device.counts().replays - before, replays, "{count} tokens");
    }
}

fn assert_sounds_alike(case: &str, got: &[f32], want: &[f32]) {
    let shape = Shape::new(&[want.len()]);
    let view = |values| TensorView::of(shape, values).expect("equally long");
    let metrics = compare(view(got), view(want)).expect("equal shapes");
    let gate = Quantity::WavOwnSource.gate(Arithmetic::Exact);
    metrics
        .check(gate.tolerance())
        .unwrap_or_else(|error| panic!("{case}: {error}"));
}

#[test]
fn speech_is_the_same_wherever_each_graph_works() {
    let Some(host) = Fixture::cosyvoice2("speech is the same wherever each graph works") else {
        return;
    };
    let request = request(&host, Mode::ZeroShot, "demo");
    let faster = SpeechRequest {
        speed: 1.25,
        ..request.clone()
    };
    let wanted = speak(&mut host.synthesizer(), &request);
    let wanted_faster = speak(&mut host.synthesizer(), &faster);
    let lone = NEEDED.map(|graph| vec![graph]);
    let others = NEEDED.map(|graph| {
        let others = NEEDED.into_iter().filter(|other| *other != graph);
        others.collect::<Vec<GraphId>>()
    });
    for stay in lone.iter().chain(&others).chain([&Vec::new()]) {
        let device = HostGpu::default();
        let case = format!("{stay:?} on the host");
        let fixture = Fixture::on_device(&case, &device, stay).expect("ONNX Runtime is here");
        let mut synthesizer = fixture.synthesizer();
        let got = speak(&mut synthesizer, &request);
        assert_eq!(got.tokens, wanted.tokens, "{case}");
        assert_sounds_alike(&case, &got.pcm, &wanted.pcm);
        if stay.is_empty() {
            let got = speak(&mut synthesizer, &faster);
            assert_sounds_alike(&case, &got.pcm, &wanted_faster.pcm);
        }
        drop((synthesizer, fixture));
        assert_eq!(device.outstanding(), (0, 0), "{case}");
    }
}

const NO_FAULT: HostFault = HostFault {
    after: u64::MAX,
    kind: CudaErrorKind::Other,
};

/// Opens a synthesiser and speaks, with a driver whose call after so many fails.
fn speak_with_fault(
    fixture: &Fixture,
    device: &HostGpu,
    request: &SpeechRequest,
    fault: HostFault,
) -> Result<(), Box<dyn Error>> {
    device.fail(fault);
    let mut synthesizer = fixture.try_synthesizer()?;
    let outcome = synthesizer.speak(request);
    if fault.kind == CudaErrorKind::OutOfMemory {
        // It struck, or strikes one of the calls below that nobody hears of.
        device.fail(NO_FAULT);
        speak(&mut synthesizer, request);
    }
    outcome?;
    Ok(())
}

/// Every seventh call of the driver, from opening to the last sample: an error, a synthesiser that goes on, nothing left.
#[test]
fn each_failing_call_of_the_driver_is_an_error_and_leaks_nothing() {
    let device = HostGpu::default();
    let test = "each failing call of the driver is an error";
    let Some(fixture) = Fixture::on_device(test, &device, &[]) else {
        return;
    };
    let mut request = request(&fixture, Mode::ZeroShot, "demo");
    request.max_tokens = Some(4);
    let before = device.outstanding();
    let speak = |fault| speak_with_fault(&fixture, &device, &request, fault);
    speak(NO_FAULT).expect("nothing fails");
    let calls = device.calls();
    for kind in [CudaErrorKind::OutOfMemory, CudaErrorKind::DeviceLost] {
        let (mut tries, mut unheard) = (0, 0);
        for after in (0..calls).step_by(7) {
            tries += 1;
            let outcome = speak(HostFault { after, kind });
            device.fail(NO_FAULT);
            assert_eq!(device.outstanding(), before, "{kind:?} after {after} calls");
            match outcome {
                Ok(()) => unheard += 1,
                Err(error) => assert!(is_the_drivers(&*error), "{kind:?}, {after}: {error}"),
            }
        }
        // What memory waits for before it goes is all that can fail and be no error.
        assert!(3 * unheard < tries, "{kind:?}: {unheard} of {tries}");
    }
}

fn is_the_drivers(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.any(|cause| cause.to_string().contains("asked for by a test"))
}

/// The estimator alone, at its frames and wider: what is behind the last frame changes nothing in front of it.
#[test]
fn frames_behind_the_last_one_change_nothing() {
    let Some(host) = Fixture::cosyvoice2("frames behind the last one change nothing") else {
        return;
    };
    let device = HostGpu::default();
    let wide = Fixture::on_device("wider", &device, &[]).expect("ONNX Runtime is here");
    let voice = host.bundle.voice("demo").expect("a voice");
    let tokens: Vec<i32> = (0..33).collect();
    for (finalize, attention) in [
        (true, Attention::Full),
        (true, Attention::Chunked),
        (false, Attention::Chunked),
    ] {
        let call = FlowCall {
            prompt_tokens: &voice.prompt_token,
            tokens: &tokens,
            prompt_mel: &voice.prompt_mel,
            embedding: &voice.embedding,
            finalize,
            attention,
        };
        let solved = [&host, &wide].map(|fixture| {
            let mut flow = fixture.flow();
            let mut solve = flow.new_solve().expect("memory");
            flow.encode(&call, &mut solve).expect("encoded");
            for step in 0..flow.steps() {
                flow.step(&mut solve, step).expect("a step");
            }
            solve.check().expect("numbers");
            let frames = solve.frames();
            (frames, solve.sample().expect("read"))
        });
        let [(frames, narrow), (same_frames, wide)] = solved;
        assert_eq!(frames, same_frames);
        assert!(
            frames % 32 != 0,
            "{frames} frames are not wider on the device"
        );
        let worst = narrow
            .iter()
            .zip(&wide)
            .map(|(narrow, wide)| (narrow - wide).abs())
            .fold(0.0, f32::max);
        assert!(worst < 2e-5, "{finalize} {attention:?}: {worst:e}");
    }
}
