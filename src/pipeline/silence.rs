//! Runs of silent tokens, kept short.

/// Passes the first silent tokens of a run on to the flow and holds back the rest.
///
/// The language model hears every token all the same.
///
/// Source: CosyVoice `cosyvoice/cli/model.py`, `CosyVoice3Model::llm_job`.
#[derive(Debug, Clone)]
pub struct Silence {
    ids: Vec<i32>,
    run: usize,
    held_back: usize,
}

/// Silent tokens of a run that are heard.
const LONGEST_RUN: usize = 5;

impl Silence {
    /// Counts `ids` as silent; without any, every token passes.
    pub fn new(ids: Vec<i32>) -> Self {
        Self {
            ids,
            run: 0,
            held_back: 0,
        }
    }

    /// Whether the next token is to be heard.
    pub fn passes(&mut self, token: i32) -> bool {
        if !self.ids.contains(&token) {
            self.run = 0;
            return true;
        }
        self.run += 1;
        let passes = self.run <= LONGEST_RUN;
        self.held_back += usize::from(!passes);
        passes
    }

    /// Tokens held back so far.
    pub fn held_back(&self) -> usize {
        self.held_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_of_a_run_are_heard_whichever_silent_ids_it_is_made_of() {
        let mut silence = Silence::new(vec![1, 2]);
        let tokens = [9, 1, 2, 1, 2, 1, 2, 1, 8, 2, 2];
        let heard: Vec<i32> = tokens
            .into_iter()
            .filter(|&token| silence.passes(token))
            .collect();
        assert_eq!(heard, [9, 1, 2, 1, 2, 1, 8, 2, 2]);
        assert_eq!(silence.held_back(), 2);
    }
}
