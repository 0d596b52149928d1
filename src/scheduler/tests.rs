use super::fake::{scheduler, speech};
use super::queue::Work;
use super::*;
use crate::backend::RunError;
use crate::bundle::Voice;
use crate::deploy::WarmupError;
use crate::frontend::audio::Clip;
use crate::ids::{GraphId, Mode};
use crate::pipeline::{Speech, SpeechError};
use std::sync::mpsc;
use std::time::Duration;

fn segment(seed: u64) -> SpeechRequest {
    SpeechRequest {
        mode: Mode::Sft,
        text_ids: vec![1, 2],
        prompt_text_ids: vec![],
        voice: Arc::new(Voice {
            name: "fake".to_owned(),
            prompt_token: vec![],
            prompt_mel: vec![],
            embedding: vec![],
            transcript: None,
        }),
        seed,
        max_tokens: None,
        speed: 1.0,
    }
}

fn recording() -> Recording {
    Recording {
        name: "tone".to_owned(),
        clip: Clip::new(vec![0.5; 8000], 16_000).expect("half a second"),
        transcript: None,
    }
}

/// A scheduler that says when it starts with a segment, and speaks when it is told to or the client has gone.
fn gated(places: usize) -> (Scheduler, mpsc::Receiver<u64>, mpsc::Sender<()>) {
    let (started, starts) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let scheduler = scheduler(places, move |segment, stop| {
        started.send(segment.seed).expect("the test listens");
        let gate = gate.lock().expect("one speaker");
        loop {
            match gate.recv_timeout(Duration::from_millis(1)) {
                Err(mpsc::RecvTimeoutError::Timeout) if !stop() => {}
                Err(_) => return Err(SpeechError::Stopped),
                Ok(()) => return Ok(speech(segment)),
            }
        }
    });
    (scheduler, starts, go)
}

fn all_of(mut stream: SpeechStream) -> Result<Vec<Chunk>, JobError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut chunks = Vec::new();
        while let Some(chunk) = stream.next().await? {
            chunks.push(chunk);
        }
        Ok(chunks)
    })
}

#[test]
fn segments_come_in_order() {
    let scheduler = scheduler(1, |segment, _| Ok(speech(segment)));
    let stream = scheduler
        .submit(vec![segment(3), segment(4), segment(5)])
        .expect("admitted");
    let chunks = all_of(stream).expect("spoken");
    let firsts: Vec<f32> = chunks.iter().map(|chunk| chunk.pcm[0] * 128.0).collect();
    assert_eq!(firsts, [3.0, 4.0, 5.0]);
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk.ends_segment && chunk.pcm.len() == 200)
    );
}

#[test]
fn a_lost_device_ends_the_lane_and_is_told() {
    let scheduler = scheduler(3, |_, _| {
        Err(SpeechError::Run {
            graph: GraphId::Llm,
            source: RunError::DeviceLost {
                reason: "fell off the bus".to_owned(),
            },
        })
    });
    let lost = scheduler.lost();
    let stream = scheduler.submit(vec![segment(1)]).expect("admitted");
    let error = all_of(stream).expect_err("the device is lost");
    assert!(matches!(error, JobError::Speech(_)), "{error}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let reason = runtime.block_on(lost).to_string();
    assert!(reason.contains("fell off the bus"), "{reason}");
    let refused = scheduler
        .submit(vec![segment(2)])
        .expect_err("nothing can speak");
    assert!(matches!(refused, Refused::Down(_)), "{refused}");
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_back() {
    let (scheduler, starts, go) = gated(2);
    let first = scheduler.submit(vec![segment(1)]).expect("admitted");
    assert_eq!(starts.recv(), Ok(1));
    let second = scheduler.submit(vec![segment(2)]).expect("waits");
    assert_eq!(
        scheduler.load(),
        Load {
            running: 1,
            waiting: 1,
            places: 2
        }
    );
    let refused = scheduler.submit(vec![segment(3)]).expect_err("full");
    let Refused::Busy {
        places: 2,
        retry_after,
    } = refused
    else {
        panic!("{refused}");
    };
    assert!((1..=60).contains(&retry_after.as_secs()), "{retry_after:?}");
    go.send(()).expect("speaks");
    go.send(()).expect("speaks");
    assert_eq!(all_of(first).expect("spoken").len(), 1);
    assert_eq!(all_of(second).expect("spoken").len(), 1);
}

#[test]
fn a_client_that_goes_frees_its_place() {
    let (scheduler, starts, go) = gated(2);
    let spoken = scheduler
        .submit(vec![segment(1), segment(2)])
        .expect("admitted");
    assert_eq!(starts.recv(), Ok(1));
    let waiting = scheduler.submit(vec![segment(3)]).expect("waits");
    drop(waiting);
    let next = scheduler
        .submit(vec![segment(4)])
        .expect("the place is free");
    drop(spoken);
    assert_eq!(
        starts.recv(),
        Ok(4),
        "neither the second segment nor the withdrawn request is begun"
    );
    go.send(()).expect("speaks");
    assert_eq!(all_of(next).expect("spoken").len(), 1);
}

#[test]
fn a_panic_ends_one_request_and_no_other() {
    let scheduler = scheduler(8, |segment, _| {
        assert_ne!(segment.seed, 13, "an unlucky seed");
        Ok(speech(segment))
    });
    let [before, unlucky, after] =
        [1, 13, 2].map(|seed| scheduler.submit(vec![segment(seed)]).expect("admitted"));
    assert!(all_of(before).is_ok());
    let error = all_of(unlucky).expect_err("it panics");
    assert!(
        matches!(&error, JobError::Panicked { message } if message.contains("unlucky")),
        "{error}"
    );
    assert!(all_of(after).is_ok());
    assert!(matches!(scheduler.readiness(), Readiness::Ready));
}

#[test]
fn an_error_ends_the_request_and_is_the_last_word() {
    let scheduler = scheduler(1, |segment, _| match segment.seed {
        2 => Err(SpeechError::NoSpeech),
        _ => Ok(speech(segment)),
    });
    let stream = scheduler
        .submit(vec![segment(1), segment(2), segment(3)])
        .expect("admitted");
    let error = all_of(stream).expect_err("the second segment has no speech");
    assert!(
        matches!(&error, JobError::Speech(source) if matches!(**source, SpeechError::NoSpeech)),
        "{error}"
    );
}

#[test]
fn closing_refuses_and_draining_speaks_what_was_admitted() {
    let (scheduler, starts, go) = gated(3);
    let first = scheduler.submit(vec![segment(1)]).expect("admitted");
    let second = scheduler.submit(vec![segment(2)]).expect("admitted");
    assert_eq!(starts.recv(), Ok(1));
    scheduler.close();
    assert!(matches!(
        scheduler.submit(vec![segment(3)]),
        Err(Refused::Closed)
    ));
    go.send(()).expect("speaks");
    go.send(()).expect("speaks");
    scheduler.drain();
    assert_eq!(all_of(first).expect("spoken").len(), 1);
    assert_eq!(all_of(second).expect("spoken").len(), 1);
}

/// Warms up until it is told to stop.
#[derive(Debug)]
struct EndlessWarmup(mpsc::Sender<()>);

impl Speaker for EndlessWarmup {
    fn warm_up(&mut self, stop: &dyn Fn() -> bool) -> Result<Vec<WarmRun>, SpeakerError> {
        self.0.send(()).expect("the test listens");
        while !stop() {
            std::thread::yield_now();
        }
        Err(WarmupError::Stopped.into())
    }

    fn speak(
        &mut self,
        segment: &SpeechRequest,
        _: &dyn Fn() -> bool,
    ) -> Result<Speech, SpeechError> {
        Ok(speech(segment))
    }

    fn hear(&mut self, _: &Recording) -> Result<Voice, HearError> {
        Err(HearError::Deaf)
    }
}

#[test]
fn closing_ends_a_warm_up_and_what_was_admitted_is_spoken_all_the_same() {
    let (starts, begun) = mpsc::channel();
    let open: OpenSpeaker = Box::new(move || Ok(Box::new(EndlessWarmup(starts.clone())) as _));
    let scheduler = Scheduler::start("slow", open, Limits { places: 2 }).expect("a thread");
    begun.recv().expect("it warms up");
    let stream = scheduler.submit(vec![segment(1)]).expect("waits");
    let (answer, mut again) = oneshot::channel();
    scheduler
        .queue
        .admit(Work::WarmUp(answer))
        .expect("waits, too");
    scheduler.drain();
    assert_eq!(all_of(stream).expect("spoken").len(), 1);
    let again = again.try_recv().expect("answered");
    assert!(matches!(again, Err(JobError::Stopped)), "{again:?}");
    let readiness = scheduler.readiness();
    assert!(matches!(readiness, Readiness::Closed), "{readiness:?}");
}

#[test]
fn what_waits_when_the_scheduler_goes_hears_of_it() {
    let (scheduler, starts, go) = gated(3);
    let spoken = scheduler.submit(vec![segment(1)]).expect("admitted");
    let waiting = scheduler.submit(vec![segment(2)]).expect("admitted");
    assert_eq!(starts.recv(), Ok(1));
    go.send(()).expect("speaks");
    let spoken = all_of(spoken).expect("spoken");
    assert_eq!(spoken.len(), 1);
    drop(go);
    drop(scheduler);
    let error = all_of(waiting).expect_err("never spoken");
    assert!(matches!(error, JobError::Stopped), "{error}");
}

#[test]
fn a_lane_that_does_not_open_says_why() {
    let open: OpenSpeaker = Box::new(|| {
        Err(SpeakerError::Panicked {
            message: "no weights".to_owned(),
        })
    });
    let scheduler = Scheduler::start("broken", open, Limits { places: 2 }).expect("a thread");
    let refused = match scheduler.submit(vec![segment(1)]) {
        Err(refused) => refused.to_string(),
        Ok(stream) => all_of(stream).expect_err("no speaker").to_string(),
    };
    assert_eq!(refused, "the model cannot speak");
}

#[test]
fn recordings_go_first_and_never_two_in_a_row() {
    let queue = Queue::new(Limits { places: 9 });
    let mut ends: Vec<Box<dyn std::any::Any>> = Vec::new();
    for kind in "ssshhh".chars() {
        let (work, end): (_, Box<dyn std::any::Any>) = if kind == 's' {
            let (job, stream) = stream::pair(vec![segment(1)]);
            (Work::Speak(job), Box::new(stream))
        } else {
            let (answer, answered) = oneshot::channel();
            (Work::Hear(recording(), answer), Box::new(answered))
        };
        queue.admit(work).expect("a place");
        ends.push(end);
    }
    let order = (0..6).map(|_| match queue.take().expect("work") {
        Work::Hear(..) => 'h',
        _ => 's',
    });
    assert_eq!(order.collect::<String>(), "hshshs");
}

#[test]
fn a_recording_becomes_a_voice() {
    let scheduler = scheduler(2, |segment, _| Ok(speech(segment)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let voice = runtime
        .block_on(scheduler.hear(recording()))
        .expect("heard");
    assert_eq!((voice.name.as_str(), voice.prompt_token[0]), ("tone", 50));
}

#[test]
fn a_warm_up_takes_its_turn() {
    let scheduler = scheduler(2, |segment, _| Ok(speech(segment)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let runs = runtime.block_on(scheduler.warm_up()).expect("warm");
    assert_eq!(runs.len(), 1);
    assert!(matches!(scheduler.readiness(), Readiness::Ready));
}
