//! Chains of fakes that fail on purpose.

use super::{
    Backends, Bindings, Fake, Fault, Faulty, Lane, LoadOptions, OutputSlot, Recovery, RunError,
    Selected, Session, StoredArtifact, When, select,
};
use crate::ids::BackendId;
use crate::profile::{Chain, Fallback};
use crate::tensor::{BytesMut, DType, Dim, Port, Shape, Signature, TensorViewMut};
use std::path::PathBuf;
use std::sync::Arc;

const LINKS: [BackendId; 3] = [BackendId::TensorRt, BackendId::OrtCuda, BackendId::OrtCpu];

fn output(size: usize) -> Signature {
    Signature {
        inputs: Vec::new(),
        outputs: vec![Port {
            name: "y".to_owned(),
            dtype: DType::F32,
            dims: vec![Dim::Fixed(size)],
        }],
    }
}

/// A chain of three links, whose graphs give the link's place from 1 on, and whose first ones fail as they are told.
fn chain(faults: &[(Fault, When)], last: &Signature) -> Selected {
    let mut backends = Backends::default();
    for (at, link) in LINKS.into_iter().enumerate() {
        let place = f32::from(u8::try_from(at + 1).expect("three"));
        let signature = if at == 2 { last.clone() } else { output(1) };
        let fake = Fake::new(link, signature, move |io| {
            let OutputSlot::Into(view) = &mut io.outputs[0] else {
                panic!("the test binds memory")
            };
            if let BytesMut::Host(bytes) = view.bytes_mut() {
                bytes.copy_from_slice(&place.to_ne_bytes());
            }
        });
        let mut decorated = Faulty::new(Arc::new(fake));
        if let Some(&(fault, when)) = faults.get(at) {
            decorated = decorated.with(fault, when);
        }
        backends.insert(Arc::new(decorated));
    }
    let artifacts = LINKS.map(|link| (link, StoredArtifact::Onnx(PathBuf::from("none.onnx"))));
    let options = LoadOptions {
        threads: 1,
        device: 0,
    };
    let chain = Chain {
        links: LINKS.to_vec(),
        fallback: Fallback::AtRun,
    };
    select(&chain, &backends, &artifacts.into(), &options).expect("the first link loads")
}

fn run(session: &mut dyn Session) -> Result<f32, RunError> {
    let mut out = [0f32];
    let view = TensorViewMut::of(Shape::new(&[1]), &mut out).expect("one element");
    let mut io = Bindings {
        inputs: Vec::new(),
        outputs: vec![OutputSlot::Into(view)],
    };
    session.run(&mut io)?;
    Ok(out[0])
}

fn open(selected: &Selected) -> Box<dyn Session> {
    let graph = Arc::clone(&selected.compiled);
    graph.open(&Lane::on_host(0)).expect("opens")
}

#[test]
fn each_failure_goes_as_far_down_as_it_must() {
    struct Case {
        faults: &'static [(Fault, When)],
        /// Which link gave the result of the first and of the second run.
        given: [f32; 2],
        /// From, to, how often.
        falls: &'static [(usize, usize, Recovery, u64)],
    }
    const FIRST: When = When::At(1);
    let cases = [
        Case {
            faults: &[],
            given: [1.0, 1.0],
            falls: &[],
        },
        Case {
            faults: &[(Fault::FailedRun, FIRST)],
            given: [2.0, 2.0],
            falls: &[(0, 1, Recovery::Link, 1)],
        },
        Case {
            faults: &[(Fault::OutsideProfiles, FIRST)],
            given: [2.0, 1.0],
            falls: &[(0, 1, Recovery::Call, 1)],
        },
        Case {
            faults: &[(Fault::OutsideProfiles, When::Always)],
            given: [2.0, 2.0],
            falls: &[(0, 1, Recovery::Call, 2)],
        },
        Case {
            faults: &[
                (Fault::RunOutOfMemory, FIRST),
                (Fault::FailedRun, When::Always),
            ],
            given: [3.0, 3.0],
            falls: &[(0, 1, Recovery::Link, 1), (1, 2, Recovery::Link, 1)],
        },
        Case {
            faults: &[
                (Fault::OutsideProfiles, FIRST),
                (Fault::FailedRun, When::Always),
            ],
            given: [3.0, 1.0],
            falls: &[(0, 2, Recovery::Call, 1)],
        },
        Case {
            faults: &[
                (Fault::RefusedLane, When::Always),
                (Fault::RefusedLoad, When::Always),
            ],
            given: [3.0, 3.0],
            falls: &[(0, 2, Recovery::Link, 1)],
        },
    ];
    for (at, case) in cases.iter().enumerate() {
        let selected = chain(case.faults, &output(1));
        let mut session = open(&selected);
        let given = [(); 2].map(|()| run(&mut *session).expect("a link is left"));
        assert_eq!(
            given.map(f32::to_bits),
            case.given.map(f32::to_bits),
            "{at}"
        );
        let falls: Vec<_> = selected
            .falls
            .list()
            .into_iter()
            .map(|fall| (fall.from, fall.to, fall.recovery, fall.times))
            .collect();
        let expected: Vec<_> = case
            .falls
            .iter()
            .map(|&(from, to, recovery, times)| (LINKS[from], LINKS[to], recovery, times))
            .collect();
        assert_eq!(falls, expected, "{at}");
        assert_eq!(session.runs_on(), selected.falls.now(), "{at}");
        drop(session);
        let fresh = open(&selected);
        let again = fresh.runs_on();
        assert_eq!(
            again,
            selected.falls.now(),
            "{at}: what is gone counts no more"
        );
    }
}

#[test]
fn what_takes_single_calls_stays_open_behind_a_link_that_cannot_be_loaded() {
    let faults = [
        (Fault::OutsideProfiles, When::Always),
        (Fault::RefusedLoad, When::Always),
        // Opens once, and never again.
        (Fault::RefusedLane, When::From(2)),
    ];
    let selected = chain(&faults, &output(1));
    let mut session = open(&selected);
    for call in 1..=3 {
        let given = run(&mut *session).expect("the last link is open");
        assert_eq!(given.to_bits(), 3f32.to_bits(), "call {call}");
        let falls = selected.falls.list();
        let [fall] = &falls[..] else {
            panic!("call {call}: {falls:?}")
        };
        assert_eq!((fall.from, fall.to), (LINKS[0], LINKS[2]));
        assert_eq!((fall.recovery, fall.times), (Recovery::Call, call));
        assert!(
            fall.reason.contains("ort-cuda: "),
            "call {call}: {}",
            fall.reason
        );
    }
    assert_eq!(session.runs_on(), Some(LINKS[0]), "only calls went down");
}

#[test]
fn with_no_link_left_the_failure_is_told() {
    let always = [(Fault::FailedRun, When::Always); 3];
    let selected = chain(&always, &output(1));
    let mut session = open(&selected);
    let error = run(&mut *session).expect_err("every link fails");
    assert_eq!(error.recovery(), Recovery::Link);
    assert!(!session.give_up("not a number"), "it is on the last link");
}

#[test]
fn a_lost_device_and_a_callers_fault_move_nothing() {
    let selected = chain(&[(Fault::DeviceLost, When::Always)], &output(1));
    let error = run(&mut *open(&selected)).expect_err("lost");
    assert_eq!(error.recovery(), Recovery::Process);
    let selected = chain(&[], &output(1));
    let error = open(&selected)
        .run(&mut Bindings::default())
        .expect_err("nothing is bound");
    assert_eq!(error.recovery(), Recovery::Caller);
    assert!(selected.falls.list().is_empty());
}

#[test]
fn a_link_with_other_tensors_is_passed_over() {
    let faults = [(Fault::FailedRun, When::Always); 2];
    let selected = chain(&faults, &output(2));
    let error = run(&mut *open(&selected)).expect_err("the last link does not fit");
    assert_eq!(error.recovery(), Recovery::Link);
}
