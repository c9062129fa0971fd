//! Metadata definitions: what words about images, volumes and other things mean. Namespaces, and in
//! them objects, properties, types of resources and tags.

mod namespace;
mod object;
mod property;
mod resource_type;
mod tag;
mod translate;
mod wire;

use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    [
        namespace::routes(),
        object::routes(),
        property::routes(),
        resource_type::routes(),
        tag::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
