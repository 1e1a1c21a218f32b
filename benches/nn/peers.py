"""PyTorch and ONNX Runtime on the networks of scones-nn, for `cargo xtask bench nn`.

    peers.py torch train DEPTH BATCH THREADS
    peers.py torchscript|onnx infer DEPTH BATCH THREADS
    peers.py accuracy DIRECTORY

The first two answer each line `run SECONDS` on standard input by the median
seconds of a call, and the end of input by `memory BYTES`, the process's peak.
The last compares the gradients that scones-nn left in a directory, and
PyTorch's own in single precision, with PyTorch's in double precision.
"""

import io
import resource
import statistics
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

CLASSES = 10
SIDE = 32


def stages(depth):
    """(channels, blocks) of each stage, as Architecture::resnet has them."""
    if depth == 18:
        return [(64, 2), (128, 2), (256, 2), (512, 2)]
    return [(channels, (depth - 2) // 6) for channels in (16, 32, 64)]


def build(depth):
    """The network, its parameters named as scones-nn names its tensors."""
    from torch import nn

    class Unit(nn.Module):
        def __init__(self, inputs, outputs, kernel, stride):
            super().__init__()
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
            self.norm = nn.BatchNorm2d(outputs)

        def forward(self, x):
            return self.norm(self.conv(x))

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(outputs)
            self.relu = nn.ReLU(inplace=True)
            reshapes = stride != 1 or inputs != outputs
            self.shortcut = Unit(inputs, outputs, 1, stride) if reshapes else nn.Identity()

        def forward(self, x):
            hidden = self.relu(self.norm1(self.conv1(x)))
            return self.relu(self.norm2(self.conv2(hidden)) + self.shortcut(x))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            channels = stages(depth)[0][0]
            self.stem = Unit(3, channels, 3, 1)
            self.relu = nn.ReLU(inplace=True)
            self.names = []
            for index, (outputs, blocks) in enumerate(stages(depth)):
                stage = nn.Module()
                for block in range(blocks):
                    stride = 2 if index > 0 and block == 0 else 1
                    stage.add_module(f"block{block}", Block(channels, outputs, stride))
                    self.names.append((f"stage{index + 1}", f"block{block}"))
                    channels = outputs
                self.add_module(f"stage{index + 1}", stage)
            self.classifier = nn.Linear(channels, CLASSES)

        def forward(self, x):
            x = self.relu(self.stem(x))
            for stage, block in self.names:
                x = getattr(getattr(self, stage), block)(x)
            return self.classifier(x.mean((2, 3)))

    return Network()


def trainer(depth, batch):
    import torch

    model = build(depth).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)
    images = torch.randn(batch, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    targets = torch.arange(batch) % CLASSES

    def step():
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(images), targets).backward()
        optimizer.step()

    return step


def torchscript(depth, batch):
    import torch

    images = torch.randn(batch, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        model = build(depth).to(memory_format=torch.channels_last).eval()
        model = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, images)))

    def infer():
        with torch.inference_mode():
            model(images)

    return infer


def onnx(depth, batch, threads):
    import onnxruntime
    import torch

    images = torch.randn(batch, 3, SIDE, SIDE)
    file = io.BytesIO()
    torch.onnx.export(build(depth).eval(), images, file, input_names=["images"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {"images": images.numpy()}
    return lambda: session.run(None, feed)


def serve(call):
    """Times calls as standard input asks for it."""
    for _ in range(3):
        call()
    print("ready", flush=True)
    for line in sys.stdin:
        times, end = [], time.perf_counter() + float(line.split()[1])
        while len(times) < 2 or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        print(statistics.median(times), flush=True)
    # Linux counts in KiB.
    print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


def accuracy(directory):
    """Prints the relative errors of the whole gradient, and the worst ratio of
    one tensor's errors."""
    import numpy
    import torch

    depth, batch = (int(word) for word in (directory / "case").read_text().split())
    read = lambda name: torch.from_numpy(numpy.fromfile(directory / name, numpy.float32))
    images = read("images").reshape(batch, SIDE, SIDE, 3).permute(0, 3, 1, 2).contiguous()
    targets = read("targets").reshape(batch, CLASSES)

    def gradients(dtype):
        model = build(depth).to(dtype).to(memory_format=torch.channels_last).train()
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if not name.endswith("num_batches_tracked"):
                    value.copy_(read(f"{name}.value").reshape(value.shape))
        inputs = images.to(dtype).to(memory_format=torch.channels_last)
        torch.nn.functional.cross_entropy(model(inputs), targets.to(dtype)).backward()
        return {name: parameter.grad.double().flatten() for name, parameter in model.named_parameters()}

    exact, theirs = gradients(torch.float64), gradients(torch.float32)
    ours = {name: read(f"{name}.gradient").double() for name in exact}
    error = lambda of, names: (
        sum((of[name] - exact[name]).square().sum() for name in names)
        / sum(exact[name].square().sum() for name in names)
    ).sqrt().item()
    ratios = [error(ours, [name]) / max(error(theirs, [name]), 1e-9) for name in exact if exact[name].norm() > 1e-6]
    print(error(ours, exact), error(theirs, exact), max(ratios), flush=True)


def main():
    if sys.argv[1] == "accuracy":
        return accuracy(Path(sys.argv[2]))
    peer, _, *numbers = sys.argv[1:]
    depth, batch, threads = map(int, numbers)
    if peer == "onnx":
        return serve(onnx(depth, batch, threads))
    import torch

    torch.set_num_threads(threads)
    return serve(trainer(depth, batch) if peer == "torch" else torchscript(depth, batch))


main()
