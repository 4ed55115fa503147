//! The nearest known name to one that was mistyped.

/// The name with the smallest edit distance, if it is near enough to be what was meant.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (distance(typed, name), name))
        .filter(|(distance, name)| {
            // A third of the letters may be wrong; a word that goes on where the other ends is near.
            *distance <= name.chars().count().max(3) / 3
                || name.starts_with(typed)
                || typed.starts_with(name)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Letters to insert, remove, replace, or swap with their neighbour, to make one name the other;
/// capitals and the sort of dash do not count.
fn distance(one: &str, other: &str) -> usize {
    let letters =
        |name: &str| -> Vec<char> { name.to_lowercase().replace('-', "_").chars().collect() };
    let (one, other) = (letters(one), letters(other));
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, against) in other.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != against);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped =
                row > 0 && column > 0 && one[row - 1] == *against && other[column - 1] == *letter;
            if swapped {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_far_ones_are_not() {
        let known = ["fields", "field_group", "port", "password"];
        let near = |typed| nearest(typed, known.into_iter());
        assert_eq!(near("fieldz"), Some("fields"));
        assert_eq!(near("prot"), Some("port"));
        assert_eq!(near("Password"), Some("password"));
        assert_eq!(near("field-group"), Some("field_group"));
        assert_eq!(near("colour"), None);
    }
}
