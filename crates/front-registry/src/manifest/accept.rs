//! Whether a client takes a type of manifest, by its `Accept` headers.
//!
//! Source: RFC 9110, section 12.5.1. How much it likes one does not matter: there is only one to choose.

use http::{HeaderMap, header};

/// Whether a client takes this type; one that does not say takes all.
pub(super) fn takes(headers: &HeaderMap, media_type: &str) -> bool {
    let mut said = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|value| value.split(';').next().unwrap_or_default().trim())
        .filter(|value| !value.is_empty())
        .peekable();
    if said.peek().is_none() {
        return true;
    }
    said.any(|one| matches!(one, "*/*" | "application/*") || one.eq_ignore_ascii_case(media_type))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn any_of_several_headers_counts() {
        let headers = |values: &[&'static str]| -> HeaderMap {
            let values = values.iter().copied().map(HeaderValue::from_static);
            values.map(|value| (header::ACCEPT, value)).collect()
        };
        assert!(takes(&headers(&[]), "application/a"));
        assert!(takes(
            &headers(&["text/b;q=1, application/a; q=0.1"]),
            "application/a"
        ));
        assert!(takes(
            &headers(&["text/b", "application/A"]),
            "application/a"
        ));
        assert!(takes(&headers(&["text/b, */*"]), "application/a"));
        assert!(!takes(&headers(&["text/b"]), "application/a"));
    }
}
