//! What of the processor an optimised model depends on.

/// The architecture and those of its extensions that choose the library's kernels and weight layouts.
///
/// An optimised model holds convolution weights blocked by the vector width, so it is not valid on another processor.
pub(super) fn processor() -> String {
    let mut words = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! push_present {
            ($($feature:tt)+) => { $( if std::is_x86_feature_detected!($feature) { words.push($feature); } )+ };
        }
        push_present!(
            "avx" "fma" "avx2" "avxvnni" "avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512vnni" "avx512bf16"
        );
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! push_present {
            ($($feature:tt)+) => { $( if std::arch::is_aarch64_feature_detected!($feature) { words.push($feature); } )+ };
        }
        push_present!("fp16" "dotprod" "i8mm" "bf16" "sve");
    }
    words.join("+")
}
