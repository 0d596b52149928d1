//! Streams, memory, events and recorded work on host memory.
#![cfg(test)]

use super::*;
use crate::cuda::{BlockCopy, DeviceBuffer, Stream};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn bytes_travel_and_everything_is_given_back() {
    let host = HostGpu::default();
    {
        let stream = host.gpu().stream().expect("a stream");
        let mut there = stream.allocate(8).expect("device memory");
        let mut out = stream.allocate_pinned(8).expect("pinned memory");
        let mut back = stream.allocate_pinned(8).expect("pinned memory");
        out.bytes_mut().expect("idle").copy_from_slice(b"cosyvoic");
        stream.upload(&mut there, &out, 8).expect("a copy");
        stream.download(&mut back, &there, 4).expect("a copy");
        assert_eq!(back.bytes().expect("idle"), b"cosy\0\0\0\0");
        assert_eq!(host.outstanding(), (24, 1));
    }
    assert_eq!(host.outstanding(), (0, 0));
}

#[test]
fn each_failing_call_is_an_error_and_leaks_nothing() {
    for kind in [CudaErrorKind::OutOfMemory, CudaErrorKind::DeviceLost] {
        for after in 0..6 {
            let host = HostGpu::default();
            host.fail(HostFault { after, kind });
            let outcome = round_trip(&host.gpu());
            assert_eq!(outcome.expect_err("a call fails").kind, kind, "{after}");
            assert_eq!(host.outstanding(), (0, 0), "{after}");
        }
    }
}

fn round_trip(gpu: &Gpu) -> Result<(), CudaError> {
    let stream = gpu.stream()?;
    let mut there = stream.allocate(4)?;
    let mut here = stream.allocate_pinned(4)?;
    stream.upload(&mut there, &here, 4)?;
    stream.download(&mut here, &there, 4)?;
    stream.synchronize()
}

fn buffer(stream: &Arc<Stream>, bytes: &[u8]) -> DeviceBuffer {
    let mut there = stream.allocate(bytes.len()).expect("device memory");
    let mut here = stream.allocate_pinned(bytes.len()).expect("pinned memory");
    here.bytes_mut().expect("idle").copy_from_slice(bytes);
    stream
        .upload(&mut there, &here, bytes.len())
        .expect("a copy");
    there
}

fn read(stream: &Arc<Stream>, there: &DeviceBuffer) -> Vec<u8> {
    let mut here = stream.allocate_pinned(there.len()).expect("pinned memory");
    stream
        .download(&mut here, there, there.len())
        .expect("a copy");
    here.bytes().expect("idle").to_vec()
}

#[test]
fn blocks_move_and_are_zeroed_where_they_are_asked_to() {
    let stream = HostGpu::default().gpu().stream().expect("a stream");
    let narrow = buffer(&stream, b"aabbcc");
    let mut wide = buffer(&stream, b"............");
    let widen = BlockCopy {
        from: 0,
        from_pitch: 2,
        to: 1,
        to_pitch: 4,
        bytes: 2,
        count: 3,
    };
    wide.copy_from(&narrow, &widen).expect("a copy");
    assert_eq!(read(&stream, &wide), b".aa..bb..cc.");
    wide.copy_within(&BlockCopy::whole(9, 1, 2))
        .expect("a copy");
    assert_eq!(read(&stream, &wide), b".cc..bb..cc.");
    let interleaved = BlockCopy {
        from: 1,
        from_pitch: 4,
        to: 3,
        to_pitch: 4,
        bytes: 1,
        count: 3,
    };
    wide.copy_within(&interleaved).expect("a copy");
    assert_eq!(read(&stream, &wide), b".ccc.bbb.ccc");
    wide.zero(0, 6, 2, 2).expect("zeroed");
    assert_eq!(read(&stream, &wide), b"\0\0cc.b\0\0.ccc");
}

#[test]
fn a_block_outside_its_buffer_or_over_another_is_a_bug() {
    let stream = HostGpu::default().gpu().stream().expect("a stream");
    for copy in [
        BlockCopy::whole(0, 5, 4),
        BlockCopy::whole(usize::MAX, 0, 4),
        BlockCopy::whole(0, 2, 4),
        BlockCopy {
            from: 0,
            from_pitch: 2,
            to: 1,
            to_pitch: 2,
            bytes: 2,
            count: 2,
        },
    ] {
        let mut there = buffer(&stream, b"12345678");
        let copied = catch_unwind(AssertUnwindSafe(|| there.copy_within(&copy)));
        assert!(copied.is_err(), "{copy:?}");
    }
}

#[test]
fn the_host_waits_only_where_a_copy_may_be_under_way() {
    let host = HostGpu::default();
    let stream = host.gpu().stream().expect("a stream");
    let mut there = stream.allocate(4).expect("device memory");
    let mut here = stream.allocate_pinned(4).expect("pinned memory");
    here.bytes_mut().expect("idle").fill(7);
    assert_eq!(host.counts().waits, 0, "never copied");
    stream.upload(&mut there, &here, 4).expect("a copy");
    here.bytes_mut().expect("idle").fill(8);
    here.bytes().expect("idle");
    assert_eq!(host.counts().waits, 1, "once for one copy");
    stream.download(&mut here, &there, 4).expect("a copy");
    stream.synchronize().expect("idle");
    assert_eq!(here.bytes().expect("idle"), [7; 4]);
    let counts = host.counts();
    assert_eq!((counts.waits, counts.uploads, counts.downloads), (2, 1, 1));
}

#[test]
fn recorded_work_is_done_at_each_launch_and_keeps_its_memory() {
    let host = HostGpu::default();
    let stream = host.gpu().stream().expect("a stream");
    let mut to = buffer(&stream, b"........");
    let from = buffer(&stream, b"cosy");
    let submitted = Arc::new(Mutex::new(0));
    let mut replay = stream
        .capture(|| {
            to.copy_from(&from, &BlockCopy::whole(0, 2, 4))?;
            let submitted = Arc::clone(&submitted);
            let work = move || *submitted.lock().expect("not poisoned") += 1;
            host.submit(stream.raw(), Box::new(work));
            drop(from);
            Ok::<(), CudaError>(())
        })
        .expect("recorded");
    assert_eq!(read(&stream, &to), b"........");
    for launches in 1..3 {
        to.zero(0, 8, 8, 1).expect("zeroed");
        replay.launch().expect("launched");
        assert_eq!(read(&stream, &to), b"\0\0cosy\0\0");
        assert_eq!(*submitted.lock().expect("not poisoned"), launches);
    }
    assert_eq!(host.counts().replays, 2);
    assert_eq!(host.outstanding(), (12, 2), "the dropped buffer is kept");
    drop(replay);
    assert_eq!(host.outstanding(), (8, 1));
}

#[test]
fn a_recording_that_fails_ends_and_the_stream_goes_on() {
    let host = HostGpu::default();
    let stream = host.gpu().stream().expect("a stream");
    let mut there = buffer(&stream, b"1234");
    let waiting = stream.capture(|| stream.synchronize());
    let nested = stream.capture(|| stream.capture(|| Ok::<(), CudaError>(())).map(drop));
    let uploading = stream.capture(|| {
        let here = stream.allocate_pinned(4)?;
        stream.upload(&mut there, &here, 4)
    });
    for outcome in [waiting, nested, uploading] {
        let kind = outcome.expect_err("the host takes part").kind;
        assert_eq!(kind, CudaErrorKind::Capture);
        assert_eq!(read(&stream, &there), b"1234");
    }
    let panicking = catch_unwind(AssertUnwindSafe(|| {
        stream.capture(|| -> Result<(), CudaError> { panic!("a bug") })
    }));
    assert!(panicking.is_err());
    assert_eq!(read(&stream, &there), b"1234");
    drop(there);
    assert_eq!(host.outstanding(), (0, 1));
}

#[test]
fn events_mark_the_time_and_other_streams_wait_for_them() {
    let host = HostGpu::default();
    let gpu = host.gpu();
    let streams = [(); 2].map(|()| gpu.stream().expect("a stream"));
    let events = [(); 2].map(|()| gpu.event().expect("an event"));
    let early = events[1].elapsed_ms_since(&events[0]);
    assert_eq!(early.expect_err("no mark").kind, CudaErrorKind::Other);
    streams[0].record(&events[0]).expect("recorded");
    streams[1].wait_for(&events[0]).expect("enqueued");
    streams[1].record(&events[1]).expect("recorded");
    events[1].synchronize().expect("marked");
    let elapsed = events[1].elapsed_ms_since(&events[0]).expect("marked");
    assert!((0.0..60_000.0).contains(&elapsed), "{elapsed}");
    drop((events, streams));
    assert_eq!(host.outstanding(), (0, 0));
}

#[test]
fn each_failing_call_of_a_recording_is_an_error_and_leaks_nothing() {
    for kind in [CudaErrorKind::OutOfMemory, CudaErrorKind::DeviceLost] {
        for after in 0..11 {
            let host = HostGpu::default();
            host.fail(HostFault { after, kind });
            let outcome = record_and_replay(&host.gpu());
            assert_eq!(outcome.expect_err("a call fails").kind, kind, "{after}");
            assert_eq!(host.outstanding(), (0, 0), "{after}");
        }
        let host = HostGpu::default();
        let after = 11;
        host.fail(HostFault { after, kind });
        record_and_replay(&host.gpu()).expect("eleven calls");
    }
}

fn record_and_replay(gpu: &Gpu) -> Result<(), CudaError> {
    let stream = gpu.stream()?;
    let [begin, end] = [gpu.event()?, gpu.event()?];
    let mut there = stream.allocate(4)?;
    let mut replay = stream.capture(|| {
        there.zero(0, 2, 2, 2)?;
        there.copy_within(&BlockCopy::whole(0, 2, 2))
    })?;
    stream.record(&begin)?;
    stream.record(&end)?;
    replay.launch()
}
