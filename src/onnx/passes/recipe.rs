//! The text that says what was done to a graph.

use super::Pass;
use std::collections::BTreeMap;
use std::fmt;

/// The passes that were run, in order; its text is part of an engine's key.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Recipe {
    /// One entry per pass.
    pub steps: Vec<RecipeStep>,
}

/// One pass of a recipe.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RecipeStep {
    /// Name of the pass.
    pub pass: String,
    /// Its version.
    pub version: u32,
    /// Its settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

impl Recipe {
    /// The recipe of these passes.
    pub fn of(passes: &[Box<dyn Pass>]) -> Self {
        let steps = passes.iter().map(|pass| RecipeStep {
            pass: pass.name().to_owned(),
            version: pass.version(),
            parameters: pass.parameters(),
        });
        Self {
            steps: steps.collect(),
        }
    }
}

impl fmt::Display for Recipe {
    /// One line per pass, `name/version`, and one indented line per parameter, quoted so that the text is unambiguous.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let RecipeStep {
                pass,
                version,
                parameters,
            } = step;
            writeln!(f, "{pass}/{version}")?;
            for (name, value) in parameters {
                writeln!(f, "  {name:?}={value:?}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Half, HalfType, Islands, Rewrite, passes_for};
    use super::*;
    use crate::ids::Precision;

    fn recipe(islands: &[&str]) -> Recipe {
        let rewrite = Rewrite {
            islands: Islands {
                operators: islands.iter().map(|&name| name.to_owned()).collect(),
                ..Islands::default()
            },
            ..Rewrite::default()
        };
        Recipe::of(&passes_for(Precision::Fp16, &rewrite))
    }

    #[test]
    fn the_text_tells_settings_apart() {
        let plain = recipe(&[]).to_string();
        assert!(plain.starts_with("dead_code/1\nhalf/2\n"), "{plain}");
        let texts = [
            plain,
            recipe(&["Softmax"]).to_string(),
            recipe(&["Softmax", "Erf"]).to_string(),
            recipe(&["Softmax, Erf"]).to_string(),
            Recipe::of(&[Box::new(Half {
                to: HalfType::Bf16,
                islands: Islands::default(),
                half_io: std::collections::BTreeSet::new(),
            })])
            .to_string(),
        ];
        for (at, text) in texts.iter().enumerate() {
            assert!(!texts[..at].contains(text), "{text}");
        }
    }

    #[test]
    fn it_round_trips() {
        let recipe = recipe(&["Softmax"]);
        let text = serde_json::to_string(&recipe).expect("plain data");
        let back: Recipe = serde_json::from_str(&text).expect("own text");
        assert_eq!(back, recipe);
    }
}
