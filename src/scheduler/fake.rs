//! A speaker whose every word is up to the test.

use super::{HearError, Limits, OpenSpeaker, Recording, Scheduler, Speaker, SpeakerError};
use crate::bundle::{EMBEDDING_WIDTH, Voice};
use crate::deploy::WarmRun;
use crate::ids::{BackendId, GraphId};
use crate::pipeline::{End, Speech, SpeechError, SpeechRequest, StageTimes};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What the fake does with a segment.
pub(crate) type Say =
    dyn Fn(&SpeechRequest, &dyn Fn() -> bool) -> Result<Speech, SpeechError> + Send + Sync;

struct FakeSpeaker {
    say: Arc<Say>,
}

/// A scheduler over a fake that is opened without fail.
pub(crate) fn scheduler(
    places: usize,
    say: impl Fn(&SpeechRequest, &dyn Fn() -> bool) -> Result<Speech, SpeechError>
    + Send
    + Sync
    + 'static,
) -> Scheduler {
    let say: Arc<Say> = Arc::new(say);
    let open: OpenSpeaker = Box::new(move || {
        Ok(Box::new(FakeSpeaker {
            say: Arc::clone(&say),
        }) as Box<dyn Speaker>)
    });
    Scheduler::start("fake", open, Limits { places }).expect("a thread")
}

/// A hundred samples per text id, every one of them the seed's value.
pub(crate) fn speech(segment: &SpeechRequest) -> Speech {
    let value = f32::from(u8::try_from(segment.seed % 100).expect("small")) / 128.0;
    Speech {
        pcm: vec![value; 100 * segment.text_ids.len()],
        sample_rate: 24_000,
        tokens: segment.text_ids.clone(),
        end: End::MaxTokens,
        loops_broken: 2,
        silence_held_back: 0,
        times: StageTimes {
            total: Duration::from_millis(3),
            ..StageTimes::default()
        },
        backends: BTreeMap::new(),
    }
}

impl Speaker for FakeSpeaker {
    fn warm_up(&mut self, _: &dyn Fn() -> bool) -> Result<Vec<WarmRun>, SpeakerError> {
        Ok(vec![WarmRun {
            graph: GraphId::Llm,
            backend: BackendId::OrtCpu,
            shapes: "prefill".to_owned(),
            first_ms: 2.0,
            steady_ms: 1.0,
            median_ms: 1.0,
            p95_ms: 1.0,
        }])
    }

    fn speak(
        &mut self,
        segment: &SpeechRequest,
        stop: &dyn Fn() -> bool,
    ) -> Result<Speech, SpeechError> {
        (self.say)(segment, stop)
    }

    /// A voice whose every token is the length of its recording, in hundredths of a second.
    fn hear(&mut self, recording: &Recording) -> Result<Voice, HearError> {
        assert!(recording.name != "unlucky", "an unlucky name");
        let hundredths = recording.clip.samples().len() * 100 / recording.clip.rate_hz() as usize;
        let voice = Voice {
            name: recording.name.clone(),
            prompt_token: vec![i32::try_from(hundredths).expect("short"); 4],
            prompt_mel: vec![0.0; 4 * 2 * 80],
            embedding: vec![1.0; EMBEDDING_WIDTH],
            transcript: recording.transcript.clone(),
        };
        Ok(voice)
    }
}

impl fmt::Debug for FakeSpeaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeSpeaker").finish_non_exhaustive()
    }
}
