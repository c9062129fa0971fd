//! Which images of a list a client wants, and in which order.

use std::cmp::Ordering;
use std::sync::Arc;

use actions::Caller;
use jiff::Timestamp;
use model::registered_image::{Consent, RegisteredImage, Visibility};
use serde_json::Value;

use super::translate::shown;
use crate::glance::error::ApiError;
use crate::id;
use crate::query::Query;

/// Parameters that are no filters.
const NO_FILTERS: [&str; 5] = ["limit", "marker", "sort", "sort_key", "sort_dir"];
const SORT_KEYS: [&str; 8] = [
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "id",
    "created_at",
    "updated_at",
];
/// Attributes of which one of several values may be wanted.
const LISTED: [&str; 5] = ["name", "id", "status", "container_format", "disk_format"];

/// What is wanted of a list.
#[derive(Debug)]
pub(crate) struct Wanted {
    visibility: Option<Visibility>,
    /// Every visibility, community images of others included.
    all: bool,
    /// What its own project says to an image that is shared with it; `None` is anything.
    consent: Option<Consent>,
    hidden: bool,
    tags: Vec<String>,
    filters: Vec<Filter>,
    /// Attributes, and whether the largest comes first.
    order: Vec<(&'static str, bool)>,
}

/// What one attribute must be.
#[derive(Debug)]
enum Filter {
    /// One of these.
    In(String, Vec<String>),
    /// At least so much.
    Min(String, i64),
    /// At most so much.
    Max(String, i64),
    /// A time, compared with this one.
    Time(&'static str, Operator, Timestamp),
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    Eq,
    Neq,
    Gt,
    Gte,
    Lt,
    Lte,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "eq" => Self::Eq,
            "neq" => Self::Neq,
            "gt" => Self::Gt,
            "gte" => Self::Gte,
            "lt" => Self::Lt,
            "lte" => Self::Lte,
            _ => return None,
        })
    }

    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Neq => order.is_ne(),
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
        }
    }
}

impl Wanted {
    /// What the parameters of a request say.
    pub(crate) fn of(query: &Query) -> Result<Self, ApiError> {
        let mut wanted = Self {
            visibility: None,
            all: false,
            consent: Some(Consent::Accepted),
            hidden: false,
            tags: Vec::new(),
            filters: Vec::new(),
            order: order(query)?,
        };
        for (name, value) in query.pairs() {
            match name {
                _ if NO_FILTERS.contains(&name) => {}
                "visibility" if value == "all" => wanted.all = true,
                "visibility" => wanted.visibility = Some(visibility(value)?),
                "member_status" => wanted.consent = consent(value)?,
                "os_hidden" => wanted.hidden = switch(name, value)?,
                "protected" => {
                    let value = switch(name, value)?.to_string();
                    wanted
                        .filters
                        .push(Filter::In(name.to_owned(), vec![value]));
                }
                "tag" => wanted.tags.push(value.trim().to_owned()),
                "changes-since" => {
                    return Err(ApiError::invalid(
                        "The \"changes-since\" filter is no longer available on v2.",
                    ));
                }
                "created_at" => wanted.filters.push(time("created_at", value)?),
                "updated_at" => wanted.filters.push(time("updated_at", value)?),
                _ => wanted.filters.push(filter(name, value)?),
            }
        }
        Ok(wanted)
    }

    /// Whether an image is wanted by this caller, who may see it.
    pub(crate) fn fits(&self, caller: &Caller, image: &RegisteredImage) -> bool {
        self.shows(caller, image)
            && image.spec.hidden == self.hidden
            && self.tags.iter().all(|tag| image.spec.tags.contains(tag))
            && (self.filters.is_empty() || self.fits_filters(image))
    }

    fn shows(&self, caller: &Caller, image: &RegisteredImage) -> bool {
        let spec = &image.spec;
        let is_own = image.meta.project == caller.project();
        if let Some(visibility) = self.visibility {
            if spec.visibility != visibility {
                return false;
            }
        } else if spec.visibility == Visibility::Community && !is_own && !self.all {
            return false;
        }
        if is_own || caller.is_admin() || spec.visibility != Visibility::Shared {
            return true;
        }
        let member = spec.members.get(&caller.project());
        member.is_some_and(|member| self.consent.is_none_or(|consent| member.consent == consent))
    }

    fn fits_filters(&self, image: &RegisteredImage) -> bool {
        let object = shown(image);
        self.filters.iter().all(|filter| match filter {
            Filter::In(name, values) => object
                .get(name)
                .is_some_and(|has| values.iter().any(|value| is(name, has, value))),
            Filter::Min(name, least) => object
                .get(name)
                .and_then(Value::as_i64)
                .is_some_and(|has| has >= *least),
            Filter::Max(name, most) => object
                .get(name)
                .and_then(Value::as_i64)
                .is_some_and(|has| has <= *most),
            Filter::Time(name, operator, wanted) => {
                let meta = &image.meta;
                let at = match *name {
                    "created_at" => meta.created_at,
                    _ => meta.updated_at.unwrap_or(meta.created_at),
                };
                // Clients know them to the second.
                operator.holds(at.as_second().cmp(&wanted.as_second()))
            }
        })
    }

    /// Sorts a list as it is wanted; what is alike by the time it was made, then by identity.
    pub(crate) fn sort(&self, images: &mut Vec<Arc<RegisteredImage>>) {
        let mut keyed: Vec<_> = images
            .drain(..)
            .map(|image| {
                let keys: Vec<Key> = self
                    .order
                    .iter()
                    .map(|(name, _)| key(name, &image))
                    .collect();
                (keys, image)
            })
            .collect();
        keyed.sort_by(|(one, _), (other, _)| {
            let pairs = one.iter().zip(other).zip(&self.order);
            let mut orders = pairs.map(|((one, other), (_, is_down))| {
                let order = one.cmp(other);
                if *is_down { order.reverse() } else { order }
            });
            orders
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        images.extend(keyed.into_iter().map(|(_, image)| image));
    }
}

/// What images are sorted by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Nothing,
    Number(u64),
    Text(String),
    Time(Timestamp),
}

fn key(name: &str, image: &RegisteredImage) -> Key {
    let spec = &image.spec;
    let text = |text: Option<&str>| text.map_or(Key::Nothing, |text| Key::Text(text.to_owned()));
    match name {
        "name" => text(spec.name.as_deref()),
        "status" => text(Some(spec.state.as_str())),
        "container_format" => text(spec.wrapping.map(|wrapping| wrapping.as_str())),
        "disk_format" => text(spec.format.map(|format| format.as_str())),
        "size" => spec
            .data
            .as_ref()
            .map_or(Key::Nothing, |data| Key::Number(data.size_bytes)),
        "created_at" => Key::Time(image.meta.created_at),
        "updated_at" => Key::Time(image.meta.updated_at.unwrap_or(image.meta.created_at)),
        _ => text(Some(&image.meta.id.to_string())),
    }
}

fn visibility(text: &str) -> Result<Visibility, ApiError> {
    Ok(match text {
        "private" => Visibility::Private,
        "shared" => Visibility::Shared,
        "community" => Visibility::Community,
        "public" => Visibility::Public,
        _ => {
            return Err(ApiError::invalid(format!(
                "Invalid visibility value: {text}"
            )));
        }
    })
}

fn consent(text: &str) -> Result<Option<Consent>, ApiError> {
    Ok(match text {
        "pending" => Some(Consent::Pending),
        "accepted" => Some(Consent::Accepted),
        "rejected" => Some(Consent::Rejected),
        "all" => None,
        _ => return Err(ApiError::invalid(format!("Invalid status: {text}"))),
    })
}

fn switch(name: &str, text: &str) -> Result<bool, ApiError> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ApiError::invalid(format!(
            "Invalid value '{text}' for '{name}' filter. Valid values are 'true' or 'false'."
        ))),
    }
}

fn time(name: &'static str, text: &str) -> Result<Filter, ApiError> {
    let (operator, text) = text
        .split_once(':')
        .and_then(|(operator, text)| Some((Operator::parse(operator)?, text)))
        .unwrap_or((Operator::Eq, text));
    let at = text
        .parse::<Timestamp>()
        .or_else(|_| format!("{text}Z").parse())
        .map_err(|_| {
            ApiError::invalid(format!(
                "Bad \"{name}\" query filter format. Use ISO 8601 DateTime notation."
            ))
        })?;
    Ok(Filter::Time(name, operator, at))
}

/// A filter by any other attribute.
///
/// Glance reads what stands before a colon as an operator; names of images have colons, so only what
/// is one is read so.
fn filter(name: &str, value: &str) -> Result<Filter, ApiError> {
    let number = || {
        value
            .parse::<i64>()
            .map_err(|_| ApiError::invalid("Unable to filter on a range with a non-numeric value."))
    };
    if let Some(name) = name.strip_suffix("_min") {
        return Ok(Filter::Min(name.to_owned(), number()?));
    }
    if let Some(name) = name.strip_suffix("_max") {
        return Ok(Filter::Max(name.to_owned(), number()?));
    }
    let values = match value.split_once(':') {
        Some(("in", values)) if LISTED.contains(&name) => quoted_list(values)?,
        Some(("eq", value)) if LISTED.contains(&name) => vec![value.to_owned()],
        _ => vec![value.to_owned()],
    };
    Ok(Filter::In(name.to_owned(), values))
}

/// Values with commas between them; one with a comma in it is in quotes.
fn quoted_list(text: &str) -> Result<Vec<String>, ApiError> {
    let mut values = vec![String::new()];
    let mut is_quoted = false;
    for letter in text.chars() {
        match (letter, values.last_mut()) {
            ('"', _) => is_quoted = !is_quoted,
            (',', _) if !is_quoted => values.push(String::new()),
            (letter, Some(value)) => value.push(letter),
            (_, None) => {}
        }
    }
    if is_quoted {
        return Err(ApiError::invalid(format!(
            "Invalid filter value {text}. The quote is not closed."
        )));
    }
    Ok(values)
}

/// Whether an attribute is as it was written in a filter.
fn is(name: &str, has: &Value, wanted: &str) -> bool {
    match has {
        Value::Null => false,
        Value::String(text) if name == "owner" => id::parse(text) == id::parse(wanted),
        Value::String(text) => text == wanted,
        Value::Bool(has) => wanted.parse() == Ok(*has),
        other => other
            .as_u64()
            .is_some_and(|number| wanted.parse() == Ok(number)),
    }
}

/// By what a list is sorted, the most important first.
fn order(query: &Query) -> Result<Vec<(&'static str, bool)>, ApiError> {
    let values = |wanted: &'static str| {
        query
            .pairs()
            .filter(move |(name, _)| *name == wanted)
            .map(|(_, value)| value.trim())
    };
    let mut order = Vec::new();
    let mut usual = true;
    if let Some(sort) = query.get("sort") {
        if query.has("sort_key") || query.has("sort_dir") {
            return Err(ApiError::invalid(
                "Old and new sorting syntax cannot be combined",
            ));
        }
        for one in sort.trim().split(',') {
            let (key, direction) = one.split_once(':').unwrap_or((one, "desc"));
            order.push((sort_key(key.trim())?, is_down(direction.trim())?));
        }
    } else {
        let keys: Vec<_> = values("sort_key").map(sort_key).collect::<Result<_, _>>()?;
        let directions: Vec<_> = values("sort_dir").map(is_down).collect::<Result<_, _>>()?;
        if directions.len() > 1 && directions.len() != keys.len() {
            return Err(ApiError::invalid(
                "Number of sort dirs does not match the number of sort keys",
            ));
        }
        usual = directions.first().copied().unwrap_or(true);
        let rest = if directions.len() > 1 { true } else { usual };
        let directions = directions.into_iter().chain(std::iter::repeat(rest));
        order.extend(keys.into_iter().zip(directions));
    }
    for key in ["created_at", "id"] {
        if !order.iter().any(|(known, _)| *known == key) {
            order.push((key, usual));
        }
    }
    Ok(order)
}

fn sort_key(text: &str) -> Result<&'static str, ApiError> {
    let known = SORT_KEYS.into_iter().find(|key| *key == text);
    known.ok_or_else(|| {
        ApiError::invalid(format!(
            "Invalid sort key: {text}. It must be one of the following: {}.",
            SORT_KEYS.join(", ")
        ))
    })
}

fn is_down(text: &str) -> Result<bool, ApiError> {
    match text {
        "asc" => Ok(false),
        "desc" => Ok(true),
        _ => Err(ApiError::invalid(format!("Invalid sort direction: {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use model::registered_image::{ImageData, Member, RegisteredImageSpec};
    use model::{Meta, ProjectId};

    use super::*;

    fn wanted(text: &str) -> Result<Wanted, ApiError> {
        Wanted::of(&Query::parse(&format!("/x?{text}").parse().unwrap()))
    }

    fn image(name: &str, size_bytes: u64) -> RegisteredImage {
        RegisteredImage {
            meta: Meta::new(
                name,
                ProjectId::ADMIN,
                "2026-01-02T03:04:05.6Z".parse().unwrap(),
            ),
            spec: RegisteredImageSpec {
                name: Some(name.to_owned()),
                data: Some(ImageData {
                    size_bytes,
                    ..ImageData::default()
                }),
                tags: ["red".to_owned(), "big".to_owned()].into(),
                properties: [("os_distro".to_owned(), "debian".to_owned())].into(),
                ..RegisteredImageSpec::default()
            },
        }
    }

    fn member() -> Caller {
        Caller::operator(String::new())
    }

    #[test]
    fn every_filter_must_fit() {
        let image = image("app:1", 10);
        for (text, expected) in [
            ("", true),
            ("name=app:1", true),
            ("name=in:x,app:1", true),
            ("name=in:%22a,b%22,x", false),
            ("name=eq:app:1", true),
            ("size_min=10&size_max=10", true),
            ("size_min=11", false),
            ("os_distro=debian", true),
            ("os_distro=rhel", false),
            ("speed=1", false),
            ("tag=red&tag=big", true),
            ("tag=red&tag=small", false),
            ("os_hidden=true", false),
            ("protected=False", true),
            ("visibility=shared", true),
            ("visibility=public", false),
            ("created_at=2026-01-02T03:04:05Z", true),
            ("created_at=gt:2026-01-02T03:04:05Z", false),
            ("updated_at=lte:2026-01-02T03:04:05", true),
            ("owner=00000000000040008000000000000001", true),
            ("min_ram=0", true),
        ] {
            assert_eq!(
                wanted(text).unwrap().fits(&member(), &image),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_shared_image_is_listed_once_it_is_accepted() {
        let mut image = image("a", 1);
        image.meta.project = ProjectId(model::Id::random());
        let at = image.meta.created_at;
        let shows = |image: &RegisteredImage, text| wanted(text).unwrap().fits(&member(), image);
        assert!(!shows(&image, ""));
        let consent = Consent::Pending;
        let member = Member {
            consent,
            created_at: at,
            updated_at: at,
        };
        image.spec.members.insert(ProjectId::ADMIN, member);
        assert!(!shows(&image, "") && shows(&image, "member_status=pending"));
        assert!(shows(&image, "member_status=all"));
        image.spec.visibility = Visibility::Community;
        assert!(!shows(&image, "") && shows(&image, "visibility=community"));
        assert!(shows(&image, "visibility=all"));
        image.spec.visibility = Visibility::Public;
        assert!(shows(&image, ""));
    }

    #[test]
    fn lists_are_sorted_by_several_keys() {
        let sorted = |text: &str| {
            let mut images: Vec<_> = [("b", 1), ("a", 2), ("b", 3)]
                .map(|(name, size)| Arc::new(image(name, size)))
                .into();
            wanted(text).unwrap().sort(&mut images);
            let size = |image: &Arc<RegisteredImage>| image.spec.data.as_ref().unwrap().size_bytes;
            images.iter().map(size).collect::<Vec<_>>()
        };
        assert_eq!(sorted("sort=name:asc,size:desc"), [2, 3, 1]);
        assert_eq!(
            sorted("sort_key=name&sort_key=size&sort_dir=asc"),
            [2, 1, 3]
        );
        assert_eq!(sorted("sort_key=size"), [3, 2, 1]);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in [
            "visibility=x",
            "member_status=x",
            "os_hidden=maybe",
            "size_min=x",
            "created_at=gt:never",
            "name=in:%22open",
            "sort=speed",
            "sort=name&sort_key=name",
            "sort_key=name&sort_dir=up",
            "sort_key=name&sort_dir=asc&sort_dir=asc",
            "changes-since=2026",
        ] {
            assert!(wanted(text).is_err(), "{text}");
        }
    }
}
