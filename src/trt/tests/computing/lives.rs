//! What goes well, once, together and ten thousand times.

use super::*;

#[test]
fn a_model_is_built_loaded_and_run() {
    for raw in ALL {
        let fake = fake(raw);
        let plan = plan(&fake, |_| ());
        for frames in [1, 64, 65, 1024] {
            let y = speak(&fake, &plan, frames).expect("within a profile");
            assert_eq!(y.len(), 2 * ROWS * frames, "{raw}");
            assert!(is_right(&y), "{raw} {frames}: {y:?}");
        }
        assert_eq!(fake.runs(), 4);
        drop(plan);
        assert_clean(&fake, "after a run");
    }
}

#[test]
fn contexts_of_a_stream_share_scratch_memory() {
    for raw in ALL {
        let fake = fake(raw);
        let engine = load(&fake, &plan(&fake, |_| ())).expect("its own plan");
        let stream = fake.host().gpu().stream().expect("a stream");
        let scratch = Scratch::new(&stream, engine.scratch_bytes()).expect("memory");
        let mut lanes = [0, 1].map(|_| engine.context_with(&scratch).expect("a context"));
        for (frames, profile) in [(10, 0), (1000, 1), (64, 0), (64, 1)] {
            // Both of the same profile, which 8.6 takes only from engines built for it.
            for context in &mut lanes {
                context.set_profile(profile).expect("shared");
                let y = run(context, &scratch, frames).expect("in range");
                assert!(is_right(&y), "{raw} {frames}");
            }
        }
    }
}

#[test]
fn kernels_that_are_kept_are_not_compiled_again() {
    let fake = fake(RTX);
    let plan = plan(&fake, |_| ());
    let speak = |cache: &[u8], lengths: &[usize]| {
        let gpu = fake.host().gpu();
        let mut engine = fake
            .library()
            .load_engine(&gpu, &plan, false)
            .expect("its own plan");
        let options = KernelOptions { cache };
        let taken = engine.configure(&options).expect("RTX");
        let (engine, stream) = (Arc::new(engine), gpu.stream().expect("a stream"));
        let scratch = Scratch::new(&stream, engine.scratch_bytes()).expect("memory");
        let before = fake.compiled();
        for _ in 0..2 {
            let mut context = engine.context_with(&scratch).expect("a context");
            context.set_profile(0).expect("there is one");
            for &frames in lengths {
                run(&mut context, &scratch, frames).expect("in range");
            }
        }
        let kernels = engine.kernels().expect("kept").to_vec();
        (taken, fake.compiled() - before, kernels)
    };
    let (taken, compiled, kernels) = speak(b"", &[8, 16]);
    assert_eq!((taken, compiled), (false, 2), "two contexts share them");
    let (taken, compiled, more) = speak(&kernels, &[8, 16, 24]);
    assert_eq!((taken, compiled), (true, 1), "the third is new");
    assert!(more.len() > kernels.len());
    let (taken, compiled, _) = speak(b"of another library", &[8]);
    assert_eq!((taken, compiled), (false, 1));
    fake.fail(FakeFault {
        call: FakeCall::CreateConfig,
        after: 0,
        how: FakeFailure::Refused,
    });
    let gpu = fake.host().gpu();
    let mut engine = fake
        .library()
        .load_engine(&gpu, &plan, false)
        .expect("its own plan");
    let error = engine
        .configure(&KernelOptions::default())
        .expect_err("a call fails");
    assert!(matches!(error, EngineError::Failed { .. }), "{error}");
    drop((engine, plan));
    assert_clean(&fake, "after runs with a cache");
}

#[test]
fn a_recorded_run_is_done_when_it_is_launched() {
    for raw in ALL {
        let fake = fake(raw);
        let engine = load(&fake, &plan(&fake, |_| ())).expect("its own plan");
        let stream = fake.host().gpu().stream().expect("a stream");
        let mut context = engine.context(&stream).expect("a context");
        context.set_profile(0).expect("there is one");
        context
            .set_input_shape(0, Shape::new(&[ROWS, 1]))
            .expect("in range");
        let mut x = stream.allocate(4 * ROWS).expect("memory");
        let mut y = stream.allocate(8 * ROWS).expect("memory");
        let recorded = stream.capture(|| {
            let addresses = [x.bytes(4 * ROWS).address(), y.bytes_mut(8 * ROWS).address()];
            #[expect(unsafe_code, reason = "enqueues on device buffers")]
            // SAFETY: buffers of the context's stream with the ports' sizes, which a recording keeps; the context outlives it.
            unsafe {
                context.enqueue(&addresses)
            }
        });
        let mut recorded = recorded.expect("a run can be recorded");
        assert_eq!(
            fake.runs(),
            0,
            "{raw}: nothing is done while it is recorded"
        );
        for (launch, given) in [1.0_f32, 2.0, 3.0].into_iter().enumerate() {
            let bytes: Vec<u8> = [given; ROWS].iter().flat_map(|x| x.to_ne_bytes()).collect();
            stream
                .write(&mut x.bytes_mut(4 * ROWS), &bytes)
                .expect("a copy");
            recorded.launch().expect("the fake works");
            let mut result = vec![0; 8 * ROWS];
            stream.read(y.bytes(8 * ROWS), &mut result).expect("a copy");
            let expected = (2.0 * given + 1.0).to_ne_bytes();
            assert!(result.chunks(4).all(|y| y == expected), "{raw} {launch}");
        }
        assert_eq!(fake.runs(), 3, "{raw}");
        drop((recorded, context, engine, x, y, stream));
        assert_clean(&fake, "after a recorded run");
    }
}

#[test]
fn ten_thousand_lives_leak_nothing() {
    const LIVES: usize = 2_500;
    for raw in ALL {
        let fake = fake(raw);
        let plan = plan(&fake, |_| ());
        for _ in 0..LIVES {
            let y = speak(&fake, &plan, 1).expect("in range");
            assert!(is_right(&y), "{raw}");
        }
        assert_eq!(fake.runs(), LIVES as u64);
        drop(plan);
        assert_clean(&fake, "after many lives");
    }
}
