//! The fields of a row, put together from columns: records are assembled as
//! Dremel stripes them (Melnik et al., 2010), with the groups of Parquet's
//! "Logical types" for lists and maps, those of older writers too.

use parquet::{
    basic::{ConvertedType, LogicalType, Repetition},
    schema::types::{SchemaDescriptor, Type},
};
use serde_json::{Map, Value};

use super::{Problem, column::Column};
use crate::limits::ITEM_BYTES_MAX;

/// Bytes of JSON that any value has at least, with what separates it.
const VALUE_BYTES: usize = 2;

/// A field: what it is made of, columns by their numbers.
pub(super) enum Field {
    Value(usize),
    Struct(Vec<(String, Field)>),
    /// Null below the definition level.
    Optional(i16, Box<Field>),
    List(Repeated, Box<Field>),
    /// Keys and values.
    Map(Repeated, Box<(Field, Field)>),
}

/// Empty below the definition level; each element but the first has the
/// repetition level.
#[derive(Clone, Copy)]
pub(super) struct Repeated {
    def_level: i16,
    rep_level: i16,
}

/// How far into the schema a field is.
#[derive(Clone, Copy)]
struct Levels {
    def: i16,
    rep: i16,
}

impl Levels {
    fn optional(self) -> Self {
        Self {
            def: self.def + 1,
            ..self
        }
    }

    fn repeated(self) -> Self {
        Self {
            def: self.def + 1,
            rep: self.rep + 1,
        }
    }

    fn here(self) -> Repeated {
        Repeated {
            def_level: self.def,
            rep_level: self.rep,
        }
    }
}

impl Field {
    /// A row.
    pub(super) fn of(schema: &SchemaDescriptor) -> Result<Self, Problem> {
        let mut columns = 0;
        members(schema.root_schema(), Levels { def: 0, rep: 0 }, &mut columns)
    }

    /// The next value, with at most `spare` bytes, which become less.
    pub(super) fn read(&self, columns: &mut [Column], spare: &mut usize) -> Result<Value, Problem> {
        let value = match self {
            Self::Value(column) => at(columns, *column)?.value()?,
            Self::Struct(fields) => {
                let mut object = Map::new();
                for (name, field) in fields {
                    object.insert(name.clone(), field.read(columns, spare)?);
                }
                Value::Object(object)
            }
            Self::Optional(level, field) => match field.level(columns)? {
                Some((def, _)) if def >= *level => return field.read(columns, spare),
                _ => {
                    field.pass(columns)?;
                    Value::Null
                }
            },
            Self::List(repeated, element) => {
                let mut array = Vec::new();
                element.each(*repeated, columns, |columns| {
                    array.push(element.read(columns, spare)?);
                    Ok(())
                })?;
                Value::Array(array)
            }
            Self::Map(repeated, entry) => {
                let mut object = Map::new();
                let (key, value) = &**entry;
                let empty = key.each(*repeated, columns, |columns| {
                    let name = match key.read(columns, spare)? {
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    object.insert(name, value.read(columns, spare)?);
                    Ok(())
                })?;
                if empty {
                    value.pass(columns)?;
                }
                Value::Object(object)
            }
        };
        let bytes = VALUE_BYTES + value.as_str().map_or(0, str::len);
        match spare.checked_sub(bytes) {
            Some(left) => *spare = left,
            None => return Err(format!("has more than {ITEM_BYTES_MAX} bytes")),
        }
        Ok(value)
    }

    /// Reads each element of a list by its first column; passes over it and
    /// says so when it is empty.
    fn each(
        &self,
        repeated: Repeated,
        columns: &mut [Column],
        mut read: impl FnMut(&mut [Column]) -> Result<(), Problem>,
    ) -> Result<bool, Problem> {
        let first = self.level(columns)?;
        if first.is_none_or(|(def, _)| def < repeated.def_level) {
            self.pass(columns)?;
            return Ok(true);
        }
        loop {
            read(columns)?;
            match self.level(columns)? {
                Some((_, rep)) if rep == repeated.rep_level => {}
                _ => return Ok(false),
            }
        }
    }

    /// The next level of the field's first column.
    fn level(&self, columns: &mut [Column]) -> Result<Option<(i16, i16)>, Problem> {
        match self {
            Self::Value(column) => Ok(at(columns, *column)?.level()),
            Self::Struct(fields) => match fields.first() {
                Some((_, field)) => field.level(columns),
                None => Ok(None),
            },
            Self::Optional(_, field) | Self::List(_, field) => field.level(columns),
            Self::Map(_, entry) => entry.0.level(columns),
        }
    }

    /// Passes over a level without a value in each of the field's columns.
    fn pass(&self, columns: &mut [Column]) -> Result<(), Problem> {
        match self {
            Self::Value(column) => at(columns, *column)?.pass(),
            Self::Struct(fields) => fields.iter().try_for_each(|(_, field)| field.pass(columns)),
            Self::Optional(_, field) | Self::List(_, field) => field.pass(columns),
            Self::Map(_, entry) => {
                entry.0.pass(columns)?;
                entry.1.pass(columns)
            }
        }
    }
}

fn at(columns: &mut [Column], index: usize) -> Result<&mut Column, Problem> {
    columns.get_mut(index).ok_or_else(|| "a column is missing".to_owned())
}

/// A field with its repetition; `columns` are those before it.
fn field(kind: &Type, levels: Levels, columns: &mut usize) -> Result<Field, Problem> {
    match kind.get_basic_info().repetition() {
        Repetition::REQUIRED => content(kind, levels, columns),
        Repetition::OPTIONAL => {
            let levels = levels.optional();
            let content = content(kind, levels, columns)?;
            Ok(Field::Optional(levels.def, Box::new(content)))
        }
        // Without a group around it that says so: a list all the same.
        Repetition::REPEATED => list(kind, levels.repeated(), columns, content),
    }
}

/// A field without regard to its repetition.
fn content(kind: &Type, levels: Levels, columns: &mut usize) -> Result<Field, Problem> {
    if kind.is_primitive() {
        *columns += 1;
        return Ok(Field::Value(*columns - 1));
    }
    let info = kind.get_basic_info();
    let inner = match kind.get_fields() {
        [inner] if inner.get_basic_info().repetition() == Repetition::REPEATED => inner,
        _ => return members(kind, levels, columns),
    };
    let levels = levels.repeated();
    match (info.logical_type_ref(), info.converted_type()) {
        (Some(LogicalType::List), _) | (None, ConvertedType::LIST) => match element(kind, inner) {
            None => list(inner, levels, columns, content),
            Some(element) => list(element, levels, columns, field),
        },
        (Some(LogicalType::Map), _) | (None, ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE) if inner.is_group() => {
            match inner.get_fields() {
                [key, value] => {
                    let key = field(key, levels, columns)?;
                    let value = field(value, levels, columns)?;
                    Ok(Field::Map(levels.here(), Box::new((key, value))))
                }
                // A set: keys without values.
                [key] => list(key, levels, columns, field),
                _ => list(inner, levels, columns, content),
            }
        }
        _ => Ok(Field::Struct(vec![(
            inner.name().to_owned(),
            list(inner, levels, columns, content)?,
        )])),
    }
}

/// A list whose elements `read` makes of `kind`.
fn list(
    kind: &Type,
    levels: Levels,
    columns: &mut usize,
    read: fn(&Type, Levels, &mut usize) -> Result<Field, Problem>,
) -> Result<Field, Problem> {
    let element = read(kind, levels, columns)?;
    Ok(Field::List(levels.here(), Box::new(element)))
}

/// The element of a list, in the repeated group between them; none where
/// that is the element itself ("Backward-compatibility rules").
fn element<'a>(list: &Type, repeated: &'a Type) -> Option<&'a Type> {
    if repeated.is_primitive() {
        return None;
    }
    let [only] = repeated.get_fields() else {
        return None;
    };
    let itself = repeated.name() == "array" || repeated.name() == format!("{}_tuple", list.name());
    let nested = only.get_basic_info().repetition() == Repetition::REPEATED;
    (nested || !itself).then_some(&**only)
}

fn members(group: &Type, levels: Levels, columns: &mut usize) -> Result<Field, Problem> {
    let fields = group.get_fields();
    if fields.is_empty() {
        return Err(format!("its group {} has no columns", group.name()));
    }
    let fields = fields
        .iter()
        .map(|kind| Ok((kind.name().to_owned(), field(kind, levels, columns)?)));
    fields.collect::<Result<_, Problem>>().map(Field::Struct)
}
