//! Enums whose variants are spelled the same in Rust, YAML, metrics and flags.

/// A word that names none of a vocabulary's members.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a {kind}; known: {}", known.join(", "))]
pub struct UnknownName {
    /// What was looked for: `graph`, `backend`, …
    pub kind: &'static str,
    /// The word as given.
    pub given: String,
    /// Every accepted word.
    pub known: &'static [&'static str],
}

/// Declares a `Copy` enum with `as_str`, `ALL`, `Display`, `FromStr` and serde by name.
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident($kind:literal) {
            $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $( $(#[$variant_meta])* #[serde(rename = $word)] $variant, )+
        }

        impl $name {
            /// Every member, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            const WORDS: &'static [&'static str] = &[$($word),+];

            /// The one spelling of this member.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ids::UnknownName;

            fn from_str(given: &str) -> Result<Self, Self::Err> {
                match given {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::ids::UnknownName { kind: $kind, given: given.to_owned(), known: Self::WORDS }),
                }
            }
        }
    };
}

pub(crate) use named_enum;
