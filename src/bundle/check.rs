//! What a manifest must hold beyond its form.

use super::manifest::{Manifest, NoiseKind, SineKind};
use super::manifest_error::ManifestError;
use super::path::BundlePath;
use crate::ids::{Family, GraphId, Mode};
use crate::yaml;
use std::collections::BTreeMap;

/// The schema this program reads.
pub(super) const FORMAT: u32 = 1;
/// The manifest's own name.
pub(super) const MANIFEST_FILE: &str = "bundle.yaml";
/// The host's tensors.
pub(super) const TABLES_FILE: &str = "tables.safetensors";

impl Manifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] naming the first field that is wrong.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        /// Read first: another format may have other fields.
        #[derive(serde::Deserialize)]
        struct Versioned {
            format: u64,
        }
        let Versioned { format } = yaml::parse(text).map_err(ManifestError::Yaml)?;
        if format != u64::from(FORMAT) {
            return Err(ManifestError::Format { found: format });
        }
        let manifest: Self = yaml::parse(text).map_err(ManifestError::Yaml)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Mel frames that stand for `tokens` speech tokens.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "token counts are far below 2^52 and the ratio is checked positive"
    )]
    pub fn frames_of_tokens(&self, tokens: usize) -> usize {
        (tokens as f64 * self.frames_per_token).round() as usize
    }

    fn check(&self) -> Result<(), ManifestError> {
        check_name(&self.name)?;
        self.check_numbers()?;
        self.check_rates()?;
        self.check_graphs()?;
        self.check_modes()?;
        self.check_kinds()?;
        self.check_files()
    }

    fn check_graphs(&self) -> Result<(), ManifestError> {
        let only_v1 = [GraphId::TextEncoder, GraphId::LengthRegulator];
        match only_v1
            .into_iter()
            .find(|graph| self.graphs.contains_key(graph))
        {
            Some(graph) if self.family != Family::CosyVoice => Err(ManifestError::ForeignGraph {
                graph,
                family: self.family,
            }),
            _ => Ok(()),
        }
    }

    /// Each family has its own noise and sines; no stage makes others.
    fn check_kinds(&self) -> Result<(), ManifestError> {
        let (noise, sine) = match self.family {
            Family::CosyVoice => (NoiseKind::Fresh, SineKind::Cumulative),
            Family::CosyVoice2 => (NoiseKind::Fixed, SineKind::Interpolated),
            Family::CosyVoice3 => (NoiseKind::Fixed, SineKind::Framewise),
        };
        let field = if self.flow.noise != noise {
            "flow.noise"
        } else if self.hift.sine != sine {
            "hift.sine"
        } else {
            return Ok(());
        };
        Err(ManifestError::ForeignKind {
            field,
            family: self.family,
        })
    }

    fn check_modes(&self) -> Result<(), ManifestError> {
        for (index, &mode) in self.modes.iter().enumerate() {
            if self.modes[..index].contains(&mode) || self.lacks.contains_key(&mode) {
                return Err(ManifestError::ModeTwice { mode });
            }
            if mode.takes_text() && self.tokenizer.is_none() {
                return Err(ManifestError::ModeNeedsTokenizer { mode });
            }
            let missing = graphs_run_by(mode, self.family)
                .into_iter()
                .find(|graph| !self.graphs.contains_key(graph));
            if let Some(graph) = missing {
                return Err(ManifestError::ModeNeedsGraph { mode, graph });
            }
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), ManifestError> {
        if self.files.keys().any(|file| file.as_str() == MANIFEST_FILE) {
            return Err(ManifestError::ListsItself);
        }
        if !self.files.keys().any(|file| file.as_str() == TABLES_FILE) {
            return Err(ManifestError::NotListed {
                role: "tables".to_owned(),
                file: TABLES_FILE.to_owned(),
            });
        }
        let mut roles = BTreeMap::new();
        for (role, file) in self.roles() {
            if !self.files.contains_key(file) {
                return Err(ManifestError::NotListed {
                    role,
                    file: file.to_string(),
                });
            }
            if let Some(first) = roles.insert(file, role.clone()) {
                return Err(ManifestError::SharedFile {
                    file: file.clone(),
                    first,
                    second: role,
                });
            }
        }
        Ok(())
    }

    /// Every file the manifest names by its role.
    fn roles(&self) -> impl Iterator<Item = (String, &BundlePath)> {
        let graphs = self.graphs.iter().flat_map(|(graph, spec)| {
            let data = spec.data.iter();
            std::iter::once((format!("graphs.{graph}.file"), &spec.file))
                .chain(data.map(move |file| (format!("graphs.{graph}.data"), file)))
        });
        let tokenizer = self.tokenizer.iter();
        let ranges = self.ranges.iter();
        graphs
            .chain(tokenizer.map(|spec| ("tokenizer.file".to_owned(), &spec.file)))
            .chain(ranges.map(|file| ("ranges".to_owned(), file)))
    }
}

fn check_name(name: &str) -> Result<(), ManifestError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(ManifestError::Name {
            found: name.chars().take(80).collect(),
        });
    }
    Ok(())
}

fn graphs_run_by(mode: Mode, family: Family) -> Vec<GraphId> {
    let mut graphs = vec![
        GraphId::FlowEncoder,
        GraphId::FlowEstimator,
        GraphId::HiftF0,
        GraphId::HiftDecode,
    ];
    graphs.push(if mode.takes_text() {
        GraphId::Llm
    } else {
        GraphId::SpeechTokenizer
    });
    if family == Family::CosyVoice {
        graphs.push(GraphId::LengthRegulator);
        graphs.extend(mode.takes_text().then_some(GraphId::TextEncoder));
    }
    graphs
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use proptest::prelude::*;

    /// The refusal of the fixture after one edit.
    fn refusal(from: &str, to: &str) -> ManifestError {
        let text = fixture::manifest_text(&fixture::files());
        assert!(text.contains(from), "the fixture has no `{from}`");
        Manifest::parse(&text.replacen(from, to, 1)).expect_err(to)
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (from, to, named) in [
            (
                "sample_rate: 24000",
                "sample_rate: 22050",
                "`sample_rate` is 22050",
            ),
            (
                "frames_per_token: 2",
                "frames_per_token: .nan",
                "`frames_per_token`",
            ),
            ("mel_bins: 2", "mel_bins: 0", "`mel_bins`"),
            ("name: small", "name: ../small", "`name`"),
            ("[sft, zero_shot]", "[sft, sft]", "mode sft"),
            ("[sft, zero_shot]", "[sft, vc]", "mode vc"),
            ("stop: [6, 8]", "stop: [6, 9]", "`llm.stop[1]`"),
            ("stop: [6, 8]", "stop: [8, 6]", "`llm.stop[1]`"),
            ("stop: [6, 8]", "stop: [5, 8]", "`llm.stop[0]`"),
            ("eos: 6", "eos: 5", "`llm.eos`"),
            ("fill: 8", "fill: 9", "`llm.fill`"),
            ("head_rows: 9", "head_rows: 8", "`llm.stop[1]`"),
            ("speech_vocab: 6", "speech_vocab: 10", "`llm.speech_vocab`"),
            ("kv_dtype: f32", "kv_dtype: i64", "`llm.kv_dtype`"),
            ("hidden: 4", "hidden: 0", "`llm.hidden`"),
            ("hidden: 4", "hidden: 18446744073709551615", "`llm.hidden`"),
            ("top_p: 0.8", "top_p: 1.5", "`sampling.top_p`"),
            ("min_ratio: 2", "min_ratio: 21", "`sampling.min_ratio`"),
            ("steps: 10", "steps: 0", "`flow.steps`"),
            ("max_tokens: 64", "max_tokens: 0", "`flow.max_tokens`"),
            ("harmonics: 9", "harmonics: 8", "`hift.harmonics`"),
            ("noise: fixed", "noise: fresh", "`flow.noise`"),
            ("sine: interpolated", "sine: cumulative", "`hift.sine`"),
            (
                "endofprompt: 7",
                "endofprompt: -1",
                "`tokenizer.endofprompt`",
            ),
            ("file: hift_f0.onnx", "file: gone.onnx", "gone.onnx"),
            (
                "file: hift_f0.onnx",
                "file: hift_decode.onnx",
                "are both hift_decode.onnx",
            ),
            (
                "  hift_f0: { file: hift_f0.onnx }\n",
                "",
                "needs the graph hift_f0",
            ),
            (
                "tokenizer: { file: tokenizer.json, endofprompt: 7 }",
                "tokenizer: null",
                "needs a tokenizer",
            ),
            (
                "  hift_f0:",
                "  length_regulator:",
                "length_regulator, which cosyvoice2 does not have",
            ),
            (
                "  tables.safetensors:",
                "  other.safetensors:",
                "tables.safetensors",
            ),
            ("  tables.safetensors:", "  bundle.yaml:", "bundle.yaml"),
        ] {
            let error = refusal(from, to).to_string();
            assert!(error.contains(named), "{from} → {to}: {error}");
        }
    }

    #[test]
    fn a_family_has_the_graphs_of_its_own_alone() {
        assert!(matches!(
            refusal("family: cosyvoice2", "family: cosyvoice"),
            ManifestError::ModeNeedsGraph {
                graph: GraphId::LengthRegulator,
                ..
            }
        ));
    }

    #[test]
    fn another_format_is_refused_before_its_fields_are() {
        let error = refusal("format: 1\n", "format: 2\nnovelty: true\n");
        assert_eq!(error, ManifestError::Format { found: 2 });
    }

    #[test]
    fn form_errors_say_where_and_what_was_meant() {
        for (from, to, nearest) in [
            ("  head_dim: 4", "  head_dims: 4", Some("head_dim")),
            (
                "family: cosyvoice2",
                "family: cosyvoice4",
                Some("cosyvoice"),
            ),
            ("noise: fixed", "noise: fixd", Some("fixed")),
            ("  hift_f0:", "  hift_fo:", Some("hift_f0")),
            ("  hidden: 4", "  hidden: four", None),
            ("file: hift_f0.onnx", "file: ../hift_f0.onnx", None),
            ("file: hift_f0.onnx", "file: /hift_f0.onnx", None),
            ("digest: 0", "digest: x", None),
        ] {
            let text = fixture::manifest_text(&fixture::files());
            let line = 1 + text[..text.find(from).expect(from)].matches('\n').count();
            match refusal(from, to) {
                ManifestError::Yaml(error) => {
                    assert_eq!(
                        error.place.map(|(line, _)| line),
                        Some(line),
                        "{to}: {error}"
                    );
                    assert_eq!(error.nearest.as_deref(), nearest, "{to}: {error}");
                }
                other => panic!("{to}: {other}"),
            }
        }
    }

    #[test]
    fn nothing_is_listed_twice() {
        for (from, to, twice) in [
            ("  hift_f0:", "  llm:", "`llm` is listed twice"),
            (
                "  llm.onnx.data:",
                "  llm.onnx:",
                "`llm.onnx` is listed twice",
            ),
            (
                "lacks: { vc: ",
                "lacks: { vc: none, vc: ",
                "`vc` is listed twice",
            ),
            (
                "mel_bins: 2",
                "mel_bins: 2\nmel_bins: 2",
                "duplicate field `mel_bins`",
            ),
        ] {
            let error = refusal(from, to).to_string();
            assert!(error.contains(twice), "{to}: {error}");
        }
    }

    #[test]
    fn hostile_yaml_is_refused() {
        let laughs = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, i| {
            text + &format!("a{i}: &a{i} [*a{0}, *a{0}, *a{0}]\n", i - 1)
        });
        for text in [
            String::new(),
            "\0".to_owned(),
            "format: 1".to_owned(),
            "format: -1".to_owned(),
            "[".repeat(4_096),
            "{a: ".repeat(4_096),
            "- ".repeat(10_000),
            "? ".repeat(10_000),
            "format: 1\n".to_owned() + &laughs,
            format!("format: 1\nname: {}", "[".repeat(4_000)),
        ] {
            assert!(Manifest::parse(&text).is_err());
        }
    }

    #[test]
    fn damaged_text_never_panics() {
        let text = fixture::manifest_text(&fixture::files());
        for bytes in fixture::damaged(text.as_bytes()) {
            let _ = Manifest::parse(&String::from_utf8_lossy(&bytes));
        }
    }

    prop_compose! {
        fn manifests()(
            name in "[a-z][a-z0-9._-]{0,20}",
            description in any::<String>(),
            lacks in any::<String>(),
            speech_vocab in 1..5_000_usize,
            more_rows in 1..200_usize,
            fill in any::<bool>(),
            silent in prop::collection::vec(0..1_i32, 0..4),
            (top_p, tau) in (0.0..=1.0_f32, 0.0..=1.0_f32),
            (guidance, max_ratio) in (0.0..9.0_f32, 0.0..100.0_f32),
            max_tokens in prop::option::of(1..10_000_usize),
            bytes in any::<u64>(),
            digest in any::<[u8; 32]>(),
            voice in "[^/\\\\\\p{C}.][^/\\\\\\p{C}]{0,20}",
        ) -> Manifest {
            let mut manifest = fixture::manifest();
            let first = i32::try_from(speech_vocab).expect("small");
            manifest.name = name;
            manifest.description = description;
            manifest.lacks = BTreeMap::from([(Mode::Vc, lacks)]);
            manifest.llm.speech_vocab = speech_vocab;
            manifest.llm.head_rows = speech_vocab + more_rows;
            manifest.llm.eos = first;
            manifest.llm.fill = fill.then_some(first);
            manifest.llm.stop = first..=i32::try_from(speech_vocab + more_rows - 1).expect("small");
            manifest.llm.silent = silent;
            manifest.sampling.top_p = top_p;
            manifest.sampling.tau = tau;
            manifest.sampling.min_ratio = max_ratio / 2.0;
            manifest.sampling.max_ratio = max_ratio;
            manifest.flow.guidance = guidance;
            manifest.flow.max_tokens = max_tokens;
            let file = BundlePath::try_from(format!("voices/{voice}.safetensors")).expect("a path");
            manifest.files.insert(file, super::super::manifest::FileSpec { bytes, sha256: digest.into() });
            manifest
        }
    }

    proptest! {
        #[test]
        fn a_manifest_round_trips(manifest in manifests()) {
            let text = serde_yaml::to_string(&manifest).expect("serialises");
            prop_assert_eq!(Manifest::parse(&text), Ok(manifest), "{}", text);
        }
    }
}
