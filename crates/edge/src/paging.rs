//! Lists in pages: at most so many, after the one that the client saw last.
//!
//! Front ends sort, call [`page`], and build links of their own.

use std::num::NonZeroUsize;

/// Which part of a list a client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many; `None` takes all.
    pub limit: Option<NonZeroUsize>,
    /// The identity of the last one that the client has.
    pub marker: Option<String>,
}

/// One page of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct Slice<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// There is more after it.
    pub has_more: bool,
}

/// The marker is none of the list's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("marker {0:?} is not in the list")]
pub struct UnknownMarker(pub String);

/// The page of `items` that is wanted; `is_marker` tells whether an item is the one named.
///
/// # Errors
/// [`UnknownMarker`].
pub fn page<T>(
    mut items: Vec<T>,
    wanted: &Page,
    is_marker: impl Fn(&T, &str) -> bool,
) -> Result<Slice<T>, UnknownMarker> {
    if let Some(marker) = &wanted.marker {
        let last = items
            .iter()
            .position(|item| is_marker(item, marker))
            .ok_or_else(|| UnknownMarker(marker.clone()))?;
        items.drain(..=last);
    }
    let most = wanted.limit.map_or(usize::MAX, NonZeroUsize::get);
    let has_more = items.len() > most;
    items.truncate(most);
    Ok(Slice { items, has_more })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(limit: usize, marker: Option<&str>) -> Page {
        Page {
            limit: NonZeroUsize::new(limit),
            marker: marker.map(str::to_owned),
        }
    }

    fn letters(wanted: &Page) -> Result<Slice<&'static str>, UnknownMarker> {
        page(vec!["a", "b", "c"], wanted, |item, marker| *item == marker)
    }

    #[test]
    fn pages_join_to_the_whole_list() {
        let first = letters(&wanted(2, None)).unwrap();
        assert_eq!(
            (first.items.as_slice(), first.has_more),
            (["a", "b"].as_slice(), true)
        );
        let second = letters(&wanted(2, Some("b"))).unwrap();
        assert_eq!(
            (second.items.as_slice(), second.has_more),
            (["c"].as_slice(), false)
        );
        assert!(letters(&wanted(0, Some("c"))).unwrap().items.is_empty());
    }

    #[test]
    fn a_marker_from_elsewhere_is_refused() {
        assert_eq!(
            letters(&wanted(2, Some("z"))),
            Err(UnknownMarker("z".to_owned()))
        );
    }
}
