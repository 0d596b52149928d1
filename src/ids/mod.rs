//! The vocabulary every room shares: graphs, backends, precisions, families, modes and axes, each spelled once.

mod digest;
mod fingerprint;
mod named;
pub mod operator;
mod tier;

pub use digest::{Digest, DigestHasher, ParseDigestError};
pub use fingerprint::Fingerprint;
pub use named::UnknownName;
pub use tier::{Tier, UnknownTier};

named::named_enum! {
    /// One ONNX graph of a bundle.
    ///
    /// Each model family has some of them; `onnx/README.md` gives their signatures.
    pub enum GraphId("graph") {
        /// Language model: prefill and decode in one graph.
        Llm = "llm",
        /// Text encoder in front of the language model (v1).
        TextEncoder = "text_encoder",
        /// Speech tokens to the decoder condition `mu`.
        FlowEncoder = "flow_encoder",
        /// Token rate to frame rate (v1).
        LengthRegulator = "length_regulator",
        /// One evaluation of the flow-matching velocity.
        FlowEstimator = "flow_estimator",
        /// Mel to fundamental frequency.
        HiftF0 = "hift_f0",
        /// Mel and source signal to waveform.
        HiftDecode = "hift_decode",
        /// Log-mel to speech tokens.
        SpeechTokenizer = "speech_tokenizer",
        /// Filter banks to speaker embedding.
        Campplus = "campplus",
    }
}

named::named_enum! {
    /// What compiles and runs a graph.
    pub enum BackendId("backend") {
        /// NVIDIA TensorRT 8.6, 10 or 11.
        TensorRt = "tensorrt",
        /// NVIDIA TensorRT-RTX.
        TensorRtRtx = "tensorrt-rtx",
        /// ONNX Runtime with its CUDA provider.
        OrtCuda = "ort-cuda",
        /// ONNX Runtime on the processor.
        OrtCpu = "ort-cpu",
    }
}

named::named_enum! {
    /// The floating-point type an engine computes in; inputs and outputs stay FP32.
    pub enum Precision("precision") {
        /// 32-bit floats.
        Fp32 = "fp32",
        /// 16-bit floats, five exponent bits.
        Fp16 = "fp16",
        /// 16-bit floats, eight exponent bits.
        Bf16 = "bf16",
    }
}

named::named_enum! {
    /// The model families of CosyVoice.
    pub enum Family("family") {
        /// CosyVoice-300M (v1).
        CosyVoice = "cosyvoice",
        /// CosyVoice2-0.5B (v2).
        CosyVoice2 = "cosyvoice2",
        /// Fun-CosyVoice3-0.5B (v3).
        CosyVoice3 = "cosyvoice3",
    }
}

named::named_enum! {
    /// What a request asks of a model.
    pub enum Mode("mode") {
        /// A stored voice speaks the text.
        Sft = "sft",
        /// The voice of a prompt with its transcript speaks the text.
        ZeroShot = "zero_shot",
        /// The voice of a prompt speaks a text in another language; no transcript.
        CrossLingual = "cross_lingual",
        /// A stored voice speaks as an instruction says (v1).
        Instruct = "instruct",
        /// The voice of a prompt speaks as an instruction says (v2, v3).
        Instruct2 = "instruct2",
        /// The voice of a prompt says what a recording says.
        Vc = "vc",
    }
}

impl Mode {
    /// Whether the language model runs: every mode but voice conversion starts from a text.
    pub const fn takes_text(self) -> bool {
        !matches!(self, Self::Vc)
    }
}

named::named_enum! {
    /// A dynamic dimension's name; one axis has one range per optimisation profile.
    pub enum Axis("axis") {
        /// Rows computed together.
        Batch = "batch",
        /// Positions fed to the language model in one call.
        New = "new",
        /// Capacity of the KV bucket.
        Past = "past",
        /// Speech tokens.
        Tokens = "tokens",
        /// Text tokens.
        Text = "text",
        /// Mel frames.
        Frames = "frames",
        /// Feature frames of the prompt encoders.
        Features = "features",
    }
}

impl BackendId {
    /// Whether it runs a model as exported, in any shape, and needs no engine for that.
    pub const fn runs_models(self) -> bool {
        matches!(self, Self::OrtCuda | Self::OrtCpu)
    }
}

impl GraphId {
    /// Expands a user's word: a graph's own name, or `hift` for both vocoder graphs.
    ///
    /// # Errors
    /// [`UnknownName`] when the word names no graph.
    pub fn expand(word: &str) -> Result<Vec<Self>, UnknownName> {
        match word {
            "hift" => Ok(vec![Self::HiftF0, Self::HiftDecode]),
            one => one.parse().map(|graph| vec![graph]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back() {
        for graph in GraphId::ALL {
            assert_eq!(graph.as_str().parse::<GraphId>().as_ref(), Ok(graph));
        }
        for backend in BackendId::ALL {
            assert_eq!(backend.as_str().parse::<BackendId>().as_ref(), Ok(backend));
        }
        for mode in Mode::ALL {
            assert_eq!(mode.as_str().parse::<Mode>().as_ref(), Ok(mode));
        }
    }

    #[test]
    fn hift_means_both_graphs() {
        assert_eq!(
            GraphId::expand("hift"),
            Ok(vec![GraphId::HiftF0, GraphId::HiftDecode])
        );
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "flow".parse::<GraphId>().expect_err("`flow` is no graph");
        assert!(error.to_string().contains("flow_encoder"), "{error}");
    }
}
