//! Patterns of SCAN's MATCH: `*`, `?`, `[a-z]`, `[^a]` and `\` before a character, as Redis has them.
//!
//! Matching takes at most the length of the pattern times that of the key: a star never starts a search in a search.
//!
//! Not for: anything but SCAN.

/// The bytes before the first special character, unescaped, and whether a single star follows and nothing else.
pub fn literal_prefix(pattern: &[u8]) -> (Vec<u8>, bool) {
    let mut prefix = Vec::new();
    let mut at = 0;
    while let Some(&byte) = pattern.get(at) {
        match (byte, pattern.get(at + 1)) {
            (b'*', None) => return (prefix, true),
            (b'*' | b'?' | b'[', _) => return (prefix, false),
            (b'\\', Some(&escaped)) => {
                prefix.push(escaped);
                at += 2;
            }
            _ => {
                prefix.push(byte);
                at += 1;
            }
        }
    }
    (prefix, false)
}

/// Whether a key matches a pattern.
pub fn matches(pattern: &[u8], key: &[u8]) -> bool {
    let (mut p, mut k) = (0, 0);
    // The last star, and the first byte that it does not cover yet.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, k));
            continue;
        }
        if k == key.len() {
            if p == pattern.len() {
                return true;
            }
        } else if let Some(next) = one(pattern, p, key[k]) {
            (p, k) = (next, k + 1);
            continue;
        }
        match &mut star {
            Some((after, covered)) if *covered < key.len() => {
                *covered += 1;
                (p, k) = (*after, *covered);
            }
            _ => return false,
        }
    }
}

/// The place after the part of the pattern that matches one byte; none if it does not match.
fn one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => class(pattern, at + 1, byte),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        literal => (*literal == byte).then_some(at + 1),
    }
}

fn class(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    let is_negated = pattern.get(at) == Some(&b'^');
    at += usize::from(is_negated);
    let mut is_in = false;
    loop {
        match pattern.get(at..).unwrap_or_default() {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                is_in |= *escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] if *to != b']' => {
                is_in |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                is_in |= *literal == byte;
                at += 1;
            }
        }
    }
    (is_in != is_negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, yes, no) in [
            ("*", vec!["", "abc"], vec![]),
            ("a*c", vec!["ac", "abc", "abcc"], vec!["ab", "bac", ""]),
            ("h?llo", vec!["hello"], vec!["hllo"]),
            ("h[ae]llo", vec!["hello", "hallo"], vec!["hillo"]),
            ("h[^e]llo", vec!["hallo"], vec!["hello"]),
            ("h[a-b]*", vec!["ha", "hbx"], vec!["hc"]),
            (r"\*x", vec!["*x"], vec!["ax"]),
            ("*a*b*c", vec!["abc", "xaxbxc"], vec!["acb"]),
            ("[", vec![], vec!["["]),
            ("", vec![""], vec!["a"]),
        ] {
            assert!(yes.iter().all(|key| matches(pattern.as_bytes(), key.as_bytes())), "{pattern} {yes:?}");
            assert!(!no.iter().any(|key| matches(pattern.as_bytes(), key.as_bytes())), "{pattern} {no:?}");
        }
    }

    #[test]
    fn many_stars_are_not_slow() {
        let (pattern, key) = (b"*a".repeat(1000), b"a".repeat(999));
        assert!(!matches(&pattern, &key));
    }

    #[test]
    fn the_literal_part_is_found() {
        assert_eq!(literal_prefix(b"ab*"), (b"ab".to_vec(), true));
        assert_eq!(literal_prefix(br"a\*b?"), (b"a*b".to_vec(), false));
        assert_eq!(literal_prefix(b"abc"), (b"abc".to_vec(), false));
        assert_eq!(literal_prefix(b"ab*c"), (b"ab".to_vec(), false));
    }
}
