//! Numbers in English words, as Python's `inflect` spells them.

use super::letters::digit_value;

/// Spells out every run of decimal digits: `a12` becomes `atwelve`.
pub fn spell_out_numbers(text: &str) -> String {
    let mut spelled = String::with_capacity(text.len());
    let mut digits = Vec::new();
    for letter in text.chars() {
        if let Some(digit) = digit_value(letter) {
            digits.push(digit);
            continue;
        }
        flush(&mut digits, &mut spelled);
        spelled.push(letter);
    }
    flush(&mut digits, &mut spelled);
    spelled
}

const BELOW_TWENTY: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = [
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];
const THOUSANDS: [&str; 12] = [
    "",
    " thousand",
    " million",
    " billion",
    " trillion",
    " quadrillion",
    " quintillion",
    " sextillion",
    " septillion",
    " octillion",
    " nonillion",
    " decillion",
];

fn flush(digits: &mut Vec<u8>, spelled: &mut String) {
    if !digits.is_empty() {
        spelled.push_str(&words_from_digits(digits));
        digits.clear();
    }
}

/// A number in words. One of more than 36 digits is read digit by digit, where `inflect` fails.
fn words_from_digits(digits: &[u8]) -> String {
    let leading_zeros = digits.iter().take_while(|&&digit| digit == 0).count();
    let digits = &digits[leading_zeros..];
    if digits.is_empty() {
        return BELOW_TWENTY[0].to_owned();
    }
    if digits.len() > 3 * THOUSANDS.len() {
        let words: Vec<&str> = digits
            .iter()
            .map(|&digit| BELOW_TWENTY[usize::from(digit)])
            .collect();
        return words.join(" ");
    }
    let groups: Vec<usize> = digits.rchunks(3).map(value).collect();
    let mut words = String::new();
    for (thousands, &group) in groups
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, group)| **group > 0)
    {
        if !words.is_empty() {
            let is_last_below_hundred = thousands == 0 && group < 100;
            words.push_str(if is_last_below_hundred { " and " } else { ", " });
        }
        words.push_str(&words_below_thousand(group));
        words.push_str(THOUSANDS[thousands]);
    }
    words
}

fn value(digits: &[u8]) -> usize {
    digits
        .iter()
        .fold(0, |value, &digit| value * 10 + usize::from(digit))
}

fn words_below_thousand(number: usize) -> String {
    let (hundreds, rest) = (number / 100, number % 100);
    match (hundreds, rest) {
        (0, rest) => words_below_hundred(rest),
        (hundreds, 0) => format!("{} hundred", BELOW_TWENTY[hundreds]),
        (hundreds, rest) => format!(
            "{} hundred and {}",
            BELOW_TWENTY[hundreds],
            words_below_hundred(rest)
        ),
    }
}

fn words_below_hundred(number: usize) -> String {
    match (number / 10, number % 10) {
        (0 | 1, _) => BELOW_TWENTY[number].to_owned(),
        (tens, 0) => TENS[tens].to_owned(),
        (tens, ones) => format!("{}-{}", TENS[tens], BELOW_TWENTY[ones]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What inflect 7.6.0 says.
    #[test]
    fn numbers_read_as_in_inflect() {
        let cases = [
            ("0", "zero"),
            ("000", "zero"),
            ("010", "ten"),
            ("19", "nineteen"),
            ("101", "one hundred and one"),
            ("999", "nine hundred and ninety-nine"),
            ("1000", "one thousand"),
            ("1010", "one thousand and ten"),
            ("1100", "one thousand, one hundred"),
            ("100000", "one hundred thousand"),
            ("1000001", "one million and one"),
            ("1001000", "one million, one thousand"),
            ("1001001", "one million, one thousand and one"),
            ("1100100", "one million, one hundred thousand, one hundred"),
            ("00000000000000000000000000000000000000000005", "five"),
            ("１２", "twelve"),
            ("٣", "three"),
        ];
        for (digits, words) in cases {
            assert_eq!(spell_out_numbers(digits), words, "{digits}");
        }
        let largest = spell_out_numbers(&"9".repeat(36));
        assert!(
            largest.starts_with("nine hundred and ninety-nine decillion, "),
            "{largest}"
        );
    }

    #[test]
    fn a_number_beyond_words_is_read_digit_by_digit() {
        assert_eq!(
            spell_out_numbers(&format!("1{}7", "0".repeat(35))),
            format!("one {}seven", "zero ".repeat(35))
        );
    }
}
