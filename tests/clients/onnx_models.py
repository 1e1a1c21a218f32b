"""Tiny image classifiers in ONNX, written field by field: an ONNX file is a protocol buffer."""

import io
import struct
import tarfile
import zlib

import numpy

FLOAT = 1


def varint(value):
    encoded = b""
    while value > 0x7F:
        encoded, value = encoded + bytes([value & 0x7F | 0x80]), value >> 7
    return encoded + bytes([value])


def field(number, value):
    """One field: an integer, or a text, bytes, or the bytes of a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, array, file=None):
    """A weight; the bytes may be in another file."""
    array = numpy.asarray(array, "<f4")
    head = b"".join(field(1, side) for side in array.shape) + field(2, FLOAT) + field(8, name)
    if file is None:
        return head + field(9, array.tobytes())
    where = {"location": file, "offset": "0", "length": str(array.nbytes)}
    entries = (field(13, field(1, key) + field(2, value)) for key, value in where.items())
    return head + b"".join(entries) + field(14, 1)


def attribute(name, value):
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    return field(1, name) + b"".join(field(8, one) for one in value) + field(20, 7)


def node(operation, inputs, output, **attributes):
    names = b"".join(field(1, name) for name in inputs.split()) + field(2, output)
    return names + field(4, operation) + b"".join(field(5, attribute(*one)) for one in attributes.items())


def value(name, shape, element=FLOAT):
    """An input or output; a text among the sides is dynamic."""
    sides = b"".join(field(1, field(1 if isinstance(side, int) else 2, side)) for side in shape)
    return field(1, name) + field(2, field(1, field(1, element) + field(2, sides)))


def model(nodes, weights, inputs, outputs):
    parts = [(1, nodes), (5, weights), (11, inputs), (12, outputs)]
    graph = field(2, "tiny") + b"".join(field(number, part) for number, each in parts for part in each)
    return field(1, 8) + field(8, field(2, 17)) + field(7, graph)


def classifier(shape=("N", 3, 32, 32), classes=3, last=None, channels_last=False, file=None, scale=1.0):
    """A convolution, a mean over the picture, a score a class. With `file`, its bytes and the weights' bytes."""
    random = numpy.random.default_rng(7)
    convolution = random.normal(size=(8, 3, 3, 3)).astype("<f4")
    dense = (random.normal(size=(8, classes)) * scale).astype("<f4")
    weights = [tensor("convolution", convolution), tensor("dense", dense, file)]
    nodes = [
        node("Conv", "planes convolution", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", "c", "r"),
        node("GlobalAveragePool", "r", "g"),
        node("Flatten", "g", "f", axis=1),
        node("MatMul", "f dense", "scores" if last is None else "m"),
    ]
    if last is not None:
        nodes.append(node(last, "m", "scores"))
    if channels_last:
        nodes.insert(0, node("Transpose", "image", "planes", perm=[0, 3, 1, 2]))
    name = "image" if channels_last else "planes"
    encoded = model(nodes, weights, [value(name, shape)], [value("scores", (shape[0], classes))])
    return encoded if file is None else (encoded, dense.tobytes())


def archive(**files):
    """A model.tar.gz; `model_onnx=bytes` becomes model.onnx."""
    return packed({name.replace("_", "."): content for name, content in files.items()})


def packed(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as writer:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            writer.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def png(pixels):
    """An array of height x width x 3 bytes as a PNG file."""
    height, width, _ = pixels.shape

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
