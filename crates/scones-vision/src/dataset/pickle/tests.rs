use proptest::prelude::*;

use super::*;

/// Python data, written as Python 2 would write it with protocol 2.
#[derive(Debug, Clone, PartialEq)]
enum Data {
    None,
    Bool(bool),
    Integer(i64),
    Bytes(Vec<u8>),
    Text(String),
    Tuple(Vec<Data>),
    List(Vec<Data>),
    Dict(Vec<(String, Data)>),
}

fn write(data: &Data, out: &mut Vec<u8>) {
    match data {
        Data::None => out.push(b'N'),
        Data::Bool(flag) => out.push(if *flag { 0x88 } else { 0x89 }),
        Data::Integer(value) => match (u8::try_from(*value), i32::try_from(*value)) {
            (Ok(byte), _) => out.extend([b'K', byte]),
            (_, Ok(value)) => {
                out.push(b'J');
                out.extend(value.to_le_bytes());
            }
            _ => {
                out.extend([0x8a, 8]);
                out.extend(value.to_le_bytes());
            }
        },
        Data::Bytes(bytes) => {
            if let Ok(length) = u8::try_from(bytes.len()) {
                out.extend([b'U', length]);
            } else {
                out.push(b'T');
                out.extend((bytes.len() as u32).to_le_bytes());
            }
            out.extend(bytes);
        }
        Data::Text(text) => {
            out.push(b'X');
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
        }
        Data::Tuple(items) => {
            out.push(b'(');
            items.iter().for_each(|item| write(item, out));
            out.push(b't');
        }
        Data::List(items) => {
            out.extend(b"](");
            items.iter().for_each(|item| write(item, out));
            out.push(b'e');
        }
        Data::Dict(entries) => {
            out.extend(b"}(");
            for (key, value) in entries {
                write(&Data::Text(key.clone()), out);
                write(value, out);
            }
            out.push(b'u');
        }
    }
}

fn pickled(data: &Data) -> Vec<u8> {
    let mut out = vec![0x80, 2];
    write(data, &mut out);
    out.push(b'.');
    out
}

fn same(value: Value<'_>, data: &Data) -> bool {
    let all = |items: &[Data]| {
        value
            .items()
            .is_some_and(|found| found.len() == items.len() && found.zip(items).all(|(value, data)| same(value, data)))
    };
    match data {
        Data::None => matches!(value.node(), Node::None),
        Data::Bool(flag) => matches!(value.node(), Node::Bool(found) if found == flag),
        Data::Integer(integer) => value.integer() == Some(*integer),
        Data::Bytes(bytes) => value.bytes() == Some(bytes),
        Data::Text(text) => value.text().as_ref() == Some(text),
        Data::Tuple(items) | Data::List(items) => all(items),
        Data::Dict(entries) => entries
            .iter()
            .all(|(key, data)| value.get(key).is_some_and(|value| same(value, data))),
    }
}

fn data() -> impl Strategy<Value = Data> {
    let leaf = prop_oneof![
        Just(Data::None),
        any::<bool>().prop_map(Data::Bool),
        any::<i64>().prop_map(Data::Integer),
        (-300_i64..300).prop_map(Data::Integer),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Data::Bytes),
        ".{0,9}".prop_map(Data::Text),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..6);
        let entries = prop::collection::btree_map(".{0,5}", inner, 0..6);
        prop_oneof![
            items.clone().prop_map(Data::Tuple),
            items.prop_map(Data::List),
            entries.prop_map(|entries| Data::Dict(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn round_trip(data in data()) {
        let bytes = pickled(&data);
        let pickle = Pickle::read(&bytes).unwrap();
        prop_assert!(same(pickle.root(), &data));
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Pickle::read(&bytes);
        bytes.splice(0..0, [0x80, 2]);
        let _ = Pickle::read(&bytes);
    }

    #[test]
    fn opcode_soup_never_panics(codes in prop::collection::vec(prop::sample::select(&b"(.NKU}])\x85\x86\x87taesuqhRb\x88\x01\x00"[..]), 0..80)) {
        let mut bytes = vec![0x80, 2];
        bytes.extend(codes);
        let _ = Pickle::read(&bytes);
    }

    #[test]
    fn damage_to_a_real_pickle_never_panics(at in 0_usize..365, byte: u8) {
        let mut bytes = include_bytes!("../../../tests/fixtures/numpy2-protocol2.pickle").to_vec();
        bytes[at] = byte;
        if let Ok(pickle) = Pickle::read(&bytes) {
            let _ = pickle.root().get("data").and_then(Value::array);
        }
        let _ = Pickle::read(&bytes[..at]);
    }
}

#[test]
fn reads_what_python_3_and_numpy_2_write() {
    let pickle = Pickle::read(include_bytes!("../../../tests/fixtures/numpy2-protocol2.pickle")).unwrap();
    let root = pickle.root();
    let names: Vec<_> = root
        .get("filenames")
        .unwrap()
        .items()
        .unwrap()
        .filter_map(Value::text)
        .collect();
    assert_eq!(names, ["a.png", "b.png"]);
    let labels: Vec<_> = root
        .get("fine_labels")
        .unwrap()
        .items()
        .unwrap()
        .filter_map(Value::integer)
        .collect();
    assert_eq!(labels, [8, 48, -1, 70_000]);
    assert_eq!(root.get("big").unwrap().integer(), Some(1 << 40));
    assert_eq!(root.get("neg").unwrap().integer(), Some(-1 << 40));
    let array = root.get("data").unwrap().array().unwrap();
    assert_eq!(
        array,
        Array {
            shape: [2, 3],
            data: &[250, 251, 252, 253, 254, 255]
        }
    );
    assert!(root.get("nothing").is_none() && root.array().is_none());
}

fn refused(bytes: &[u8], expect: &str) {
    assert_eq!(Pickle::read(bytes).unwrap_err().to_string(), expect);
}

#[test]
fn refuses_code_and_everything_unknown_by_name_and_place() {
    refused(
        include_bytes!("../../../tests/fixtures/system-call.pickle"),
        "the name posix.system is not allowed in a data file, at byte 5",
    );
    refused(
        include_bytes!("../../../tests/fixtures/float-array.pickle"),
        "array element type \"f4\" is not supported, only unsigned bytes (u1), at byte 167",
    );
    refused(
        b"\x80\x02cos\nsystem\n(U\x04trueR.",
        "the name os.system is not allowed in a data file, at byte 2",
    );
    refused(
        b"\x80\x02(U\x01aios\nsystem\n.",
        "opcode INST is not allowed in a data file, at byte 6",
    );
    refused(
        b"\x80\x02U\x01aQ.",
        "opcode BINPERSID is not allowed in a data file, at byte 5",
    );
    refused(
        b"\x80\x02}\x93.",
        "opcode STACK_GLOBAL is not allowed in a data file, at byte 3",
    );
    refused(b"\x80\x02\xee.", "opcode 0xee is not allowed in a data file, at byte 2");
    refused(
        b"\x80\x04N.",
        "pickle protocol 4 is not supported, only protocol 2, at byte 0",
    );
    refused(
        b"(dp0\n.",
        "malformed: a protocol 2 pickle begins with PROTO, at byte 0",
    );
    refused(
        b"\x80\x02]q\x00",
        "the file ends too early; it may be truncated, at byte 5",
    );
    refused(b"\x80\x02T\xff\xff\xff\xff", "malformed: a negative length, at byte 2");
    refused(b"\x80\x02NN.", "malformed: STOP without exactly one value, at byte 4");
    refused(
        b"\x80\x02h\x07.",
        "malformed: a reference to a value that was never remembered, at byte 2",
    );
    refused(
        &[&b"\x80\x02"[..], &[b'('; 65]].concat(),
        "more than 64 nested collections, at byte 66",
    );
    refused(
        &[&b"\x80\x02"[..], &vec![b'N'; PICKLE_VALUES_MAX + 1]].concat(),
        "more than 2000000 values, at byte 2000002",
    );
}
