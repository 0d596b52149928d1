//! `golden_hift*.npz`: F0, source and waveform, at an utterance's beginning and after it.

use super::error::{CaseError, GoldenError, ParityError};
use super::gate::Quantity;
use super::golden::Golden;
use super::noise::RecordedNoise;
use super::report::Rows;
use super::{Subject, opened};
use crate::ids::GraphId;
use crate::pipeline::{HiftStage, OpenError, check_family};

pub(super) const GRAPHS: &[GraphId] = &[GraphId::HiftF0, GraphId::HiftDecode];

pub(super) fn replay(
    golden: &Golden,
    subject: &Subject<'_>,
    rows: &mut Rows<'_>,
) -> Result<(), ParityError> {
    let mut hift = match opened(open(subject))? {
        Ok(hift) => hift,
        Err(reason) => {
            rows.leave_all(golden, &reason);
            return Ok(());
        }
    };
    for case in golden.cases(".f0") {
        let outcome = run(golden, subject, &mut hift, &case, rows);
        rows.settle(&format!("{case}.wav"), outcome)?;
        // The initial phases change nothing that is heard.
        golden.known(&[&format!("{case}.phase_u")]);
    }
    golden.known(&["mel"]);
    rows.leave(golden, |case| {
        (case.starts_with("source_stft") || case == "istft.*")
            .then_some("stays inside the graph `hift_decode`")
    });
    Ok(())
}

fn open(subject: &Subject<'_>) -> Result<HiftStage, OpenError> {
    let manifest = subject.bundle.manifest();
    check_family(manifest.family)?;
    let graph = |graph| {
        let loaded = subject.graphs.get(&graph);
        loaded.ok_or(OpenError::MissingGraph(graph))
    };
    let pitch = &graph(GraphId::HiftF0)?.compiled;
    let decode = &graph(GraphId::HiftDecode)?.compiled;
    HiftStage::open(pitch, decode, subject.lane, manifest, &*subject.tables()?)
}

fn run(
    golden: &Golden,
    subject: &Subject<'_>,
    hift: &mut HiftStage,
    case: &str,
    rows: &mut Rows<'_>,
) -> Result<(), CaseError> {
    let manifest = subject.bundle.manifest();
    let arithmetic = subject.arithmetic(GRAPHS);
    let name = |array: &str| format!("{case}.{array}");
    let mel = golden.mel(&name("mel"), manifest.mel_bins)?;
    let samples = mel.shape().dims()[2] * manifest.samples_per_frame;
    let noise = golden.counted(&name("noise"), samples * manifest.hift.harmonics)?;
    let source = golden.counted(&name("source"), samples)?;

    hift.set_mel(mel)?;
    let pitch = hift.pitch()?;
    rows.compare(golden, &name("f0"), Quantity::Pitch.gate(arithmetic), pitch);
    let known = known_source(golden, &name("cache_source"), samples)?;
    let own = hift.excite(&mut RecordedNoise::new(noise), known)?;
    rows.compare(
        golden,
        &name("source"),
        Quantity::Source.gate(arithmetic),
        own,
    );
    if let Some(want) = golden.find(&name("wav")) {
        let wav = hift.decode()?;
        let label = name("wav, own source");
        super::e2e::judge_wav(&label, wav, want, subject, GRAPHS, rows);
    }

    hift.set_source(source);
    let wav = hift.decode()?;
    rows.compare(golden, &name("wav"), Quantity::Wav.gate(arithmetic), wav);
    Ok(())
}

fn known_source<'a>(
    golden: &'a Golden,
    name: &str,
    samples: usize,
) -> Result<&'a [f32], GoldenError> {
    let known = golden.elements::<f32>(name)?;
    if known.len() <= samples {
        return Ok(known);
    }
    let expected = format!("at most {samples} elements");
    let found = golden.tensor(name)?.shape();
    Err(GoldenError::array(golden.path(), name, &expected, found))
}
