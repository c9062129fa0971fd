//! The catalogue: which services there are, and where they answer.

use std::sync::Arc;

use model::Id;
use model::endpoint::Endpoint;
use model::service::Service;

use crate::Cloud;

/// A service with the endpoints that a client may talk to.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The service.
    pub service: Arc<Service>,
    /// Its endpoints, with their addresses filled in.
    pub endpoints: Vec<(Arc<Endpoint>, String)>,
}

/// What there is to talk to for somebody who acts in `project`.
///
/// An endpoint whose address needs a project is left out for those who act in none.
#[must_use]
pub fn catalogue(cloud: &Cloud, project: Option<Id>) -> Vec<Entry> {
    let endpoints: Vec<Arc<Endpoint>> = cloud
        .store
        .list::<Endpoint>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|endpoint| endpoint.spec.enabled)
        .collect();
    let mut entries: Vec<Entry> = cloud
        .store
        .list::<Service>()
        .into_iter()
        .map(|(_, found)| found.value)
        .filter(|service| service.spec.enabled)
        .map(|service| Entry {
            endpoints: endpoints
                .iter()
                .filter(|endpoint| endpoint.spec.service == service.meta.id)
                .filter_map(|endpoint| {
                    let url = address(&endpoint.spec.url, project)?;
                    Some((Arc::clone(endpoint), url))
                })
                .collect(),
            service,
        })
        .collect();
    entries.sort_by(|a, b| a.service.spec.kind.cmp(&b.service.spec.kind));
    entries
}

/// An address with the project's identity in it, where it asks for that.
fn address(template: &str, project: Option<Id>) -> Option<String> {
    const PLACES: [&str; 4] = [
        "$(project_id)s",
        "%(project_id)s",
        "$(tenant_id)s",
        "%(tenant_id)s",
    ];
    if !PLACES.iter().any(|place| template.contains(place)) {
        return Some(template.to_owned());
    }
    let project = project?.simple();
    Some(PLACES.iter().fold(template.to_owned(), |address, place| {
        address.replace(place, &project)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_needs_a_project_gets_it() {
        let id = Id::well_known(1);
        let filled = address("http://h/v3/$(tenant_id)s", Some(id)).unwrap();
        assert_eq!(filled, format!("http://h/v3/{}", id.simple()));
        assert_eq!(address("http://h/%(project_id)s", None), None);
        assert_eq!(address("http://h/v3", None).unwrap(), "http://h/v3");
    }
}
