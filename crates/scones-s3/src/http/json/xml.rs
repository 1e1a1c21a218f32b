//! Documents: read as trees, written from JSON.

use std::{borrow::Cow, fmt::Write as _};

use quick_xml::{
    Reader, XmlVersion,
    escape::{escape, resolve_xml_entity},
    events::{BytesStart, Event},
};
use scones_api::ApiError;
use serde_json::Value;

use super::{
    notation::{Kind, Member, Place},
    request::{check, check_required, member_of, mismatch},
};

/// An element of a document.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
    pub(super) text: String,
}

impl Element {
    /// The root of a document; an element without a name if there is none.
    ///
    /// # Errors
    /// An internal one for what is no XML: the document is our own.
    pub(super) fn read(document: &str) -> Result<Self, ApiError> {
        let mut reader = Reader::from_str(document);
        let mut open = vec![Self::default()];
        loop {
            let event = reader.read_event().map_err(ApiError::internal)?;
            let mut closed = None;
            match event {
                Event::Start(start) => open.push(Self::begin(&start)?),
                Event::Empty(start) => closed = Some(Self::begin(&start)?),
                Event::End(_) if open.len() > 1 => closed = open.pop(),
                Event::Eof => break,
                _ => {
                    if let (Some(element), Some(text)) = (open.last_mut(), text(&event)) {
                        element.text += &text;
                    }
                }
            }
            if let (Some(element), Some(parent)) = (closed, open.last_mut()) {
                parent.children.push(element);
            }
        }
        let document = open.drain(..).next().unwrap_or_default();
        Ok(document.children.into_iter().next().unwrap_or_default())
    }

    fn begin(start: &BytesStart<'_>) -> Result<Self, ApiError> {
        let mut element = Self {
            name: start.name().as_ref().to_owned(),
            ..Self::default()
        };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(ApiError::internal)?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(ApiError::internal)?;
            element
                .attributes
                .push((attribute.key.as_ref().to_owned(), value.into_owned()));
        }
        Ok(element)
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// What an event adds to the text of its element. Carriage returns stay: the
/// document comes as it was written.
fn text<'a>(event: &'a Event<'_>) -> Option<Cow<'a, str>> {
    match event {
        Event::Text(text) => Some(Cow::Borrowed(&**text)),
        Event::GeneralRef(reference) => match reference.resolve_char_ref() {
            Ok(Some(character)) => Some(character.to_string().into()),
            _ => resolve_xml_entity(reference).map(Cow::Borrowed),
        },
        _ => None,
    }
}

/// Writes a member of an input as an element.
///
/// # Errors
/// As a request's.
pub(super) fn write(xml: &mut String, member: &Member, value: &Value) -> Result<(), ApiError> {
    let Place::Element(name) = member.place else {
        return Ok(());
    };
    match (&member.kind, value) {
        (Kind::List(kind), Value::Array(items)) => items
            .iter()
            .try_for_each(|item| write_element(xml, name, member.name, kind, item)),
        (Kind::List(_), _) => Err(mismatch(member.name, "a list")),
        (kind, value) => write_element(xml, name, member.name, kind, value),
    }
}

fn write_element(xml: &mut String, element: &str, name: &str, kind: &Kind, value: &Value) -> Result<(), ApiError> {
    let _ = write!(xml, "<{element}>");
    if let Kind::Structure(members) = kind {
        let Value::Object(fields) = value else {
            return Err(mismatch(name, "a structure"));
        };
        check_required(members, fields)?;
        for (field, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            write(xml, member_of(name, members, field)?, value)?;
        }
    } else {
        // Parsers make line feeds of carriage returns that are not references.
        *xml += &escape(check(name, kind, value)?).replace('\r', "&#13;");
    }
    let _ = write!(xml, "</{element}>");
    Ok(())
}
