//! A warm run allocates nothing on the Rust side.

#[path = "counting/mod.rs"]
mod counting;

use counting::allocations;
use cvtrt::backend::{Artifact, Bindings, Lane, LoadOptions, OutputSlot, Recycled};
use cvtrt::ids::BackendId;
use cvtrt::tensor::{DType, Shape, Tensor};
use cvtrt::testkit::{backend_or_skip, graph_path};

#[test]
fn a_warm_run_allocates_nothing() {
    let Some(backend) = backend_or_skip(BackendId::OrtCpu, "a_warm_run_allocates_nothing") else {
        return;
    };
    let options = LoadOptions {
        threads: 1,
        device: 0,
    };
    let graph = backend
        .load(Artifact::Onnx(&graph_path("append")), &options)
        .expect("loads");
    let mut session = graph.open(&Lane::on_host(0)).expect("opens");
    let mut recycled = Recycled::default();
    let past = Tensor::zeros(DType::F32, Shape::new(&[1, 8, 4]));
    let new = Tensor::zeros(DType::F32, Shape::new(&[1, 1, 4]));
    let mut joined = Tensor::zeros(DType::F32, Shape::new(&[1, 9, 4]));
    let mut step = || {
        let mut io = Bindings::reuse(&mut recycled);
        io.inputs.push(past.view());
        io.inputs.push(new.view());
        io.outputs.push(OutputSlot::Into(joined.view_mut()));
        session.run(&mut io).expect("runs");
        io.recycle(&mut recycled);
    };
    assert!(
        allocations(&mut step) > 0,
        "the first run makes the vectors, so the counter counts"
    );
    assert_eq!(allocations(&mut step), 0);
}
