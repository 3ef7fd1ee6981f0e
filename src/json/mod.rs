//! JSON, read strictly and in one pass.
//!
//! serde_json's `RawValue` was not enough:
//!
//! - A token must be refused for a name that stands twice at any level. A visitor notices that in the object it reads,
//!   but not inside the values that it keeps as `RawValue`. To find out, each level has to be read again.
//! - Nothing limits how deep such a value is nested.
//! - A borrowed `RawValue` cannot be stored beside the text it borrows from, and a boxed one takes an allocation.
//!
//! The scanner here walks the text once, notices duplicate names and deep nesting, and hands out places in the text.
//! serde_json still decodes strings that have an escape.

mod block;
mod document;
mod names;
mod object;
mod scanner;

pub(crate) use document::{Document, Json, Span};
#[cfg(feature = "mcp")]
pub(crate) use object::each_member;
pub(crate) use object::{Object, array, is_sound_value, members, nested_members, string, strings};
