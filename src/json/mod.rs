//! JSON, read strictly and once.
//!
//! serde_json's `RawValue` was not enough. It finds no name that stands twice, it recurses as deep as the text
//! does, and reading a payload with it takes a pass over the text for each level and an allocation for each
//! value. A token must be refused for a name that stands twice at any level, so all of it has to be walked anyway:
//! one scanner walks it once, and hands out parts of the text.

mod document;
mod scanner;

pub(crate) use document::{Document, Json, Text};
pub(crate) use scanner::{Object, array, chain, members, string, strings};
