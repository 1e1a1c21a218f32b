//! Values of columns as JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::DateTime;
use parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit, Type},
    data_type::{ByteArray, FixedLenByteArray, Int96},
    schema::types::ColumnDescriptor,
};
use serde_json::{Number, Value};
use uuid::Uuid;

use super::Problem;

/// Most digits of a decimal: those of 16 bytes.
const DECIMAL_DIGITS_MAX: i32 = 38;
const DAY_SECONDS: i64 = 86_400;

/// What a column's values stand for.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// What they are; bytes become text in Base64.
    Plain,
    Unsigned,
    /// With so many digits after the point.
    Decimal(usize),
    /// Days since 1970.
    Date,
    /// Since midnight, so many a second.
    Time(i64),
    /// Since 1970, so many a second.
    Timestamp(i64),
    Text,
    Uuid,
    Float16,
}

impl Meaning {
    pub(super) fn of(column: &ColumnDescriptor) -> Result<Self, Problem> {
        // The older annotation says less, and is there for older readers.
        Ok(match (column.logical_type_ref(), column.converted_type()) {
            (Some(LogicalType::Decimal(decimal)), _) => decimals(decimal.scale)?,
            (None, ConvertedType::DECIMAL) => decimals(column.type_scale().max(0))?,
            (Some(LogicalType::Integer(integer)), _) if !integer.is_signed => Self::Unsigned,
            (
                None,
                ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64,
            ) => Self::Unsigned,
            (Some(LogicalType::Date), _) | (None, ConvertedType::DATE) => Self::Date,
            (Some(LogicalType::Time(time)), _) => Self::Time(per_second(time.unit)),
            (None, ConvertedType::TIME_MILLIS) => Self::Time(1_000),
            (None, ConvertedType::TIME_MICROS) => Self::Time(1_000_000),
            (Some(LogicalType::Timestamp(time)), _) => Self::Timestamp(per_second(time.unit)),
            (None, ConvertedType::TIMESTAMP_MILLIS) => Self::Timestamp(1_000),
            (None, ConvertedType::TIMESTAMP_MICROS) => Self::Timestamp(1_000_000),
            (Some(LogicalType::String | LogicalType::Enum | LogicalType::Json), _)
            | (None, ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON) => Self::Text,
            (Some(LogicalType::Uuid), _) => Self::Uuid,
            (Some(LogicalType::Float16), _) => Self::Float16,
            _ if column.physical_type() == Type::INT96 => Self::Timestamp(1_000),
            _ => Self::Plain,
        })
    }
}

fn decimals(scale: i32) -> Result<Meaning, Problem> {
    match usize::try_from(scale) {
        Ok(digits) if scale <= DECIMAL_DIGITS_MAX => Ok(Meaning::Decimal(digits)),
        _ => Err(format!("a decimal has {scale} digits after its point")),
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::MILLIS => 1_000,
        TimeUnit::MICROS => 1_000_000,
        TimeUnit::NANOS => 1_000_000_000,
    }
}

/// A value of a physical type.
pub(super) trait Cell {
    fn json(&self, meaning: Meaning) -> Result<Value, Problem>;
}

impl Cell for bool {
    fn json(&self, _: Meaning) -> Result<Value, Problem> {
        Ok(Value::from(*self))
    }
}

impl Cell for i32 {
    fn json(&self, meaning: Meaning) -> Result<Value, Problem> {
        match meaning {
            Meaning::Unsigned => Ok(Value::from(self.cast_unsigned())),
            meaning => i64::from(*self).json(meaning),
        }
    }
}

impl Cell for i64 {
    fn json(&self, meaning: Meaning) -> Result<Value, Problem> {
        match meaning {
            Meaning::Unsigned => Ok(Value::from(self.cast_unsigned())),
            Meaning::Decimal(digits) => decimal((*self).into(), digits),
            Meaning::Date => date(*self),
            Meaning::Time(per_second) => Ok(Value::from(time(*self, per_second))),
            // AWS's readers give milliseconds, whatever the unit.
            Meaning::Timestamp(per_second) => Ok(Value::from(self.div_euclid(per_second / 1_000))),
            _ => Ok(Value::from(*self)),
        }
    }
}

impl Cell for Int96 {
    /// A timestamp of older writers: a Julian day, and nanoseconds in it.
    fn json(&self, _: Meaning) -> Result<Value, Problem> {
        Ok(Value::from(self.to_millis()))
    }
}

/// JSON has no infinities and nothing that is not a number: these are null.
impl Cell for f32 {
    fn json(&self, _: Meaning) -> Result<Value, Problem> {
        Ok(Value::from(*self))
    }
}

impl Cell for f64 {
    fn json(&self, _: Meaning) -> Result<Value, Problem> {
        Ok(Value::from(*self))
    }
}

impl Cell for ByteArray {
    fn json(&self, meaning: Meaning) -> Result<Value, Problem> {
        bytes(self.data(), meaning)
    }
}

impl Cell for FixedLenByteArray {
    fn json(&self, meaning: Meaning) -> Result<Value, Problem> {
        bytes(self.data(), meaning)
    }
}

fn bytes(bytes: &[u8], meaning: Meaning) -> Result<Value, Problem> {
    match meaning {
        Meaning::Text => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Value::from(text)),
            Err(_) => Err("it is not UTF-8 text".to_owned()),
        },
        Meaning::Decimal(digits) => decimal(big_endian(bytes)?, digits),
        Meaning::Uuid => match Uuid::from_slice(bytes) {
            Ok(uuid) => Ok(Value::from(uuid.to_string())),
            Err(_) => Err("it is not a UUID of 16 bytes".to_owned()),
        },
        Meaning::Float16 => match bytes.try_into() {
            Ok(bytes) => Ok(Value::from(half(u16::from_le_bytes(bytes)))),
            Err(_) => Err("it is not a number of 2 bytes".to_owned()),
        },
        _ => Ok(Value::from(STANDARD.encode(bytes))),
    }
}

/// A number in two's complement.
fn big_endian(bytes: &[u8]) -> Result<i128, Problem> {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1_i128 } else { 0 };
    if bytes.len() > size_of::<i128>() {
        return Err(format!("a decimal has more than {DECIMAL_DIGITS_MAX} digits"));
    }
    Ok(bytes.iter().fold(start, |sum, byte| sum << 8 | i128::from(*byte)))
}

/// A number with so many digits after its point, none lost.
fn decimal(unscaled: i128, digits: usize) -> Result<Value, Problem> {
    let sign = if unscaled < 0 { "-" } else { "" };
    let mut text = format!("{:0>width$}", unscaled.unsigned_abs(), width = digits + 1);
    if digits > 0 {
        text.insert(text.len() - digits, '.');
    }
    let number: Result<Number, _> = format!("{sign}{text}").parse();
    number.map(Value::Number).map_err(|error| error.to_string())
}

fn date(days: i64) -> Result<Value, Problem> {
    let day = DateTime::from_timestamp(days.saturating_mul(DAY_SECONDS), 0);
    let day = day.ok_or_else(|| format!("{days} days since 1970 are no date"))?;
    Ok(Value::from(day.date_naive().to_string()))
}

/// Hours, minutes, seconds and what is left of them.
fn time(since_midnight: i64, per_second: i64) -> String {
    let seconds = since_midnight.div_euclid(per_second);
    let rest = since_midnight.rem_euclid(per_second);
    let width = per_second.ilog10() as usize;
    format!(
        "{:02}:{:02}:{:02}.{rest:0width$}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// A number of IEEE 754's format binary16.
fn half(bits: u16) -> f32 {
    let magnitude = match (bits >> 10 & 0x1f, f32::from(bits & 0x3ff)) {
        (0, fraction) => fraction * 2_f32.powi(-24),
        (0x1f, 0.0) => f32::INFINITY,
        (0x1f, _) => f32::NAN,
        (exponent, fraction) => (1.0 + fraction / 1_024.0) * 2_f32.powi(i32::from(exponent) - 15),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::{big_endian, date, decimal, half, time};

    #[test]
    fn decimals() {
        let check = |unscaled: i128, digits: usize, expect: &str| {
            assert_eq!(decimal(unscaled, digits).unwrap().to_string(), expect);
        };
        check(12_345, 2, "123.45");
        check(-5, 2, "-0.05");
        check(0, 0, "0");
        check(7, 0, "7");
        check(i128::MIN, 38, "-1.70141183460469231731687303715884105728");
    }

    #[test]
    fn bytes_of_decimals() {
        let check = |bytes: &[u8], expect: i128| assert_eq!(big_endian(bytes).unwrap(), expect);
        check(&[], 0);
        check(&[1, 0], 256);
        check(&[0xff], -1);
        check(&[0x80, 0], -32_768);
        check(&[0xff; 16], -1);
        assert!(big_endian(&[0; 17]).is_err());
    }

    #[test]
    fn halves() {
        let check = |bits: u16, expect: f32| assert_eq!(half(bits).to_bits(), expect.to_bits());
        check(0x3c00, 1.0);
        check(0xc000, -2.0);
        check(0x3555, 0.333_251_95);
        check(0x0001, 5.960_464_5e-8);
        check(0x7c00, f32::INFINITY);
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn days_and_times() {
        assert_eq!(date(-1).unwrap(), "1969-12-31");
        assert!(date(i64::from(i32::MAX)).is_err());
        assert_eq!(time(3_723_000_001, 1_000_000), "01:02:03.000001");
        assert_eq!(time(86_399_999, 1_000), "23:59:59.999");
    }
}
