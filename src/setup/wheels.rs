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
}

/// One wheel and the libraries taken out of it.
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
    /// The libraries.
    pub members: &'static [Member],
}

/// A library inside a wheel.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its path in the archive.
    pub path: &'static str,
}

impl Kind {
    /// The folder its libraries go to, below the run-time folder.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnxruntime",
            Self::OnnxRuntimeGpu => "onnxruntime_gpu",
            Self::TensorRtRtx => "tensorrt_rtx",
            Self::Cuda => "cuda",
        }
    }
}

impl Member {
    /// The last part of its path.
    pub fn file_name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

/// The wheels to install: for the processor alone, or for the GPU whose driver is given.
pub fn wheels(driver: Option<&Driver>) -> Vec<Wheel> {
    let mut wheels = vec![ONNX_RUNTIME];
    match driver {
        Some(driver) if driver.cuda_version >= 13_000 => {
            wheels.extend([
                TENSORRT_RTX,
                ONNX_RUNTIME_GPU,
                CUDA_RUNTIME,
                CUBLAS,
                CURAND,
                CUFFT,
                CUDNN,
            ]);
        }
        // ONNX Runtime's CUDA provider of this version wants CUDA 13, which an older driver lacks.
        Some(_) => wheels.push(TENSORRT_RTX_CUDA_12),
        None => wheels.push(TENSORRT_RTX),
    }
    wheels
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
    members: &[Member {
        path: "onnxruntime/capi/libonnxruntime.so.1.31.1",
    }],
};

const ONNX_RUNTIME_GPU: Wheel = Wheel {
    kind: Kind::OnnxRuntimeGpu,
    package: "onnxruntime-gpu",
    version: "1.31.1",
    tags: PYTHON_311,
    sha256: "e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6",
    members: &[
        Member {
            path: "onnxruntime/capi/libonnxruntime.so.1.31.1",
        },
        Member {
            path: "onnxruntime/capi/libonnxruntime_providers_shared.so",
        },
        Member {
            path: "onnxruntime/capi/libonnxruntime_providers_cuda.so",
        },
    ],
};

const RTX_MEMBERS: &[Member] = &[
    Member {
        path: "tensorrt_rtx_libs/libtensorrt_rtx.so.1",
    },
    Member {
        path: "tensorrt_rtx_libs/libtensorrt_onnxparser_rtx.so.1",
    },
];

const TENSORRT_RTX: Wheel = Wheel {
    kind: Kind::TensorRtRtx,
    package: "tensorrt-rtx-cu13-libs",
    version: "1.7.1.116",
    tags: ANY_PYTHON,
    sha256: "e3fd45fed001240d63304e77a2d4006319b839994237cb294b6e7ad72acaabcd",
    members: RTX_MEMBERS,
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
    members: &[Member {
        path: "nvidia/cu13/lib/libcudart.so.13",
    }],
};

const CUBLAS: Wheel = Wheel {
    package: "nvidia-cublas",
    version: "13.10.0.20",
    sha256: "dcc6d63884c53d07e267ce7e6feac17b2538cebaafec5db865736c3e28e4dc84",
    members: &[
        Member {
            path: "nvidia/cu13/lib/libcublasLt.so.13",
        },
        Member {
            path: "nvidia/cu13/lib/libcublas.so.13",
        },
    ],
    ..CUDA_RUNTIME
};

const CURAND: Wheel = Wheel {
    package: "nvidia-curand",
    version: "10.4.5.25",
    sha256: "22bb226a857e5888fe6b54ae465fc4371296bcff13a35f79e19691bcf454f529",
    members: &[Member {
        path: "nvidia/cu13/lib/libcurand.so.10",
    }],
    ..CUDA_RUNTIME
};

const CUFFT: Wheel = Wheel {
    package: "nvidia-cufft",
    version: "12.5.0.14",
    sha256: "b8be26837a5abad2b5b74f3e92dd29f622a42934b355be0961a48712cbba23ad",
    members: &[Member {
        path: "nvidia/cu13/lib/libcufft.so.12",
    }],
    ..CUDA_RUNTIME
};

const CUDNN: Wheel = Wheel {
    package: "nvidia-cudnn-cu13",
    version: "9.28.0.42",
    sha256: "7358353c75bb121a58e5f7712fe6d588883dc1df8ba00f428237e44e97543c4d",
    members: &[
        Member {
            path: "nvidia/cudnn/lib/libcudnn.so.9",
        },
        Member {
            path: "nvidia/cudnn/lib/libcudnn_graph.so.9",
        },
        Member {
            path: "nvidia/cudnn/lib/libcudnn_ops.so.9",
        },
        Member {
            path: "nvidia/cudnn/lib/libcudnn_cnn.so.9",
        },
        Member {
            path: "nvidia/cudnn/lib/libcudnn_adv.so.9",
        },
        Member {
            path: "nvidia/cudnn/lib/libcudnn_heuristic.so.9",
        },
        Member {
            path: "nvidia/cudnn/lib/libcudnn_engines_precompiled.so.9",
        },
        Member {
            path: "nvidia/cudnn/lib/libcudnn_engines_runtime_compiled.so.9",
        },
    ],
    ..CUDA_RUNTIME
};
