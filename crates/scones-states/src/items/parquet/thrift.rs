//! The shape of a footer in Thrift's compact protocol: its lists are as long
//! as they say, and its schema is a tree. Nothing is kept of it.

use super::Problem;

/// Deepest tree of fields (Scones's own bound), and of Thrift's values.
const DEPTH_MAX: usize = 64;
/// Longest list: a footer of 5 MiB has no room for more columns.
const ELEMENTS_MAX: u64 = 131_072;

/// Types of values.
const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// `FileMetaData.schema` and `SchemaElement.num_children` (parquet.thrift).
const SCHEMA: i64 = 2;
const CHILDREN: i64 = 5;

/// Refuses a footer that is not what it says.
pub(super) fn check(footer: &[u8]) -> Result<(), Problem> {
    let mut bytes = Bytes(footer);
    let children = bytes.file().ok_or("its footer is damaged")?;
    if tree(&children) {
        Ok(())
    } else {
        Err(format!("its schema is damaged, or deeper than {DEPTH_MAX} fields"))
    }
}

/// Whether numbers of children, parents first, make a tree of bounded depth.
fn tree(children: &[i64]) -> bool {
    // How many children are missing, of each group that is open.
    let mut open = vec![1_usize];
    for (index, count) in children.iter().enumerate() {
        let Some(missing) = open.last_mut() else {
            return false;
        };
        *missing -= 1;
        match usize::try_from(*count) {
            Ok(count) if count < children.len() - index => open.push(count),
            _ => return false,
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        // The first is not a group but the place of the root.
        if open.len() > DEPTH_MAX + 1 {
            return false;
        }
    }
    open.is_empty()
}

/// What is left of the footer. Functions give nothing when it ends early.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    /// The numbers of children of the schema's elements.
    fn file(&mut self) -> Option<Vec<i64>> {
        let mut schema = Vec::new();
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            if (field, kind) != (SCHEMA, LIST) {
                self.pass(kind, 0)?;
                continue;
            }
            let (elements, kind) = self.list()?;
            if kind != STRUCT {
                return None;
            }
            for _ in 0..elements {
                schema.push(self.element()?);
            }
        }
        Some(schema)
    }

    fn element(&mut self) -> Option<i64> {
        let (mut field, mut children) = (0, 0);
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (CHILDREN, I32) => children = self.signed()?,
                _ => self.pass(kind, 0)?,
            }
        }
        Some(children)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The type of a struct's next field, whose number follows that of the
    /// last; none at the struct's end.
    fn field(&mut self, number: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        let (step, kind) = (byte >> 4, byte & 0xf);
        if kind == STOP {
            return Some(None);
        }
        *number = match step {
            0 => self.signed()?,
            step => *number + i64::from(step),
        };
        Some(Some(kind))
    }

    fn list(&mut self) -> Option<(u64, u8)> {
        let byte = self.byte()?;
        let length = match byte >> 4 {
            0xf => self.unsigned()?,
            length => u64::from(length),
        };
        (length <= ELEMENTS_MAX).then_some((length, byte & 0xf))
    }

    /// Passes over a value.
    fn pass(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match kind {
            TRUE | FALSE => Some(()),
            BYTE => self.bytes(1),
            I16 | I32 | I64 => self.unsigned().map(drop),
            DOUBLE => self.bytes(8),
            BINARY => {
                let length = self.unsigned()?;
                self.bytes(length)
            }
            LIST | SET => {
                let (length, kind) = self.list()?;
                (0..length).try_for_each(|_| self.item(kind, depth + 1))
            }
            MAP => {
                let length = self.unsigned()?;
                if length == 0 {
                    return Some(());
                }
                let kinds = self.byte()?;
                (0..length).try_for_each(|_| {
                    self.item(kinds >> 4, depth + 1)?;
                    self.item(kinds & 0xf, depth + 1)
                })
            }
            STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.pass(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    /// Passes over an element, which has a byte even where it is true or false.
    fn item(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            TRUE | FALSE => self.bytes(1),
            kind => self.pass(kind, depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tree;

    #[test]
    fn schemas() {
        let check = |children: &[i64], expect: bool| assert_eq!(tree(children), expect, "{children:?}");
        check(&[1, 0], true);
        check(&[0], true);
        check(&[2, 1, 0, 0], true);
        check(&[], false);
        check(&[2, 0], false);
        check(&[1, 0, 0], false);
        check(&[-1], false);
        check(&[i64::MAX, 0], false);
        let chain = |groups: usize| [vec![1; groups], vec![0]].concat();
        check(&chain(63), true);
        check(&chain(64), true);
        check(&chain(65), false);
        check(&chain(100_000), false);
    }
}
