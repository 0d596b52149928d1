//! What is refused, what fails, and that neither leaves anything.

use super::*;

#[test]
fn an_engine_tells_its_ranges_and_scratch_by_profile() {
    for raw in ALL {
        let fake = fake(raw);
        let engine = load(&fake, &plan(&fake, |_| ())).expect("its own plan");
        let range = engine.range(1, 0).expect("an input");
        let frames = [range.min, range.opt, range.max].map(|shape| shape.dims()[1]);
        assert_eq!(frames, [64, 256, 1024], "{raw}");
        assert_eq!(engine.ports()[0].tensor.dims, [Some(ROWS), None], "{raw}");
        let [short, long] = [0, 1].map(|profile| engine.profile_scratch_bytes(profile));
        assert_eq!(long, Some(engine.scratch_bytes()), "{raw}");
        // TensorRT 8.6 tells of the engine only.
        assert_eq!(short < long, raw != V8, "{raw}");
        assert_eq!(engine.profile_scratch_bytes(2), None, "{raw}");
    }
}

#[test]
fn scratch_memory_need_only_suffice_for_the_profiles_in_use() {
    for raw in [RTX, V11, V10] {
        let fake = fake(raw);
        let engine = load(&fake, &plan(&fake, |_| ())).expect("its own plan");
        let stream = fake.host().gpu().stream().expect("a stream");
        let small = engine.profile_scratch_bytes(0).expect("there is one");
        let scratch = Scratch::new(&stream, small).expect("memory");
        let mut context = engine.context_with(&scratch).expect("a context");
        let unset = run(&mut context, &scratch, 8).expect_err("no profile yet");
        assert!(matches!(unset, EngineError::Failed { .. }), "{unset}");
        let error = context.set_profile(1).expect_err("more than there is");
        assert!(
            matches!(error, EngineError::Scratch { profile: 1, given, .. } if given == small),
            "{raw}: {error}"
        );
        context.set_profile(0).expect("as much as there is");
        let y = run(&mut context, &scratch, 64).expect("in range");
        assert!(is_right(&y), "{raw}");
    }
}

#[test]
fn shapes_outside_the_profile_are_refused() {
    for raw in ALL {
        let fake = fake(raw);
        let engine = load(&fake, &plan(&fake, |_| ())).expect("its own plan");
        let stream = fake.host().gpu().stream().expect("a stream");
        let mut context = engine.context(&stream).expect("a context");
        context.set_profile(0).expect("there is one");
        for shape in [&[ROWS, 65][..], &[ROWS, 0], &[ROWS + 1, 8], &[ROWS]] {
            let refused = context.set_input_shape(0, Shape::new(shape));
            let error = refused.expect_err("outside").to_string();
            assert!(error.contains("the shape was refused"), "{raw}: {error}");
        }
        let error = context.set_profile(2).expect_err("there are two");
        assert!(
            matches!(error, EngineError::Failed { .. }),
            "{raw}: {error}"
        );
    }
}

#[test]
fn plans_load_only_where_they_may() {
    let old = fake(V11);
    let newer = ComputingLibrary::new(V11 + 1, Arc::new(Arithmetic), old.host());
    let bound = plan(&old, |_| ());
    let error = load(&newer, &bound).expect_err("bound to its version");
    assert!(error.to_string().contains("another version"), "{error}");
    let portable = plan(&old, |request| request.version_compatible = true);
    let error = load(&newer, &portable).expect_err("not trusted");
    assert!(error.to_string().contains("host code"), "{error}");
    let gpu = newer.host().gpu();
    let trusted = newer.library().load_engine(&gpu, &portable, true);
    assert_eq!(trusted.expect("as asked").profiles(), 2);
    let rtx = fake(RTX);
    let foreign = load(&rtx, &bound).expect_err("another product's");
    assert!(matches!(foreign, EngineError::Plan(_)), "{foreign}");
}

#[test]
fn broken_plans_are_errors() {
    for raw in ALL {
        let fake = fake(raw);
        let whole = plan(&fake, |_| ()).to_vec();
        for length in 0..whole.len() {
            load(&fake, &whole[..length]).expect_err("cut short");
        }
        let mut longer = whole.clone();
        longer.push(0);
        load(&fake, &longer).expect_err("something was appended");
        let mut other = whole;
        *other.last_mut().expect("not empty") ^= 1;
        load(&fake, &other).expect_err("another model");
        assert_clean(&fake, "after broken plans");
    }
}

#[test]
fn a_model_that_is_none_is_a_parse_error() {
    for raw in ALL {
        let fake = fake(raw);
        let error = build(&fake, |request| request.onnx = b"garbage").expect_err("no model");
        let BuildError::Parse(errors) = &error else {
            panic!("{raw}: {error}");
        };
        assert_eq!(errors[0].message, "no model", "{raw}");
        let error = build(&fake, |request| request.profiles = &[]).expect_err("dynamic");
        assert!(
            error.to_string().contains("no optimization profile"),
            "{raw}: {error}"
        );
        assert_clean(&fake, "after failed builds");
    }
}

#[test]
fn every_fault_ends_in_an_error_of_its_own_and_leaves_nothing() {
    let building = [FakeCall::CreateBuilder, FakeCall::Parse, FakeCall::Build];
    let running = [
        FakeCall::CreateRuntime,
        FakeCall::Load,
        FakeCall::CreateContext,
        FakeCall::SetProfile,
        FakeCall::SetInputShape,
        FakeCall::SetAddress,
        FakeCall::Enqueue,
    ];
    for raw in ALL {
        let fake = fake(raw);
        let good = plan(&fake, |_| ());
        for how in [FakeFailure::Refused, FakeFailure::OutOfMemory] {
            for call in building {
                fake.fail(FakeFault {
                    call,
                    after: 0,
                    how,
                });
                let error = build(&fake, |_| ()).expect_err("a call fails");
                let memory = matches!(error, BuildError::OutOfMemory { .. });
                assert_eq!(
                    memory,
                    how == FakeFailure::OutOfMemory,
                    "{raw} {call:?}: {error}"
                );
                assert!(
                    memory || matches!(error, BuildError::Failed { .. }),
                    "{raw} {call:?}: {error}"
                );
            }
            for call in running {
                fake.fail(FakeFault {
                    call,
                    after: 0,
                    how,
                });
                let error = speak(&fake, &good, 8).expect_err("a call fails");
                let memory = matches!(error, EngineError::OutOfMemory);
                assert_eq!(
                    memory,
                    how == FakeFailure::OutOfMemory,
                    "{raw} {call:?}: {error}"
                );
                assert!(
                    memory || matches!(error, EngineError::Failed { .. }),
                    "{raw} {call:?}: {error}"
                );
            }
        }
        let y = speak(&fake, &good, 8).expect("no fault is left");
        assert!(is_right(&y), "{raw}");
        fake.fail(FakeFault {
            call: FakeCall::Enqueue,
            after: 1,
            how: FakeFailure::Nan,
        });
        let results = [0, 1, 2].map(|_| speak(&fake, &good, 8).expect("the run passes"));
        let nan = results.map(|y| y.iter().all(|y| y.is_nan()));
        assert_eq!(nan, [false, true, false], "{raw}: the second run alone");
        drop(good);
        assert_clean(&fake, "after all faults");
    }
}
