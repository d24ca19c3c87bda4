//! "Did you mean …": the known word nearest to an unknown one.
//!
//! Used wherever a user writes one of a closed set of names: keys and choices of a job file, parameters, columns of a
//! contract. Not for: automatic correction; a wrong word stays an error.

/// One typo is allowed per this many characters of the word.
const LETTERS_PER_TYPO: usize = 3;

/// The candidate nearest to `word`, if it is near enough to be a typo.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = word.chars().count().div_ceil(LETTERS_PER_TYPO);
    let folded = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `, did you mean "x"?` when a candidate is near, else `; known: a, b, c`.
pub(crate) fn hint(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(near) => format!(", did you mean {near:?}?"),
        None => format!("; known: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_recognized_and_unrelated_words_are_not() {
        let words = ["shards", "shard_by", "key", "order_by"];
        assert_eq!(nearest("shard", words), Some("shards"));
        assert_eq!(nearest("Shards", words), Some("shards"));
        assert_eq!(nearest("orderby", words), Some("order_by"));
        assert_eq!(nearest("kye", words), Some("key"));
        assert_eq!(nearest("retention", words), None);
        assert_eq!(nearest("", words), None);
        assert_eq!(hint("zzz", &["a", "b"]), "; known: a, b");
    }
}
