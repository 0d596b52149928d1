//! Operators of our own, which rewritten graphs name and a backend computes.

/// The domain they are in.
pub const DOMAIN: &str = "cvtrt";

/// `x + sin² x`, element by element: the vocoder's Snake on a signal times its rate.
pub const SNAKE: &str = "Snake";

/// Rounds f32 to the nearest f16, ties to even, too large ones to infinity, and gives it as f32, element by element.
pub const ROUND_TO_F16: &str = "RoundToFloat16";

/// Likewise to the nearest bf16.
pub const ROUND_TO_BF16: &str = "RoundToBFloat16";

/// All of them; each takes one tensor f32 to one of its shape.
pub const ALL: [&str; 3] = [SNAKE, ROUND_TO_F16, ROUND_TO_BF16];
