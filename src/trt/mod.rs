//! TensorRT through `dlopen`: loader, C++ shim, builder and runtime handles.
