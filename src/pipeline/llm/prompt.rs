//! What the language model reads before it speaks.

use crate::bundle::{TableError, Tables};

/// The sequence of a prefill: start mark, text, task mark, prompt speech.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlmPrompt {
    /// Ids of the prompt's words, then of the words to say.
    pub text: Vec<i32>,
    /// Speech tokens of the prompt.
    pub speech: Vec<i32>,
}

const START_MARK: i32 = 0;
const TASK_MARK: i32 = 1;

impl LlmPrompt {
    /// Positions the sequence takes.
    pub fn positions(&self) -> usize {
        1 + self.text.len() + 1 + self.speech.len()
    }

    /// Writes the sequence's embeddings, `[positions, H]` row-major.
    ///
    /// # Errors
    /// [`TableError`] when an id has no row, or the bundle has no text table.
    ///
    /// # Panics
    /// If `embeds` has another length than the sequence.
    ///
    /// Source: CosyVoice `cosyvoice/llm/llm.py`, `Qwen2LM.inference`.
    pub fn embed(&self, tables: &Tables, embeds: &mut [f32]) -> Result<(), TableError> {
        let width = tables.speech_embedding.width();
        assert_eq!(
            embeds.len(),
            self.positions() * width,
            "one row per position"
        );
        let mut rows = embeds.chunks_exact_mut(width);
        let mut next = || rows.next().expect("counted above");
        tables.marks.copy_row(START_MARK, next())?;
        if let Some(table) = &tables.text_embedding {
            for &id in &self.text {
                table.copy_row(id, next())?;
            }
        }
        tables.marks.copy_row(TASK_MARK, next())?;
        for &id in &self.speech {
            tables.speech_embedding.copy_row(id, next())?;
        }
        Ok(())
    }
}
