//! The models a server has.

use crate::bundle::Bundle;
use crate::deploy::Served;
use crate::frontend::text::TextFrontend;
use crate::ids::Tier;
use crate::reading::{Reader, ReaderError};
use crate::scheduler::Scheduler;
use std::collections::BTreeSet;

/// What clients call the first model.
pub(super) const DEFAULT: &str = "default";

/// A model, ready to take requests.
#[derive(Debug)]
pub struct Model {
    pub(super) name: String,
    pub(super) reader: Reader,
    pub(super) scheduler: Scheduler,
    pub(super) served: Vec<Served>,
}

impl Model {
    /// A bundle with the lane that speaks it. `frontend` reads its texts.
    ///
    /// # Errors
    /// [`ReaderError`] when its tokenizer or a voice cannot be read.
    pub fn new(
        bundle: &Bundle,
        frontend: TextFrontend,
        served: Vec<Served>,
        scheduler: Scheduler,
    ) -> Result<Self, ReaderError> {
        Ok(Self {
            name: bundle.manifest().name.clone(),
            reader: Reader::open(bundle, frontend)?,
            scheduler,
            served,
        })
    }

    /// What runs the graphs, each backend once.
    pub(super) fn backends(&self) -> String {
        let names: BTreeSet<&str> = self.served.iter().map(|one| one.backend.as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// Whether every graph is served at this tier.
    pub(super) fn is_at(&self, tier: Tier) -> bool {
        self.served
            .iter()
            .all(|one| one.backend == tier.backend && one.precision == tier.precision)
    }
}

/// The model of this name among several; no name and `default` mean the first.
pub(super) fn find<'a>(models: &'a [Model], name: Option<&str>) -> Option<&'a Model> {
    match name {
        None => models.first(),
        Some(name) => models
            .iter()
            .find(|model| model.name == name)
            .or_else(|| models.first().filter(|_| name == DEFAULT)),
    }
}
