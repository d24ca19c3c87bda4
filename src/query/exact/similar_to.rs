//! Patterns of `SIMILAR TO` as regular expressions of the whole text.
//!
//! ```text
//!  %  _        any text, any character
//!  |  ( )      one of several patterns, a group
//!  * + ? {m,n} how often the character or group before it occurs
//!  [a-z] [^a]  one of these characters, any other character
//!  \           the character after it is literal; ESCAPE names another, ESCAPE '' none
//! ```
//! Every other character is literal, also one that means something in a regular expression. What the standard
//! does not define, such as two quantifiers in a row, is refused.
//!
//! Not for: `LIKE` (see `rewrites`).

use std::iter::Peekable;
use std::str::Chars;

use datafusion::sql::sqlparser::ast::{Value, ValueWithSpan};

/// Maximum number of repetitions in `{m,n}`.
const MAX_REPEATED: u32 = 1_000;
const UNCLOSED: &str = "a [ in the pattern is not closed";

/// The escape character, if any, of an ESCAPE clause; none if it is not a text of at most one character.
pub(super) fn escape(clause: Option<&ValueWithSpan>) -> Option<Option<char>> {
    let Some(clause) = clause else { return Some(Some('\\')) };
    let Value::SingleQuotedString(text) = &clause.value else { return None };
    let mut letters = text.chars();
    let escape = letters.next();
    letters.next().is_none().then_some(escape)
}

/// The regular expression of a pattern.
///
/// # Errors
/// Why the pattern is refused.
pub(super) fn regex(pattern: &str, escape: Option<char>) -> Result<String, String> {
    let mut result = String::from("(?s)^(?:");
    let mut letters = pattern.chars().peekable();
    let mut open = 0_usize;
    // Whether a quantifier may follow.
    let mut repeatable = false;
    while let Some(letter) = letters.next() {
        let before = std::mem::replace(&mut repeatable, true);
        match letter {
            _ if Some(letter) == escape => literal(escaped(&mut letters)?, &mut result),
            '%' => result.push_str("(?:.*)"),
            '_' => result.push('.'),
            '[' => class(&mut letters, escape, &mut result)?,
            '(' => {
                open += 1;
                result.push_str("(?:");
                repeatable = false;
            }
            ')' if open > 0 => {
                open -= 1;
                result.push(')');
            }
            '|' => {
                result.push('|');
                repeatable = false;
            }
            '*' | '+' | '?' if before => {
                result.push(letter);
                repeatable = false;
            }
            '{' if before => {
                result.push_str(&times(&mut letters)?);
                repeatable = false;
            }
            '*' | '+' | '?' | '{' | '}' | ')' | ']' => {
                return Err(format!(
                    "the pattern has {letter} where it has no meaning; put the escape character before it"
                ));
            }
            other => literal(other, &mut result),
        }
    }
    if open > 0 {
        return Err("a ( in the pattern is not closed".to_owned());
    }
    result.push_str(")$");
    Ok(result)
}

fn literal(letter: char, result: &mut String) {
    // \< and \> are the bounds of a word.
    if letter.is_ascii_punctuation() && !matches!(letter, '<' | '>') {
        result.push('\\');
    }
    result.push(letter);
}

/// The character after an escape character.
fn escaped(letters: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    letters.next().filter(|letter| !letter.is_alphanumeric() && *letter != '"').ok_or_else(|| {
        "the pattern has the escape character before a letter, a digit, a double quote or nothing; it makes % _ | * + ? \
         { } ( ) [ ] and itself stand for themselves"
            .to_owned()
    })
}

/// The rest of `{m}`, `{m,}` or `{m,n}`, with the bracket before it.
fn times(letters: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut inside = String::new();
    loop {
        match letters.next() {
            Some('}') => break,
            Some(letter) => inside.push(letter),
            None => return Err("a { in the pattern is not closed".to_owned()),
        }
    }
    let (least, most) = inside.split_once(',').unwrap_or((&inside, &inside));
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number <= MAX_REPEATED);
    let is_valid = match (number(least), most) {
        (Some(_), "") => true,
        (Some(least), most) => number(most).is_some_and(|most| least <= most),
        (None, _) => false,
    };
    match is_valid && inside.bytes().all(|byte| byte.is_ascii_digit() || byte == b',') {
        true => Ok(format!("{{{inside}}}")),
        false => Err(format!("{{{inside}}} in the pattern is not {{m}}, {{m,}} or {{m,n}} of at most {MAX_REPEATED}")),
    }
}

/// The rest of `[…]`, with the bracket before it.
fn class(letters: &mut Peekable<Chars<'_>>, escape: Option<char>, result: &mut String) -> Result<(), String> {
    result.push('[');
    if letters.next_if_eq(&'^').is_some() {
        result.push('^');
    }
    let mut is_empty = true;
    loop {
        let letter = letters.next().ok_or(UNCLOSED)?;
        if letter == ']' {
            break;
        }
        is_empty = false;
        let first = member(letter, letters, escape)?;
        literal(first, result);
        let mut ahead = letters.clone();
        if ahead.next() != Some('-') || ahead.next().is_none_or(|after| after == ']') {
            continue;
        }
        letters.next();
        let letter = letters.next().ok_or(UNCLOSED)?;
        let last = member(letter, letters, escape)?;
        if last < first {
            return Err(format!("the range {first}-{last} in the pattern is empty"));
        }
        result.push('-');
        literal(last, result);
    }
    if is_empty {
        return Err("the pattern has [] or [^]; put the escape character before a ] inside of brackets".to_owned());
    }
    result.push(']');
    Ok(())
}

/// One character inside of brackets.
fn member(letter: char, letters: &mut Peekable<Chars<'_>>, escape: Option<char>) -> Result<char, String> {
    match letter {
        _ if Some(letter) == escape => escaped(letters),
        '[' if matches!(letters.peek(), Some(':' | '.' | '=')) => {
            Err("classes such as [:alpha:] are not supported; write ranges such as a-z".to_owned())
        }
        '^' => Err("a ^ inside of brackets has to be the first character, or escaped".to_owned()),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_translated_and_others_are_literal() {
        for (pattern, expected) in [
            ("a_c%", "a.c(?:.*)"),
            ("a.c^$", "a\\.c\\^\\$"),
            ("(a|b){2,3}x?", "(?:a|b){2,3}x?"),
            ("[a-c%_-]+", "[a-c\\%\\_\\-]+"),
            ("[^]", ""),
            ("\\%\\\\", "\\%\\\\"),
            ("a*?", ""),
            ("*a", ""),
            ("(a", ""),
            ("a)", ""),
            ("a{,3}", ""),
            ("a{3,2}", ""),
            ("a{2", ""),
            ("[a", ""),
            ("[[:alpha:]]", ""),
            ("\\d", ""),
            ("a\\", ""),
        ] {
            let regex = regex(pattern, Some('\\'));
            match expected {
                "" => assert!(regex.is_err(), "{pattern}: {regex:?}"),
                _ => assert_eq!(regex.as_deref(), Ok(format!("(?s)^(?:{expected})$").as_str()), "{pattern}"),
            }
        }
        assert_eq!(regex("a\\!%", Some('!')).as_deref(), Ok("(?s)^(?:a\\\\\\%)$"));
        assert_eq!(regex("a\\", None).as_deref(), Ok("(?s)^(?:a\\\\)$"));
    }
}
