//! The wheels cvtrt was tried with.

use crate::cuda::Driver;

/// What a wheel brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// ONNX Runtime for the processor.
    OnnxRuntime,
    /// ONNX Runtime with its CUDA provider.
    OnnxRuntimeGpu,
    /// TensorRT-RTX: builder, parser and runtime.
    #[serde(rename = "tensorrt-rtx")]
    TensorRtRtx,
    /// CUDA libraries that the CUDA provider needs.
    Cuda,
    /// Graphs that spell out numbers, dates and symbols.
    Wetext,
}

/// One wheel and the files taken out of it.
#[derive(Debug, Clone, Copy)]
pub struct Wheel {
    /// What it brings.
    pub kind: Kind,
    /// Package name.
    pub package: &'static str,
    /// Version.
    pub version: &'static str,
    /// pip's flags that choose the same file under every Python.
    pub tags: &'static [&'static str],
    /// SHA-256 of the wheel, in hex.
    pub sha256: &'static str,
    /// The folder in the archive whose files are taken.
    pub base: &'static str,
    /// The files, below `base` in the archive and below the kind's folder once unpacked.
    pub members: &'static [&'static str],
}

impl Kind {
    /// The folder its files go to, below the run-time folder.
    pub const fn folder(self) -> &'static str {
        match self {
            // The GPU build is the CPU build with providers beside it.
            Self::OnnxRuntime | Self::OnnxRuntimeGpu => "onnxruntime",
            Self::TensorRtRtx => "tensorrt_rtx",
            Self::Cuda => "cuda",
            Self::Wetext => "wetext",
        }
    }
}

impl Wheel {
    /// A member's path in the archive.
    pub fn archive_path(&self, member: &str) -> String {
        format!("{}/{member}", self.base)
    }
}

/// The wheels to install: for the processor alone, or for the GPU whose driver is given.
pub fn wheels(driver: Option<&Driver>) -> Vec<Wheel> {
    match driver {
        Some(driver) if driver.cuda_version >= 13_000 => vec![
            ONNX_RUNTIME_GPU,
            CUDA_RUNTIME,
            CUBLAS,
            CURAND,
            CUFFT,
            CUDNN,
            TENSORRT_RTX,
            WETEXT,
        ],
        // ONNX Runtime's CUDA provider of this version wants CUDA 13, which an older driver lacks.
        Some(_) => vec![ONNX_RUNTIME, TENSORRT_RTX_CUDA_12, WETEXT],
        None => vec![ONNX_RUNTIME, TENSORRT_RTX, WETEXT],
    }
}

const PYTHON_311: &[&str] = &[
    "--python-version",
    "311",
    "--implementation",
    "cp",
    "--abi",
    "cp311",
    "--platform",
    "manylinux_2_28_x86_64",
];
const ANY_PYTHON: &[&str] = &[];

const ONNX_RUNTIME: Wheel = Wheel {
    kind: Kind::OnnxRuntime,
    package: "onnxruntime",
    version: "1.31.1",
    tags: PYTHON_311,
    sha256: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
    base: "onnxruntime/capi",
    members: &["libonnxruntime.so.1.31.1"],
};

const ONNX_RUNTIME_GPU: Wheel = Wheel {
    kind: Kind::OnnxRuntimeGpu,
    package: "onnxruntime-gpu",
    version: "1.31.1",
    tags: PYTHON_311,
    sha256: "e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6",
    base: "onnxruntime/capi",
    members: &[
        "libonnxruntime.so.1.31.1",
        "libonnxruntime_providers_shared.so",
        "libonnxruntime_providers_cuda.so",
    ],
};

const TENSORRT_RTX: Wheel = Wheel {
    kind: Kind::TensorRtRtx,
    package: "tensorrt-rtx-cu13-libs",
    version: "1.7.1.116",
    tags: ANY_PYTHON,
    sha256: "e3fd45fed001240d63304e77a2d4006319b839994237cb294b6e7ad72acaabcd",
    base: "tensorrt_rtx_libs",
    members: &["libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1"],
};

const TENSORRT_RTX_CUDA_12: Wheel = Wheel {
    package: "tensorrt-rtx-cu12-libs",
    sha256: "68c2615fef1556e7721235682f460f3d78ab89df320a3f34a416367b144817a8",
    ..TENSORRT_RTX
};

const CUDA_RUNTIME: Wheel = Wheel {
    kind: Kind::Cuda,
    package: "nvidia-cuda-runtime",
    version: "13.5.37",
    tags: ANY_PYTHON,
    sha256: "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d",
    base: "nvidia/cu13/lib",
    members: &["libcudart.so.13"],
};

const CUBLAS: Wheel = Wheel {
    package: "nvidia-cublas",
    version: "13.10.0.20",
    sha256: "dcc6d63884c53d07e267ce7e6feac17b2538cebaafec5db865736c3e28e4dc84",
    members: &["libcublasLt.so.13", "libcublas.so.13"],
    ..CUDA_RUNTIME
};

const CURAND: Wheel = Wheel {
    package: "nvidia-curand",
    version: "10.4.5.25",
    sha256: "22bb226a857e5888fe6b54ae465fc4371296bcff13a35f79e19691bcf454f529",
    members: &["libcurand.so.10"],
    ..CUDA_RUNTIME
};

const CUFFT: Wheel = Wheel {
    package: "nvidia-cufft",
    version: "12.5.0.14",
    sha256: "b8be26837a5abad2b5b74f3e92dd29f622a42934b355be0961a48712cbba23ad",
    members: &["libcufft.so.12"],
    ..CUDA_RUNTIME
};

const CUDNN: Wheel = Wheel {
    package: "nvidia-cudnn-cu13",
    version: "9.28.0.42",
    sha256: "7358353c75bb121a58e5f7712fe6d588883dc1df8ba00f428237e44e97543c4d",
    base: "nvidia/cudnn/lib",
    members: &[
        "libcudnn.so.9",
        "libcudnn_graph.so.9",
        "libcudnn_ops.so.9",
        "libcudnn_cnn.so.9",
        "libcudnn_adv.so.9",
        "libcudnn_heuristic.so.9",
        "libcudnn_engines_precompiled.so.9",
        "libcudnn_engines_runtime_compiled.so.9",
    ],
    ..CUDA_RUNTIME
};

/// The graphs of later versions expect another search for the reading.
pub(super) const WETEXT: Wheel = Wheel {
    kind: Kind::Wetext,
    package: "wetext",
    version: "0.0.9",
    tags: ANY_PYTHON,
    sha256: "effa5565c0bacfaed0684ed667f60fd0b59fe076c08b4600ad5d8473923802d9",
    base: "wetext/fsts",
    members: &[
        "zh/tn/tagger.fst",
        "zh/tn/verbalizer.fst",
        "en/tn/tagger.fst",
        "en/tn/verbalizer.fst",
    ],
};
