//! Compiles the TensorRT shim with the C++ compiler alone: no NVIDIA headers, no device, no libclang.
//!
//! Feature `bindgen` also rewrites `src/trt/sys.rs` from the shim's header; without it the committed file is used.

use std::env;
use std::path::{Path, PathBuf};

const SHIM: &str = "src/trt/shim";

fn main() {
    println!("cargo::rerun-if-changed={SHIM}");
    let testkit = env::var_os("CARGO_FEATURE_TESTKIT").is_some();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    compile_shim(testkit);
    compile_library(
        &out.join("plugin_stub.so"),
        "plugin_stub",
        &["-Wl,-soname,libnvinfer_plugin.so.8"],
    );
    if testkit {
        compile_fake_libraries(&out);
        println!("cargo::rustc-env=CVTRT_FAKE_LIBRARIES={}", out.display());
    }
    #[cfg(feature = "bindgen")]
    generate_bindings();
}

fn cxx() -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .include(SHIM)
        .flag("-fvisibility=hidden")
        .flag("-fvisibility-inlines-hidden")
        .extra_warnings(true)
        .warnings(true);
    for warning in [
        "-Wpedantic",
        "-Wshadow",
        "-Wconversion",
        "-Wold-style-cast",
        "-Wnon-virtual-dtor",
        "-Woverloaded-virtual",
    ] {
        build.flag_if_supported(warning);
    }
    build
}

/// One translation unit per set of interface declarations, so that no two share a program-wide definition.
fn compile_shim(testkit: bool) {
    let mut build = cxx();
    for unit in ["seam", "rtx", "v11", "v10", "v8"] {
        build.file(format!("{SHIM}/{unit}.cpp"));
    }
    if testkit {
        build.file(format!("{SHIM}/testkit/facts.cpp"));
        for abi in ["rtx", "v11", "v10", "v8"] {
            build.file(format!("{SHIM}/testkit/fake_{abi}.cpp"));
            build.file(format!("{SHIM}/testkit/computing_{abi}.cpp"));
        }
        for unit in ["record", "computing", "computing_plan"] {
            build.file(format!("{SHIM}/testkit/{unit}.cpp"));
        }
    }
    build.compile("cvtrt_trt_shim");
}

/// One shared library, made of one source file of the shim's folder.
fn compile_library(out: &Path, source: &str, flags: &[&str]) {
    let mut command = cxx().get_compiler().to_command();
    command.args(["-shared", "-fPIC"]).args(flags);
    command.arg(format!("{SHIM}/{source}.cpp"));
    command.arg("-o").arg(out);
    let status = command.status().expect("the C++ compiler runs");
    assert!(status.success(), "compiling {} failed", out.display());
}

/// Shared libraries for the loader's tests: they export what a TensorRT library would, each with one thing changed.
fn compile_fake_libraries(out: &Path) {
    let library = |file: &str, source: &str, defines: &[&str]| {
        let defines: Vec<String> = defines.iter().map(|define| format!("-D{define}")).collect();
        let defines: Vec<&str> = defines.iter().map(String::as_str).collect();
        compile_library(&out.join(file), &format!("testkit/{source}"), &defines);
    };
    library("fake_infer_10701.so", "fake_infer", &["VERSION=10701"]);
    library("fake_infer_10400.so", "fake_infer", &["VERSION=10400"]);
    library("fake_infer_9300.so", "fake_infer", &["VERSION=9300"]);
    library("fake_infer_110400.so", "fake_infer", &["VERSION=110400"]);
    library(
        "fake_infer_lean.so",
        "fake_infer",
        &["VERSION=110400", "LEAN"],
    );
    library("fake_infer_nothing.so", "fake_infer", &["NOTHING"]);
    library("fake_parser_200.so", "fake_parser", &["VERSION=200"]);
    library("fake_parser_nothing.so", "fake_parser", &["NOTHING"]);
}

#[cfg(feature = "bindgen")]
fn generate_bindings() {
    let header = format!("{SHIM}/cvtrt_trt.h");
    bindgen::Builder::default()
        .header(header)
        .allowlist_item("cvtrt_.*|CVTRT_.*")
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .layout_tests(true)
        .derive_default(true)
        .raw_line("//! The shim's C interface, generated from `shim/cvtrt_trt.h`; `scripts/check-bindings` compares.")
        .disable_header_comment()
        .merge_extern_blocks(true)
        .generate()
        .expect("the shim's header parses")
        .write_to_file("src/trt/sys.rs")
        .expect("src/trt/sys.rs can be written");
}
