//! Which backends may serve a graph, in order, and when to move on.

use super::checked::checked;
use crate::ids::BackendId;

/// Backends to try, best first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Chain {
    /// The links, best first; never empty in a checked profile.
    pub links: Vec<BackendId>,
    /// When the next link may be used.
    pub fallback: Fallback,
}

/// When a chain may move to its next link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// Only the first link; anything else is an error.
    Never,
    /// While loading.
    AtLoad,
    /// While loading, and for a call that fails at run time.
    AtRun,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChain {
    links: Vec<BackendId>,
    fallback: Fallback,
}

impl<'de> serde::Deserialize<'de> for Chain {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked(deserializer, |RawChain { links, fallback }: RawChain| {
            if links.is_empty() {
                return Err("a chain needs at least one link".to_owned());
            }
            match links
                .iter()
                .enumerate()
                .find(|(at, link)| links[..*at].contains(link))
            {
                Some((_, twice)) => Err(format!("`{twice}` is twice in the chain")),
                None => Ok(Self { links, fallback }),
            }
        })
    }
}
