//! The models a server has.

use super::error::{ApiError, told};
use crate::bundle::Bundle;
use crate::deploy::{BelowFloor, Floor, Served};
use crate::frontend::text::TextFrontend;
use crate::ids::Tier;
use crate::reading::{Reader, ReaderError};
use crate::scheduler::{Readiness, Scheduler};
use axum::http::StatusCode;
use std::collections::BTreeSet;

/// What clients call the first model.
pub(super) const DEFAULT: &str = "default";

/// A model, ready to take requests.
#[derive(Debug)]
pub struct Model {
    pub(super) name: String,
    pub(super) bundle: Bundle,
    pub(super) reader: Reader,
    pub(super) scheduler: Scheduler,
    pub(super) served: Vec<Served>,
    pub(super) floor: Option<Floor>,
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
            bundle: bundle.clone(),
            reader: Reader::open(bundle, frontend)?,
            scheduler,
            served,
            floor: None,
        })
    }

    /// The same model, not ready unless it is served at `floor` or above it.
    #[must_use]
    pub fn with_floor(mut self, floor: Option<Floor>) -> Self {
        self.floor = floor;
        self
    }

    /// Its bundle's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it is below its floor and what helps, in one line; `None` where it is not.
    pub fn below_floor(&self) -> Option<String> {
        self.check_floor().err().map(|below| told(&below))
    }

    /// Whether it is served at its floor or above it.
    ///
    /// # Errors
    /// [`BelowFloor`] where it is not.
    pub fn check_floor(&self) -> Result<(), BelowFloor> {
        self.floor.map_or(Ok(()), |floor| floor.check(&self.served))
    }

    /// Why it is not ready; `None` where it is.
    pub(super) fn not_ready(&self) -> Option<String> {
        if let Some(reason) = self.below_floor() {
            return Some(reason);
        }
        match self.scheduler.readiness() {
            Readiness::Ready => None,
            Readiness::Opening => Some("warming up".to_owned()),
            Readiness::Closed => Some("stopping".to_owned()),
            Readiness::Down(reason) => Some(told(reason.as_ref())),
        }
    }

    /// What runs the graphs that speak, each backend once.
    pub(super) fn backends(&self) -> String {
        let speaking = self.served.iter().filter(|one| one.speaks());
        let names: BTreeSet<&str> = speaking.map(|one| one.now().backend.as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// The tiers of the graphs that speak, each once.
    pub(super) fn tiers(&self) -> String {
        let speaking = self.served.iter().filter(|one| one.speaks());
        let names: BTreeSet<String> = speaking.map(|one| one.now().to_string()).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// Whether every graph is served at this tier.
    pub(super) fn is_at(&self, tier: Tier) -> bool {
        let mut speaking = self.served.iter().filter(|one| one.speaks());
        speaking.all(|one| one.is_at(tier))
    }
}

/// The model of this name among several; no name and `default` mean the first.
pub(super) fn named<'a>(models: &'a [Model], name: Option<&str>) -> Result<&'a Model, ApiError> {
    let name = name.unwrap_or(DEFAULT);
    let first = models.first().filter(|_| name == DEFAULT);
    let known = models.iter().find(|model| model.name == name);
    known.or(first).ok_or_else(|| {
        let known: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        let known = known.join(", ");
        let message = format!("there is no model `{name}`; there are: {known}, {DEFAULT}");
        ApiError::new(StatusCode::NOT_FOUND, "model_not_found", message).of_field("model")
    })
}
