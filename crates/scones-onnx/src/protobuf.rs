//! The wire format of protocol buffers, taken more strictly than by the readers in C++: those drop
//! the bits of a number that are too many, so that two readers would see two fields.
//! <https://protobuf.dev/programming-guides/encoding/>

/// A field's number, and its bytes if it has bytes.
pub(crate) type Field<'a> = (u32, Option<&'a [u8]>);

/// The fields of a message. Ends after an error.
pub(crate) fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, &'static str>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or("its fields do not add up"))
    })
}

/// The value of a field that has bytes: of several the last counts.
pub(crate) fn last(message: &[u8], number: u32) -> Result<Option<&[u8]>, &'static str> {
    let mut found = None;
    for field in fields(message) {
        if let (n, Some(value)) = field?
            && n == number
        {
            found = Some(value);
        }
    }
    Ok(found)
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let tag = u32::try_from(varint(rest)?).ok()?;
    let mut take = |length: u64| rest.split_off(..usize::try_from(length).ok()?);
    let value = match tag & 7 {
        0 => varint(rest).map(|_| None)?,
        1 => take(8).map(|_| None)?,
        2 => {
            let length = varint(rest)?;
            Some(rest.split_off(..usize::try_from(length).ok()?)?)
        }
        5 => take(4).map(|_| None)?,
        // Groups, which ONNX does not have.
        _ => return None,
    };
    let number = tag >> 3;
    (number > 0).then_some((number, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = *rest.split_off_first()?;
        let bits = u64::from(byte & 0x7f);
        if bits > u64::MAX >> shift {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: Option<u64>) {
        assert_eq!(varint(&mut &*bytes), expect, "{bytes:x?}");
    }

    #[test]
    fn numbers_keep_every_bit_or_are_refused() {
        check(&[0x7f], Some(127));
        check(&[0xea, 0x80, 0x80, 0x80, 0x10], Some(0x1_0000_006a));
        check(
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            Some(u64::MAX),
        );
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], None);
        check(&[0x80; 10], None);
        check(&[0x80], None);
    }
}
