//! Operators of our own, which rewritten graphs name and a backend computes.

/// The domain they are in.
pub const DOMAIN: &str = "cvtrt";

/// `x + sin² x`, element by element: the vocoder's Snake on a signal times its rate.
pub const SNAKE: &str = "Snake";
