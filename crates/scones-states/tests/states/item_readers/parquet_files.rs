//! Parquet files: written here, but for the packed ones, whose codecs only
//! the reader has.

use std::sync::Arc;

use parquet::{
    data_type::{
        BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, FloatType, Int32Type,
        Int64Type, Int96, Int96Type,
    },
    file::{
        properties::{WriterProperties, WriterVersion},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::{Bench, get, list};

/// A row group that is being written.
type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn config() -> Value {
    json!({"InputType": "PARQUET"})
}

/// A file of so many row groups with these fields.
fn file(fields: &str, groups: usize, properties: WriterProperties, write: impl Fn(&mut Group<'_>)) -> Vec<u8> {
    let schema = parse_message_type(&format!("message m {{ {fields} }}")).unwrap();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties)).unwrap();
    for _ in 0..groups {
        let mut group = file.next_row_group().unwrap();
        write(&mut group);
        group.close().unwrap();
    }
    file.into_inner().unwrap()
}

/// A column's values, and its levels where it has some.
fn column<T: DataType>(group: &mut Group<'_>, values: &[T::T], levels: Option<(&[i16], &[i16])>) {
    let mut writer = group.next_column().unwrap().unwrap();
    let (definitions, repetitions) = levels.unzip();
    writer
        .typed::<T>()
        .write_batch(values, definitions, repetitions.filter(|levels| !levels.is_empty()))
        .unwrap();
    writer.close().unwrap();
}

fn texts(values: &[&str]) -> Vec<ByteArray> {
    values.iter().map(|text| ByteArray::from(*text)).collect()
}

/// A file with one column, which has one value.
fn one<T: DataType>(kind: &str, value: T::T) -> Vec<u8> {
    let values = [value];
    file(&format!("required {kind};"), 1, WriterProperties::default(), |group| {
        column::<T>(group, &values, None);
    })
}

#[tokio::test]
async fn types() {
    let bench = Bench::new().await;
    let check = async |body: Vec<u8>, expect: Value| bench.check(config(), &body, Ok(json!([{"a": expect}]))).await;
    let fixed = |bytes: &[u8]| ByteArray::from(bytes.to_vec()).into();
    check(one::<BoolType>("boolean a", true), json!(true)).await;
    check(one::<Int32Type>("int32 a", -1), json!(-1)).await;
    check(one::<Int32Type>("int32 a (INTEGER(8,true))", -8), json!(-8)).await;
    check(
        one::<Int32Type>("int32 a (INTEGER(32,false))", -1),
        json!(4_294_967_295_u32),
    )
    .await;
    check(one::<Int64Type>("int64 a", i64::MIN), json!(i64::MIN)).await;
    check(one::<Int64Type>("int64 a (UINT_64)", -1), json!(u64::MAX)).await;
    check(one::<FloatType>("float a", 0.1), json!(0.1)).await;
    check(one::<DoubleType>("double a", 1e-300), json!(1e-300)).await;
    check(one::<DoubleType>("double a", f64::NAN), json!(null)).await;
    check(one::<Int32Type>("int32 a (DATE)", 19_723), json!("2024-01-01")).await;
    check(one::<Int32Type>("int32 a (TIME_MILLIS)", 1), json!("00:00:00.001")).await;
    check(
        one::<Int64Type>("int64 a (TIME(NANOS,true))", 1),
        json!("00:00:00.000000001"),
    )
    .await;
    check(one::<Int64Type>("int64 a (TIMESTAMP(MILLIS,true))", -1), json!(-1)).await;
    check(one::<Int64Type>("int64 a (TIMESTAMP_MICROS)", 1_999), json!(1)).await;
    check(
        one::<Int64Type>("int64 a (TIMESTAMP(NANOS,false))", 2_000_000),
        json!(2),
    )
    .await;
    // Julian day 2,440,589 is 1970-01-02.
    let mut day = Int96::new();
    day.set_data(1_000_000, 0, 2_440_589);
    check(one::<Int96Type>("int96 a", day), json!(86_400_001)).await;
    check(
        one::<Int32Type>("int32 a (DECIMAL(9,2))", -5),
        serde_json::from_str("-0.05").unwrap(),
    )
    .await;
    check(one::<Int64Type>("int64 a (DECIMAL(18,0))", 7), json!(7)).await;
    let digits = serde_json::from_str("-0.00000000000000000001").unwrap();
    check(
        one::<FixedLenByteArrayType>("fixed_len_byte_array(16) a (DECIMAL(38,20))", fixed(&[0xff; 16])),
        digits,
    )
    .await;
    check(one::<ByteArrayType>("binary a (UTF8)", "ü".into()), json!("ü")).await;
    check(one::<ByteArrayType>("binary a (ENUM)", "e".into()), json!("e")).await;
    check(one::<ByteArrayType>("binary a (JSON)", "{}".into()), json!("{}")).await;
    check(one::<ByteArrayType>("binary a", vec![0, 255].into()), json!("AP8=")).await;
    check(
        one::<FixedLenByteArrayType>("fixed_len_byte_array(3) a", fixed(&[0, 0, 1])),
        json!("AAAB"),
    )
    .await;
    check(
        one::<FixedLenByteArrayType>("fixed_len_byte_array(2) a (FLOAT16)", fixed(&[0, 0x3c])),
        json!(1.0),
    )
    .await;
    let uuid = json!("00010203-0405-0607-0809-0a0b0c0d0e0f");
    let bytes: Vec<u8> = (0..16).collect();
    check(
        one::<FixedLenByteArrayType>("fixed_len_byte_array(16) a (UUID)", fixed(&bytes)),
        uuid,
    )
    .await;
    bench
        .check(
            config(),
            &one::<ByteArrayType>("binary a (UTF8)", vec![255].into()),
            Err("s3://b/k cannot be read: row 1: its column a cannot be read: it is not UTF-8 text"),
        )
        .await;
}

#[tokio::test]
async fn nested() {
    let bench = Bench::new().await;
    let check = async |fields: &str, write: fn(&mut Group<'_>), expect: Value| {
        bench
            .check(
                config(),
                &file(fields, 1, WriterProperties::default(), write),
                Ok(expect),
            )
            .await;
    };
    check(
        "optional group s { required int32 a; optional binary b (UTF8); } required int32 z;",
        |group| {
            column::<Int32Type>(group, &[1, 2], Some((&[1, 0, 1], &[])));
            column::<ByteArrayType>(group, &texts(&["x"]), Some((&[2, 0, 1], &[])));
            column::<Int32Type>(group, &[7, 8, 9], None);
        },
        json!([{"s": {"a": 1, "b": "x"}, "z": 7}, {"s": null, "z": 8}, {"s": {"a": 2, "b": null}, "z": 9}]),
    )
    .await;
    // null, [], [null, 1], [2].
    check(
        "optional group l (LIST) { repeated group list { optional int32 element; } }",
        |group| column::<Int32Type>(group, &[1, 2], Some((&[0, 1, 2, 3, 3], &[0, 0, 0, 1, 0]))),
        json!([{"l": null}, {"l": []}, {"l": [null, 1]}, {"l": [2]}]),
    )
    .await;
    // Lists of lists: [[1, 2], []], [].
    check(
        "required group l (LIST) { repeated group list { required group element (LIST) { repeated group list { required int32 element; } } } }",
        |group| column::<Int32Type>(group, &[1, 2], Some((&[2, 2, 1, 0], &[0, 2, 1, 0]))),
        json!([{"l": [[1, 2], []]}, {"l": []}]),
    )
    .await;
    // Lists of structs, as parquet-avro wrote them, and without annotation.
    let pairs = |group: &mut Group<'_>| {
        column::<Int32Type>(group, &[1, 2], Some((&[1, 1, 0], &[0, 1, 0])));
        column::<Int32Type>(group, &[3, 4], Some((&[1, 1, 0], &[0, 1, 0])));
    };
    let expect = || json!([{"l": [{"a": 1, "b": 3}, {"a": 2, "b": 4}]}, {"l": []}]);
    check(
        "required group l (LIST) { repeated group array { required int32 a; required int32 b; } }",
        pairs,
        expect(),
    )
    .await;
    check(
        "repeated group l { required int32 a; required int32 b; }",
        pairs,
        expect(),
    )
    .await;
    let ones = |group: &mut Group<'_>| column::<Int32Type>(group, &[1, 2], Some((&[1, 1, 0], &[0, 1, 0])));
    check("repeated int32 l;", ones, json!([{"l": [1, 2]}, {"l": []}])).await;
    check(
        "required group l (LIST) { repeated int32 element; }",
        ones,
        json!([{"l": [1, 2]}, {"l": []}]),
    )
    .await;
    check(
        "required group l (LIST) { repeated group array { required int32 a; } }",
        ones,
        json!([{"l": [{"a": 1}, {"a": 2}]}, {"l": []}]),
    )
    .await;
    check(
        "required group l { repeated group x { required int32 a; } }",
        ones,
        json!([{"l": {"x": [{"a": 1}, {"a": 2}]}}, {"l": {"x": []}}]),
    )
    .await;
    check(
        "optional group m (MAP) { repeated group key_value { required binary key (UTF8); optional int64 value; } }",
        |group| {
            column::<ByteArrayType>(group, &texts(&["x", "y"]), Some((&[2, 2, 1, 0], &[0, 1, 0, 0])));
            column::<Int64Type>(group, &[5], Some((&[3, 2, 1, 0], &[0, 1, 0, 0])));
        },
        json!([{"m": {"x": 5, "y": null}}, {"m": {}}, {"m": null}]),
    )
    .await;
    check(
        "required group m (MAP) { repeated group map { required int32 key; required boolean value; } }",
        |group| {
            column::<Int32Type>(group, &[1], Some((&[1], &[0])));
            column::<BoolType>(group, &[true], Some((&[1], &[0])));
        },
        json!([{"m": {"1": true}}]),
    )
    .await;
}

/// A hundred rows, whose `s` is null in every second.
fn hundred() -> Value {
    (0..100)
        .map(|number| json!({"n": number, "s": (number % 2 == 1).then_some("same text")}))
        .collect()
}

#[tokio::test]
async fn codecs() {
    let bench = Bench::new().await;
    for body in [
        include_bytes!("packed/gzip.parquet").as_slice(),
        include_bytes!("packed/gzip_v2.parquet"),
        include_bytes!("packed/snappy.parquet"),
        include_bytes!("packed/snappy_v2.parquet"),
        include_bytes!("packed/zstd.parquet"),
        include_bytes!("packed/zstd_v2.parquet"),
    ] {
        bench.check(config(), body, Ok(hundred())).await;
    }
    let lz4 = include_bytes!("packed/lz4.parquet");
    bench
        .check(config(), lz4, Err("packed with LZ4_RAW, which Scones does not read"))
        .await;
}

#[tokio::test]
async fn where_rows_are() {
    let bench = Bench::new().await;
    let rows = file("required int32 n;", 3, WriterProperties::default(), |group| {
        column::<Int32Type>(group, &[1, 2], None);
    });
    let n = |numbers: &[u32]| numbers.iter().map(|number| json!({"n": number})).collect::<Value>();
    bench.check(config(), &rows, Ok(n(&[1, 2, 1, 2, 1, 2]))).await;
    bench
        .check(json!({"InputType": "PARQUET", "MaxItems": 3}), &rows, Ok(n(&[1, 2, 1])))
        .await;
    let none = file("required int32 n;", 0, WriterProperties::default(), |_| {});
    bench.check(config(), &none, Ok(json!([]))).await;
    bench.objects.with("b", "p/1", rows.clone());
    bench.objects.with("b", "p/2", rows.clone());
    let flatten = json!({"InputType": "PARQUET", "Transformation": "LOAD_AND_FLATTEN", "MaxItems": 7});
    bench.check_reader(&list(flatten), Ok(n(&[1, 2, 1, 2, 1, 2, 1]))).await;
    bench.objects.with("b", "k", "s3://b/p/1\n");
    let athena = json!({"ManifestType": "ATHENA_DATA", "InputType": "PARQUET"});
    bench.check_reader(&get(athena), Ok(n(&[1, 2, 1, 2, 1, 2]))).await;
    bench.objects.with("b", "k", "s3://b/nothing\n");
    let athena = json!({"ManifestType": "ATHENA_DATA", "InputType": "PARQUET"});
    bench
        .check_reader(&get(athena), Err("NoSuchKey, Bucket: b, Key: nothing"))
        .await;
}

#[tokio::test]
async fn what_is_no_parquet_file() {
    let bench = Bench::new().await;
    let check = async |body: &[u8], expect: &str| bench.check(config(), body, Err(expect)).await;
    let good = include_bytes!("packed/snappy.parquet").as_slice();
    check(b"", "s3://b/k cannot be read: it is not a Parquet file").await;
    check(b"PAR1", "it is not a Parquet file").await;
    check(b"a,b\n1,2\n3,4\n", "it is not a Parquet file, which ends with PAR1").await;
    check(&good[..good.len() - 1], "it is not a Parquet file").await;
    check(b"PAR1....PARE", "it is encrypted").await;
    check(
        b"PAR1\xff\xff\xff\xffPAR1",
        "its footer has 4294967295 bytes, more than 5242880",
    )
    .await;
    check(b"PAR1\xff\0\0\0PAR1", "it is shorter than its footer").await;
    check(b"PAR1\x01\0\0\0PAR1", "its footer is damaged").await;
    let footer = |bytes: &[u8]| {
        [
            b"PAR1",
            bytes,
            &u32::try_from(bytes.len()).unwrap().to_le_bytes(),
            b"PAR1",
        ]
        .concat()
    };
    check(&footer(&[0xff; 9]), "its footer is damaged").await;
    check(&footer(&[]), "its footer is damaged").await;
    // A list of two thousand million elements; a group of as many; groups in groups.
    check(
        &footer(b"\x15\x02\x19\xfc\xff\xff\xff\xff\x07"),
        "its footer is damaged",
    )
    .await;
    let group = |children: &[u8]| [b"\x35\x02\x18\x01m\x15".as_slice(), children, b"\0"].concat();
    let schema = |elements: &[Vec<u8>]| {
        let count = u16::try_from(elements.len()).unwrap();
        let length = [
            u8::try_from(count & 0x7f).unwrap() | 0x80,
            u8::try_from(count >> 7).unwrap(),
        ];
        footer(
            &[
                b"\x15\x02\x19\xfc".as_slice(),
                &length,
                &elements.concat(),
                b"\x16\0\x19\x0c\0",
            ]
            .concat(),
        )
    };
    check(&schema(&[group(b"\xfe\xff\xff\xff\x0f")]), "its schema is damaged").await;
    check(
        &schema(&vec![group(b"\x02"); 10_000]),
        "its schema is damaged, or deeper than 64 fields",
    )
    .await;
}

/// A file that is cut off or changed anywhere fails or gives items; it does
/// no more harm.
#[test]
fn damage() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::new());
    let files = [
        include_bytes!("packed/snappy.parquet").as_slice(),
        include_bytes!("packed/gzip_v2.parquet"),
        include_bytes!("packed/zstd.parquet"),
    ];
    let config = ProptestConfig::with_cases(100);
    let few = json!({"InputType": "PARQUET", "MaxItems": 3});
    proptest!(config, |(file in 0..files.len(), place in any::<prop::sample::Index>(), with in any::<u8>(), cut in 0..8_u8)| {
        let mut body = files[file].to_vec();
        let place = place.index(body.len());
        match cut {
            0 => drop(body.remove(place)),
            _ => body[place] = with,
        }
        bench.objects.with("b", "k", body);
        if let Err(cause) = runtime.block_on(bench.server.read(&get(few.clone()))) {
            prop_assert!(cause.starts_with("s3://b/k cannot be read: "), "{cause}");
            prop_assert!(!cause.contains("lost"), "{cause}");
        }
    });
}

/// Whatever is written is read, whatever the pages and their version.
#[test]
fn what_is_written_is_read() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::new());
    let lists = option::of(vec(option::of(0..9_i32), 0..5));
    let cases = ProptestConfig::with_cases(24);
    proptest!(cases, |(rows in vec(lists, 1..20), page in 1..9_usize, second: bool, dictionary: bool)| {
        let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            let mut level = |definition, first: bool| {
                definitions.push(definition);
                repetitions.push(i16::from(!first));
            };
            match row.as_deref() {
                None => level(0, true),
                Some([]) => level(1, true),
                Some(elements) => for (index, element) in elements.iter().enumerate() {
                    level(2 + i16::from(element.is_some()), index == 0);
                    values.extend(*element);
                },
            }
        }
        let version = if second { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_dictionary_enabled(dictionary)
            .set_write_batch_size(page)
            .set_data_page_row_count_limit(page)
            .build();
        let fields = "optional group l (LIST) { repeated group list { optional int32 element; } }";
        let body = file(fields, 1, properties, |group| {
            column::<Int32Type>(group, &values, Some((&definitions, &repetitions)));
        });
        let expect: Value = rows.iter().map(|row| json!({"l": row})).collect();
        runtime.block_on(bench.check(config(), &body, Ok(expect)));
    });
}
