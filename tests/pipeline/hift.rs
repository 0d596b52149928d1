//! The vocoder: F0, source and waveform, at an utterance's beginning and after it.

use crate::fixture::{Fixture, Golden};
use crate::noise::Recorded;
use cvtrt::compare::Tolerance;

#[test]
fn waveforms_are_the_recorded_ones() {
    let Some(fixture) = Fixture::cosyvoice2("waveforms are the recorded ones") else {
        return;
    };
    let golden = Golden::read("cosyvoice2-tiny/golden_hift.npz");
    let mut hift = fixture.hift();
    for case in ["call0", "call1"] {
        let name = |array: &str| format!("{case}.{array}");
        let mel = golden.tensor(&name("mel"));
        let f0 = hift.pitch(mel).expect("pitch");
        golden.check(&name("f0"), f0, Tolerance::absolute(5e-3));

        let mut noise = Recorded(golden.floats(&name("noise")).to_vec());
        let known = golden.floats(&name("cache_source"));
        let source = hift.excite(&mut noise, known);
        golden.check(&name("source"), source, Tolerance::absolute(5e-3));
        let wav = hift.decode(mel).expect("decode");
        golden.check(&name("wav"), wav, Tolerance::relative_l2(1e-2));

        hift.set_source(golden.floats(&name("source")));
        let wav = hift.decode(mel).expect("decode");
        golden.check(&name("wav"), wav, Tolerance::absolute(1e-4));
    }
}
