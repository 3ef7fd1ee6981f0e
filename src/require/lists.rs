//! Lists without order, and their text.

pub(super) fn join<T: ToString>(items: &[T], separator: &str) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(separator)
}

pub(super) fn without_repeats<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    union(Vec::new(), items)
}

/// Adds what is not there yet to a list that has no repeats.
pub(super) fn union<T: PartialEq>(mut list: Vec<T>, items: impl IntoIterator<Item = T>) -> Vec<T> {
    for item in items {
        if !list.contains(&item) {
            list.push(item);
        }
    }
    list
}

/// What both lists allow. A list that is absent allows everything.
pub(super) fn intersection<T: PartialEq>(
    one: Option<Vec<T>>,
    other: Option<Vec<T>>,
) -> Option<Vec<T>> {
    match (one, other) {
        (Some(mut one), Some(other)) => {
            one.retain(|item| other.contains(item));
            Some(one)
        }
        (one, other) => one.or(other),
    }
}
