//! The stack machine, reduced to the opcodes that build plain data.

use std::{borrow::Cow, collections::HashMap};

use super::{
    ArrayState, Error, Global, Id, Node, PICKLE_BYTES_MAX, PICKLE_DEPTH_MAX, PICKLE_VALUES_MAX, Pickle, Problem, opcode,
};

type Step<T> = Result<T, Problem>;

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    /// Stack heights at which unfinished collections begin.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

pub(super) fn run(bytes: &[u8]) -> Result<Pickle<'_>, Error> {
    if bytes.len() > PICKLE_BYTES_MAX {
        return Err(Error {
            offset: 0,
            problem: Problem::Limit {
                what: "bytes",
                max: PICKLE_BYTES_MAX,
            },
        });
    }
    let (nodes, stack, marks, memo) = (Vec::new(), Vec::new(), Vec::new(), HashMap::new());
    let mut machine = Machine {
        bytes,
        position: 0,
        nodes,
        stack,
        marks,
        memo,
    };
    loop {
        let offset = machine.position;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => {
                return Ok(Pickle {
                    nodes: machine.nodes,
                    root,
                });
            }
            Err(problem) => return Err(Error { offset, problem }),
        }
    }
}

impl<'a> Machine<'a> {
    /// Runs one opcode; the value of the whole pickle after the last.
    fn step(&mut self) -> Step<Option<Id>> {
        let [code] = self.fixed()?;
        if self.position == 1 && code != 0x80 {
            return Err(Problem::Malformed("a protocol 2 pickle begins with PROTO"));
        }
        match code {
            0x80 => self.protocol()?,
            b'.' => return self.stop().map(Some),
            b'(' => self.mark()?,
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'J' => self.push_integer(|bytes| i32::from_le_bytes(bytes).into())?,
            b'K' => self.push_integer(|[byte]| byte.into())?,
            b'M' => self.push_integer(|bytes| u16::from_le_bytes(bytes).into())?,
            0x8a => self.long()?,
            b'U' => {
                let [length] = self.fixed()?;
                self.push_string(length.into())?;
            }
            b'T' => {
                let length = self.length()?;
                self.push_string(length)?;
            }
            b'X' => {
                let length = self.length()?;
                let text = std::str::from_utf8(self.take(length)?);
                self.push(Node::Text(
                    text.map_err(|_| Problem::Malformed("text that is not UTF-8"))?,
                ))?;
            }
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b']' => self.push(Node::List(Vec::new()))?,
            b')' => self.push(Node::Tuple(Vec::new()))?,
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(code - 0x84))?;
                self.push(Node::Tuple(items))?;
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Node::Tuple(items))?;
            }
            b'a' => {
                let items = self.pop_many(1)?;
                self.append(&items)?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.insert(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.insert(&items)?;
            }
            b'q' => {
                let [key] = self.fixed()?;
                self.remember(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.fixed()?);
                self.remember(key)?;
            }
            b'h' => {
                let [key] = self.fixed()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.fixed()?);
                self.recall(key)?;
            }
            b'c' => self.global()?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            other => return Err(Problem::Opcode(opcode::name(other))),
        }
        Ok(None)
    }

    fn protocol(&mut self) -> Step<()> {
        match self.fixed()? {
            [2] => Ok(()),
            [other] => Err(Problem::Protocol(other)),
        }
    }

    fn stop(&mut self) -> Step<Id> {
        match (self.stack.as_slice(), self.marks.is_empty()) {
            (&[root], true) => Ok(root),
            _ => Err(Problem::Malformed("STOP without exactly one value")),
        }
    }

    // Input.

    fn take(&mut self, length: usize) -> Step<&'a [u8]> {
        let end = self.position.checked_add(length).ok_or(Problem::Truncated)?;
        let taken = self.bytes.get(self.position..end).ok_or(Problem::Truncated)?;
        self.position = end;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Step<[u8; N]> {
        let (&bytes, _) = self.bytes[self.position..]
            .split_first_chunk()
            .ok_or(Problem::Truncated)?;
        self.position += N;
        Ok(bytes)
    }

    fn length(&mut self) -> Step<usize> {
        let length = i32::from_le_bytes(self.fixed()?);
        usize::try_from(length).map_err(|_| Problem::Malformed("a negative length"))
    }

    fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.position..];
        let length = rest
            .iter()
            .take(256)
            .position(|&byte| byte == b'\n')
            .ok_or(Problem::Truncated)?;
        let line = self.take(length + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|_| Problem::Malformed("a name that is not UTF-8"))
    }

    // The stack and the table of values.

    fn push(&mut self, node: Node<'a>) -> Step<()> {
        if self.nodes.len() >= PICKLE_VALUES_MAX {
            return Err(Problem::Limit {
                what: "values",
                max: PICKLE_VALUES_MAX,
            });
        }
        self.nodes.push(node);
        self.push_id((self.nodes.len() - 1) as Id)
    }

    fn push_id(&mut self, id: Id) -> Step<()> {
        if self.stack.len() >= PICKLE_VALUES_MAX {
            return Err(Problem::Limit {
                what: "values on the stack",
                max: PICKLE_VALUES_MAX,
            });
        }
        self.stack.push(id);
        Ok(())
    }

    fn push_integer<const N: usize>(&mut self, value: impl FnOnce([u8; N]) -> i64) -> Step<()> {
        let bytes = self.fixed()?;
        self.push(Node::Integer(value(bytes)))
    }

    fn push_string(&mut self, length: usize) -> Step<()> {
        let bytes = self.take(length)?;
        self.push(Node::Bytes(Cow::Borrowed(bytes)))
    }

    /// An integer of up to eight bytes, little-endian, two's complement.
    fn long(&mut self) -> Step<()> {
        let [length] = self.fixed()?;
        let bytes = self.take(length.into())?;
        if bytes.len() > 8 {
            return Err(Problem::Limit {
                what: "bytes in an integer",
                max: 8,
            });
        }
        let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        self.push(Node::Integer(i64::from_le_bytes(wide)))
    }

    fn mark(&mut self) -> Step<()> {
        if self.marks.len() >= PICKLE_DEPTH_MAX {
            return Err(Problem::Limit {
                what: "nested collections",
                max: PICKLE_DEPTH_MAX,
            });
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop_many(&mut self, count: usize) -> Step<Vec<Id>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(count).filter(|&start| start >= floor);
        Ok(self
            .stack
            .split_off(start.ok_or(Problem::Malformed("too few values on the stack"))?))
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or(Problem::Malformed("no MARK on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    /// The value on top of the stack, above the last mark.
    fn top(&self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack[floor..]
            .last()
            .copied()
            .ok_or(Problem::Malformed("too few values on the stack"))
    }

    fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id as usize]
    }

    fn tuple(&self, id: Id) -> Step<&[Id]> {
        match self.node(id) {
            Node::Tuple(items) => Ok(items),
            _ => Err(Problem::Malformed("a tuple was expected")),
        }
    }

    fn text_bytes(&self, id: Id) -> Option<&[u8]> {
        match self.node(id) {
            Node::Text(text) => Some(text.as_bytes()),
            Node::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn remember(&mut self, key: u32) -> Step<()> {
        if self.memo.len() >= PICKLE_VALUES_MAX {
            return Err(Problem::Limit {
                what: "remembered values",
                max: PICKLE_VALUES_MAX,
            });
        }
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Step<()> {
        let id = self.memo.get(&key).copied();
        self.push_id(id.ok_or(Problem::Malformed("a reference to a value that was never remembered"))?)
    }

    // Collections.

    fn append(&mut self, items: &[Id]) -> Step<()> {
        let list = self.top()?;
        match &mut self.nodes[list as usize] {
            Node::List(existing) => existing.extend_from_slice(items),
            _ => return Err(Problem::Malformed("items appended to something that is not a list")),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Step<()> {
        let dict = self.top()?;
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(Problem::Malformed("a key without a value"));
        };
        match &mut self.nodes[dict as usize] {
            Node::Dict(existing) => existing.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => {
                return Err(Problem::Malformed(
                    "entries put into something that is not a dictionary",
                ));
            }
        }
        Ok(())
    }

    // The patterns that stand for arrays and encoded bytes.

    fn global(&mut self) -> Step<()> {
        let module = self.line()?;
        let name = self.line()?;
        let global = match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Global::Reconstruct,
            ("numpy", "ndarray") => Global::Array,
            ("numpy", "dtype") => Global::ElementType,
            ("_codecs", "encode") => Global::Encode,
            _ => return Err(Problem::Global(format!("{module}.{name}"))),
        };
        self.push(Node::Global(global))
    }

    fn reduce(&mut self) -> Step<()> {
        let operands = self.pop_many(2)?;
        let Node::Global(global) = *self.node(operands[0]) else {
            return Err(Problem::Malformed("REDUCE of something that is not a name"));
        };
        let arguments = self.tuple(operands[1])?;
        let node = match (global, arguments) {
            (Global::Encode, &[text, codec]) => Node::Bytes(Cow::Owned(self.latin1(text, codec)?)),
            (Global::Encode, &[]) => Node::Bytes(Cow::Borrowed(&[])),
            (Global::ElementType, &[name, ..]) => self.element_type(name)?,
            (Global::Reconstruct, &[class, _, _]) if matches!(self.node(class), Node::Global(Global::Array)) => {
                Node::Array(None)
            }
            _ => return Err(Problem::Malformed("unexpected arguments")),
        };
        self.push(node)
    }

    /// How Python 3 writes bytes in protocol 2: as text, one character a byte.
    fn latin1(&self, text: Id, codec: Id) -> Step<Vec<u8>> {
        let Node::Text(text) = self.node(text) else {
            return Err(Problem::Malformed("encoded bytes that are not text"));
        };
        if !matches!(self.text_bytes(codec), Some(b"latin1" | b"latin-1")) {
            return Err(Problem::Malformed("bytes in another encoding than latin1"));
        }
        let bytes = text.chars().map(u8::try_from).collect::<Result<Vec<u8>, _>>();
        bytes.map_err(|_| Problem::Malformed("encoded bytes outside latin1"))
    }

    fn element_type(&self, name: Id) -> Step<Node<'a>> {
        match self.text_bytes(name) {
            Some(b"u1" | b"|u1") => Ok(Node::ElementType),
            Some(other) => Err(Problem::ElementType(String::from_utf8_lossy(other).into_owned())),
            None => Err(Problem::Malformed("an element type without a name")),
        }
    }

    fn build(&mut self) -> Step<()> {
        let operands = self.pop_many(2)?;
        let state = match self.node(operands[0]) {
            // Byte order and alignment, which mean nothing for single bytes.
            Node::ElementType => None,
            Node::Array(None) => Some(self.array_state(operands[1])?),
            _ => return Err(Problem::Malformed("BUILD of something that is not an array")),
        };
        if let Some(state) = state {
            self.nodes[operands[0] as usize] = Node::Array(Some(state));
        }
        self.push_id(operands[0])
    }

    /// `(version, shape, element type, column major, data)`.
    fn array_state(&self, state: Id) -> Step<ArrayState> {
        let &[_, shape, element_type, column_major, data] = self.tuple(state)? else {
            return Err(Problem::Malformed("an array's state has five parts"));
        };
        let extent = |&id: &Id| match self.node(id) {
            Node::Integer(extent) => usize::try_from(*extent).ok(),
            _ => None,
        };
        let shape = self.tuple(shape)?.iter().map(extent).collect::<Option<Vec<_>>>();
        let column_major = match self.node(column_major) {
            Node::Bool(flag) => Some(*flag),
            Node::Integer(flag) => Some(*flag != 0),
            _ => None,
        };
        match (shape, self.node(element_type), column_major, self.node(data)) {
            (Some(shape), Node::ElementType, Some(column_major), Node::Bytes(_)) => Ok(ArrayState {
                shape,
                column_major,
                data,
            }),
            _ => Err(Problem::Malformed("an array's shape, element type, order or data")),
        }
    }
}
