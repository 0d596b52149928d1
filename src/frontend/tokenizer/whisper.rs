//! Whisper's multilingual vocabulary, from a file in the format of tiktoken.

use std::collections::HashSet;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

/// A tokenizer from tiktoken's ranks: a line has a token in Base64 and its id; a lower id merges first.
///
/// The special tokens are those of Whisper's large-v3; their ids follow the last one of the file.
///
/// Source: Whisper, `whisper/tokenizer.py`, `get_encoding` with 100 languages.
pub(super) fn tokenizer_from_ranks(file: &[u8]) -> tokenizers::Result<Tokenizer> {
    let ranks = ranks(file)?;
    let first_special = ranks
        .iter()
        .map(|(_, rank)| rank + 1)
        .max()
        .ok_or("it has no token")?;
    let specials: Vec<String> = special_tokens().collect();
    let mut vocab: Vec<(String, u32)> = ranks
        .iter()
        .map(|(token, rank)| (spelled(token), *rank))
        .collect();
    vocab.extend(specials.iter().cloned().zip(first_special..));
    let model = BPE::builder()
        .vocab_and_merges(vocab.into_iter().collect::<Vocab>(), merges(&ranks))
        .ignore_merges(true)
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    let words = Split::new(
        SplitPattern::Regex(WORDS.to_owned()),
        SplitDelimiterBehavior::Isolated,
        false,
    )?;
    let bytes = ByteLevel::new(false, false, false);
    let steps = vec![
        PreTokenizerWrapper::Split(words),
        PreTokenizerWrapper::ByteLevel(bytes),
    ];
    tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
    let added: Vec<AddedToken> = specials
        .into_iter()
        .map(|token| AddedToken::from(token, true).normalized(false))
        .collect();
    tokenizer.add_special_tokens(added)?;
    Ok(tokenizer)
}

/// What is encoded by itself: GPT-2's words.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Languages of large-v3, in the order of their ids.
const LANGUAGES: &str = "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur \
    hr bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka \
    be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue";
const TASKS: [&str; 6] = [
    "translate",
    "transcribe",
    "startoflm",
    "startofprev",
    "nospeech",
    "notimestamps",
];
/// Time stamps from 0 s to 30 s, 20 ms apart.
const TIME_STAMPS: u32 = 1501;

fn special_tokens() -> impl Iterator<Item = String> {
    let names = ["endoftext", "startoftranscript"]
        .into_iter()
        .chain(LANGUAGES.split_whitespace())
        .chain(TASKS);
    let times = (0..TIME_STAMPS).map(|step| format!("<|{}.{:02}|>", step / 50, step % 50 * 2));
    names.map(|name| format!("<|{name}|>")).chain(times)
}

/// The tokens of a file, but for empty ones.
fn ranks(file: &[u8]) -> tokenizers::Result<Vec<(Vec<u8>, u32)>> {
    let text = std::str::from_utf8(file)?;
    let mut ranks = Vec::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let malformed = || format!("line {} is not a token in Base64 and its id", index + 1);
        let (token, rank) = line.split_once(' ').ok_or_else(malformed)?;
        let token = base64::decode_config(token.trim_end_matches('='), base64::STANDARD_NO_PAD)
            .map_err(|_| malformed())?;
        let rank: u32 = rank
            .trim()
            .parse()
            .ok()
            .filter(|&rank| rank < i32::MAX as u32)
            .ok_or_else(malformed)?;
        ranks.push((token, rank));
    }
    Ok(ranks)
}

/// Every pair of tokens that makes a token, in the order of what they make.
fn merges(ranks: &[(Vec<u8>, u32)]) -> Vec<(String, String)> {
    let known: HashSet<&[u8]> = ranks.iter().map(|(token, _)| token.as_slice()).collect();
    let mut by_rank: Vec<&(Vec<u8>, u32)> = ranks.iter().collect();
    by_rank.sort_by_key(|(_, rank)| *rank);
    let pairs = by_rank
        .into_iter()
        .flat_map(|(token, _)| (1..token.len()).map(|at| token.split_at(at)));
    let both_known = |(left, right): &(&[u8], &[u8])| known.contains(left) && known.contains(right);
    pairs
        .filter(both_known)
        .map(|(left, right)| (spelled(left), spelled(right)))
        .collect()
}

/// A token as byte-level vocabularies spell it: a printable character for each byte.
fn spelled(token: &[u8]) -> String {
    token.iter().map(|&byte| letter_from_byte(byte)).collect()
}

/// GPT-2's letters: the printable bytes of Latin-1 are themselves, the others follow from U+0100 on, in order.
fn letter_from_byte(byte: u8) -> char {
    let others_below = match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => return char::from(byte),
        0..=b' ' => u32::from(byte),
        0x7f..=0xa0 => u32::from(byte) - 0x7f + 33,
        0xad => 67,
    };
    char::from_u32(0x100 + others_below).expect("letters up to U+0143")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn letters_are_those_of_byte_level_vocabularies() {
        let letters: HashSet<char> = (0..=u8::MAX).map(letter_from_byte).collect();
        assert_eq!(letters, ByteLevel::alphabet().into_iter().collect());
        assert_eq!([b' ', b'\n', 0xad].map(letter_from_byte), ['Ġ', 'Ċ', 'Ń']);
    }

    #[test]
    fn the_special_tokens_are_those_of_large_v3() {
        let tokens: Vec<String> = special_tokens().collect();
        assert_eq!(tokens.len(), 1609);
        let at = |index: usize| tokens[index].as_str();
        assert_eq!(
            [at(0), at(2), at(101), at(102)],
            ["<|endoftext|>", "<|en|>", "<|yue|>", "<|translate|>"]
        );
        assert_eq!(
            [at(108), at(109), at(1608)],
            ["<|0.00|>", "<|0.02|>", "<|30.00|>"]
        );
    }

    #[test]
    fn a_malformed_file_is_named_by_its_line() {
        let error = |file: &[u8]| {
            tokenizer_from_ranks(file)
                .expect_err("malformed")
                .to_string()
        };
        for (file, want) in [
            ("", "it has no token"),
            ("IQ== 0\nIg==\n", "line 2"),
            ("IQ== x\n", "line 1"),
            ("I* 0\n", "line 1"),
            ("IQ== 4294967295\n", "line 1"),
        ] {
            assert!(
                error(file.as_bytes()).contains(want),
                "{file:?}: {}",
                error(file.as_bytes())
            );
        }
        assert!(!error(&[0xff]).is_empty());
    }
}
