//! Whether there is a model, and whether its files are what they should be.

use super::Finding;
use crate::bundle::{Bundle, BundleError, StatCache};
use crate::config::Places;
use crate::hint::Hint;
use std::path::Path;

/// One finding per bundle, and whether any of them is sound. `only`: look at no other than this one.
pub(super) fn check(places: &Places, only: Option<&Path>) -> (Vec<Finding>, bool) {
    let found = match only {
        Some(dir) => vec![dir.to_owned()],
        None => match Bundle::list(&places.onnx) {
            Ok(found) => found,
            Err(error) => return (vec![damaged(&places.onnx, &error)], false),
        },
    };
    if found.is_empty() {
        let what = format!("there is none in {}", places.onnx.display());
        return (
            vec![Finding::problem(
                "bundle",
                what,
                "cvtrt export --model-dir DIR --out DIR",
            )],
            false,
        );
    }
    let mut digests = StatCache::open(&places.cache);
    let checked: Vec<_> = found
        .iter()
        .map(|dir| (dir, sound(dir, &mut digests)))
        .collect();
    if let Err(error) = digests.save() {
        tracing::warn!(%error, "digests are not remembered");
    }
    let any_sound = checked.iter().any(|(_, result)| result.is_ok());
    let findings = checked.into_iter().map(|(dir, result)| match result {
        Ok(what) => Finding::ok("bundle", what),
        Err(error) => damaged(dir, &error),
    });
    (findings.collect(), any_sound)
}

fn sound(dir: &Path, digests: &mut StatCache) -> Result<String, BundleError> {
    let bundle = Bundle::open(dir)?;
    bundle.verify(digests)?;
    let manifest = bundle.manifest();
    let voices = bundle.voice_names().len();
    Ok(format!(
        "{} ({}), {} files as listed, {voices} voices",
        manifest.name,
        manifest.family,
        manifest.files.len()
    ))
}

fn damaged(dir: &Path, error: &BundleError) -> Finding {
    let mut what = format!("{}: {error}", dir.display());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        what = format!("{what}: {cause}");
        source = cause.source();
    }
    Finding::problem(
        "bundle",
        what,
        error
            .hint()
            .map_or_else(|| "export it again".to_owned(), String::from),
    )
}
