//! What the name of an entry's folder says of it, also where its manifest cannot be read.

use super::{EngineKey, KeyInputs};
use crate::ids::{BackendId, GraphId, Precision};

/// The folder below the root for entries that must not be served.
pub(super) const QUARANTINE: &str = ".quarantine";

/// Stands in quarantine where an id has a slash.
const JOIN: char = '-';

/// An entry by the name of its folder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EntryName {
    /// The graph.
    pub graph: GraphId,
    /// What built it.
    pub backend: BackendId,
    /// In which precision.
    pub precision: Precision,
    /// The beginning of its key.
    pub key: String,
}

impl EntryName {
    /// The name of the engine of these inputs.
    pub(super) fn of(inputs: &KeyInputs) -> Self {
        Self {
            graph: inputs.graph,
            backend: inputs.backend,
            precision: inputs.precision,
            key: EngineKey::of(inputs).short(),
        }
    }

    /// The folder below the graph's: `tensorrt-fp16-0123456789abcdef`.
    pub(super) fn folder(&self) -> String {
        let Self {
            backend,
            precision,
            key,
            ..
        } = self;
        format!("{backend}-{precision}-{key}")
    }

    /// Reads the id of an entry, in service (`llm/tensorrt-fp16-0123456789abcdef`) or in quarantine
    /// (`.quarantine/llm-tensorrt-fp16-0123456789abcdef.1`); `None` where it is none.
    pub fn of_id(id: &str) -> Option<Self> {
        let (graph, folder) = match id.split_once('/')? {
            (QUARANTINE, name) => without_number(name).split_once(JOIN)?,
            in_service => in_service,
        };
        let (rest, key) = folder.rsplit_once('-')?;
        let (backend, precision) = rest.rsplit_once('-')?;
        Some(Self {
            graph: graph.parse().ok()?,
            backend: backend.parse().ok()?,
            precision: precision.parse().ok()?,
            key: key.to_owned(),
        })
    }
}

/// The folder in quarantine of an entry in service; `number` tells those of one entry apart, the first has 0.
pub(super) fn quarantine_name(id: &str, number: u64) -> String {
    let name = id.replace('/', &JOIN.to_string());
    if number == 0 {
        name
    } else {
        format!("{name}.{number}")
    }
}

/// What folders in quarantine of one entry have in common.
pub(super) fn without_number(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_is_read_from_where_it_stands(inputs in fixture::any_inputs(), number in 1..20_u8) {
            let name = EntryName::of(&inputs);
            let (graph, folder) = (name.graph, name.folder());
            for id in [
                format!("{graph}/{folder}"),
                format!(".quarantine/{graph}-{folder}"),
                format!(".quarantine/{graph}-{folder}.{number}"),
            ] {
                prop_assert_eq!(EntryName::of_id(&id), Some(name.clone()), "{}", id);
            }
        }
    }

    #[test]
    fn other_folders_have_no_such_name() {
        for id in [
            "",
            "llm",
            "llm/",
            ".quarantine/",
            ".quarantine/x",
            "nothing/tensorrt-fp16-0",
            "llm/tensorrt-0",
        ] {
            assert_eq!(EntryName::of_id(id), None, "{id}");
        }
    }
}
