//! How requests to APIs in the manner of EC2 and S3 are signed: versions 2 and 4 of either.
//!
//! Pure. Spec: Amazon's "Signing AWS API requests" (version 4) and "Signature Version 2"; what is
//! handed on to identity follows `keystoneclient.contrib.ec2.utils` and Swift's `s3token`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::digest::{SHA256, digest};
use ring::hmac::{self, Key};

/// How version 4 is called.
const VERSION_4: &str = "AWS4-HMAC-SHA256";
/// What ends the scope of a signature of version 4.
const REQUEST: &str = "aws4_request";
/// What is escaped in names and values of parameters: all but RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request that was signed, as far as its signature goes.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The access key.
    pub access: String,
    /// The signature: base64 in version 2, hexadecimal in version 4.
    pub signature: String,
    /// Parameters, of the address or of a form.
    pub params: BTreeMap<String, String>,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// The method.
    pub verb: String,
    /// The host, with its port where it has one.
    pub host: String,
    /// The path.
    pub path: String,
    /// SHA-256 of the body in hexadecimal, for version 4.
    pub body_hash: String,
}

impl Signed {
    /// Whether it was signed with this secret.
    pub(super) fn is_by(&self, secret: &str) -> bool {
        if self.params.get("SignatureVersion").map(String::as_str) == Some("2") {
            // Some sign the host without its port.
            let bare = self.host.rsplit_once(':').map(|(host, _)| host);
            return self.is_by_2(secret, &self.host)
                || bare.is_some_and(|host| self.is_by_2(secret, host));
        }
        self.is_by_4(secret).unwrap_or(false)
    }

    /// When it was signed, where it says so.
    pub(super) fn date(&self) -> Option<&str> {
        let timestamp = self.params.get("Timestamp");
        timestamp.map(String::as_str).or_else(|| self.amz_date())
    }

    fn amz_date(&self) -> Option<&str> {
        let param = || self.params.get("X-Amz-Date").map(String::as_str);
        self.header("x-amz-date").or_else(param)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.trim().eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    fn is_by_2(&self, secret: &str, host: &str) -> bool {
        let mut params = self.params.clone();
        params.insert("SignatureMethod".to_owned(), "HmacSHA256".to_owned());
        let text = format!(
            "{}\n{host}\n{}\n{}",
            self.verb,
            self.path,
            query(&params, "Signature")
        );
        let key = Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = STANDARD.decode(&self.signature);
        tag.is_ok_and(|tag| hmac::verify(&key, text.as_bytes(), &tag).is_ok())
    }

    /// `None` without what version 4 needs.
    fn is_by_4(&self, secret: &str) -> Option<bool> {
        let authorization = self.header("authorization");
        let is_meant = match authorization {
            Some(text) => text.starts_with(VERSION_4),
            None => self.params.get("X-Amz-Algorithm").map(String::as_str) == Some(VERSION_4),
        };
        if !is_meant {
            return None;
        }
        let part = |name: &str| match authorization {
            Some(text) => {
                let (_, rest) = text.split_once(&format!("{name}="))?;
                rest.split(',').next().map(str::trim)
            }
            None => self
                .params
                .get(&format!("X-Amz-{name}"))
                .map(String::as_str),
        };
        let names = part("SignedHeaders")?;
        let headers: String = names
            .split(';')
            .filter_map(|name| Some(format!("{name}:{}\n", self.header(name)?)))
            .collect();
        let verb = self.verb.to_uppercase();
        // The parameters of a form are in its body.
        let params = if verb == "POST" {
            String::new()
        } else {
            query(&self.params, "X-Amz-Signature")
        };
        let request = [&verb, &self.path, &params, &headers, names, &self.body_hash].join("\n");
        let (_, scope) = part("Credential")?.split_once('/')?;
        let date = self.amz_date()?;
        // The scope is of the day on which it was signed.
        if !date.starts_with(scope.split('/').next()?) {
            return Some(false);
        }
        let hash = hex::encode(digest(&SHA256, request.as_bytes()));
        let text = format!("{VERSION_4}\n{date}\n{scope}\n{hash}");
        is_signed_4(secret, scope, text.as_bytes(), &self.signature)
    }
}

/// What a client of an object store signed, and how.
#[derive(Clone, Debug)]
pub struct SignedText {
    /// The access key.
    pub access: String,
    /// The text that was signed, in base64 for addresses.
    pub text: String,
    /// The signature: base64 in version 2, hexadecimal in version 4.
    pub signature: String,
}

impl SignedText {
    /// Whether it was signed with this secret.
    pub(super) fn is_by(&self, secret: &str) -> bool {
        let Ok(text) = URL_SAFE.decode(&self.text) else {
            return false;
        };
        if text.starts_with(b"AWS4") {
            return self.is_by_4(secret, &text).unwrap_or(false);
        }
        let key = Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
        let tag = STANDARD.decode(&self.signature);
        tag.is_ok_and(|tag| hmac::verify(&key, &text, &tag).is_ok())
    }

    fn is_by_4(&self, secret: &str, text: &[u8]) -> Option<bool> {
        let lines: Vec<&str> = std::str::from_utf8(text).ok()?.split('\n').collect();
        let [VERSION_4, _, scope, _] = lines[..] else {
            return None;
        };
        // What a program signed for another service opens no store.
        match scope.split('/').collect::<Vec<_>>()[..] {
            [_, _, "s3" | "iam" | "sts", REQUEST] => {
                is_signed_4(secret, scope, text, &self.signature)
            }
            _ => None,
        }
    }
}

/// Whether a text was signed by version 4 in a scope: `DAY/REGION/SERVICE/aws4_request`.
fn is_signed_4(secret: &str, scope: &str, text: &[u8], signature: &str) -> Option<bool> {
    let mut parts = scope.split('/');
    let derived = [parts.next()?, parts.next()?, parts.next()?, REQUEST]
        .into_iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| {
            let key = Key::new(hmac::HMAC_SHA256, &key);
            hmac::sign(&key, part.as_bytes()).as_ref().to_vec()
        });
    let key = Key::new(hmac::HMAC_SHA256, &derived);
    let tag = hex::decode(signature).ok()?;
    Some(hmac::verify(&key, text, &tag).is_ok())
}

/// Parameters in order, escaped, but for the signature itself.
fn query(params: &BTreeMap<String, String>, signature: &str) -> String {
    let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
    let pairs = params.iter().filter(|(name, _)| *name != signature);
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn signed() -> Signed {
        Signed {
            access: "AKIDEXAMPLE".to_owned(),
            signature: String::new(),
            params: BTreeMap::new(),
            headers: BTreeMap::new(),
            verb: "GET".to_owned(),
            host: "example.amazonaws.com".to_owned(),
            path: "/".to_owned(),
            body_hash: hex::encode(digest(&SHA256, b"")),
        }
    }

    /// The first example of Amazon's test suite for version 4, `get-vanilla`.
    #[test]
    fn version_4_is_that_of_the_test_suite() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let mut request = Signed {
            signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
                .to_owned(),
            headers: map(&[
                ("Host", "example.amazonaws.com"),
                ("X-Amz-Date", "20150830T123600Z"),
                (
                    "Authorization",
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/\
                     aws4_request, SignedHeaders=host;x-amz-date, Signature=x",
                ),
            ]),
            ..signed()
        };
        assert!(request.is_by(secret));
        assert_eq!(request.date(), Some("20150830T123600Z"));
        assert!(!request.is_by("another"));
        request.path = "/other".to_owned();
        assert!(!request.is_by(secret));
    }

    /// As `keystoneclient.contrib.ec2.utils.Ec2Signer` signs.
    #[test]
    fn version_2_is_that_of_keystones_client() {
        let mut request = Signed {
            signature: "gcZxZ8zZiftltDptTdX4M0EM1+bfUTvTD5f5NiZnWzg=".to_owned(),
            params: map(&[
                ("Action", "Describe Stacks/1"),
                ("SignatureVersion", "2"),
                ("Timestamp", "2026-11-21T19:00:00Z"),
            ]),
            host: "127.0.0.1:8000".to_owned(),
            path: "/v1/".to_owned(),
            ..signed()
        };
        assert!(request.is_by("secret"));
        assert!(!request.is_by("Secret"));
        request
            .params
            .insert("Action".to_owned(), "Other".to_owned());
        assert!(!request.is_by("secret"));
        // Signed without the port.
        request
            .params
            .insert("Action".to_owned(), "Describe Stacks/1".to_owned());
        request.signature = "NBp342kDUSezERH8M1au5N31h2b6m7uAY5h4Tt9seOY=".to_owned();
        assert!(request.is_by("secret"));
    }

    #[test]
    fn an_object_store_hands_on_what_was_signed() {
        let request = |text: &str, signature: &str| SignedText {
            access: "a".to_owned(),
            text: URL_SAFE.encode(text),
            signature: signature.to_owned(),
        };
        let old = request(
            "GET\n\n\nSat, 21 Nov 2026 19:00:00 +0000\n/bucket",
            "MbGR6t97mM5OI/TpfxL3kdEAbVg=",
        );
        assert!(old.is_by("secret"));
        assert!(!old.is_by("Secret"));
        let text = "AWS4-HMAC-SHA256\n20261121T190000Z\n20261121/dock/s3/aws4_request\nabc";
        assert!(
            request(
                text,
                "3949c438c8b4aaf966317a22522e917bff846ea2d10cf88c49fc594fbb5f792e"
            )
            .is_by("secret")
        );
        // A signature for another service is none, however right.
        let other = text.replace("/s3/", "/ec2/");
        assert!(
            !request(
                &other,
                "c75ee2d6426b0e8c721cbdcb7b19557424800c554d75fe7f08196caea9972c44"
            )
            .is_by("secret")
        );
    }
}
