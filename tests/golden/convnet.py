"""Makes convnet.json: the training of a tiny convolutional network in PyTorch, in float64.

python3 convnet.py convnet.json

Everything that a second implementation needs is said here; nothing is drawn from a random library.

Random integers. All arithmetic is modulo 2^32 (`Math.imul`, `>>>`):

    mix(x):    x ^= x >>> 16; x *= 0x85ebca6b; x ^= x >>> 13; x *= 0xc2b2ae35; x ^= x >>> 16
    hash(a, b) = mix(mix(a * 0x9e3779b9 + 0x7f4a7c15) + b)

Images. Image i has 12 x 12 pixels of 3 channels and class i mod 5. Its class is a texture with a
period of 4 pixels, moved by (sy, sx), under noise:

    sy = hash(1, i) & 3; sx = (hash(1, i) >>> 2) & 3
    texture(class, y, x, c) = hash(2, ((class * 4 + (y & 3)) * 4 + (x & 3)) * 3 + c) & 127
    noise(i, y, x, c)       = hash(3, ((i * 12 + y) * 12 + x) * 3 + c) & 127
    pixel = (texture(class, y + sy, x + sx, c) + noise(i, y, x, c)) / 64 - 2        (exact in f32)

Images 0 to 639 are for training: step t (0 to 39) takes images 16 t to 16 t + 15. Images 640 to 839
are held out.

Network, in channels-last shapes for N images:

    x [N,12,12,3]  -> conv1: 3x3, stride 1, padding 1, no bias -> bn1 -> ReLU   [N,12,12,8]
                   -> conv2: 3x3, stride 2, padding 1, no bias -> bn2 -> ReLU   a [N,6,6,16]
    a              -> depthwise: 3x3, stride 1, padding 1, 16 groups, bias -> ReLU   b [N,6,6,16]
    z = a + b      -> mean over the 36 positions   g [N,16]
    logits = g W^T + bias   [N,5]

Batch norm, training: mean and biased variance of the batch, epsilon 1e-5; running statistics begin
at 0 and 1 and take a tenth of the batch's mean and of its unbiased variance in every step. The
held-out images are evaluated with the running statistics.

Objectives, one run for each, from the same weights:

    "cross_entropy": the mean over the batch of -log softmax(logits)[label]
    "lbf": that + 0.2 * L, where L is the mean over S of max(|z_j| - 1, 0); z_j is the vector of 16
        channels at a position (of all 36 N); S holds the positions where softmax(z_j W^T + bias)
        gives the image's label less than 0.2; S is constant (no gradient through the choice); an
        empty S gives L = 0. No gradient of L reaches W and bias, which only choose S.

Optimiser: SGD for every parameter, batch norm's and biases too:

    g += 1e-4 * w; v = 0.9 * v + g (v = 0 before step 1); w -= 0.05 * v

The file. {"made_by", "weights": {name: {"shape", "data"}}, "runs": [{"objective", "loss" (40),
"cross_entropy" (40), "lff" (40), "selected" (40: |S| / 36 N; 0 in the first run), "gradients" (step
1, before weight decay), "final" (weights after step 40), "running": {name: [...]} (statistics after
step 40), "held_out": {"loss" (cross-entropy), "accuracy", "logits" (of the first 5)},
"drift_f32": the largest relative difference of a loss when PyTorch runs the same in float32}],
"images": {"sum" (over all 840), "first" (the 12 numbers of the first four pixels of image 0)}}.

Names: conv1.weight [8,3,3,3], bn1.weight, bn1.bias [8], conv2.weight [16,3,3,8], bn2.weight,
bn2.bias [16], depthwise.weight [16,3,3,1], depthwise.bias [16], linear.weight [5,16],
linear.bias [5]; convolutions in OHWI order (output channel, row, column, input channel), flat,
row-major. The initial weights are f32, with 9 digits; the rest is float64 with 9 digits.
"""

import json
import sys

import numpy as np
import torch
from torch.nn import functional as F

CLASSES, SIDE, STEPS, BATCH, HELD_OUT = 5, 12, 40, 16, 200
RATE, MOMENTUM, DECAY = 0.05, 0.9, 1e-4
LAMBDA, MARGIN, THRESHOLD = 0.2, 1.0, 0.2
SHAPES = {
    "conv1.weight": (8, 3, 3, 3),
    "bn1.weight": (8,),
    "bn1.bias": (8,),
    "conv2.weight": (16, 3, 3, 8),
    "bn2.weight": (16,),
    "bn2.bias": (16,),
    "depthwise.weight": (16, 3, 3, 1),
    "depthwise.bias": (16,),
    "linear.weight": (CLASSES, 16),
    "linear.bias": (CLASSES,),
}


def mix(x):
    x = np.asarray(x, np.uint32)
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def hashed(a, b):
    first = mix(np.asarray([(a * 0x9E3779B9 + 0x7F4A7C15) % 2**32], np.uint32))
    return mix(first + np.asarray(b, np.uint32))


def images(count):
    i, y, x, c = np.ogrid[:count, :SIDE, :SIDE, :3]
    move = hashed(1, i).astype(np.int64)
    row, column = (y + (move & 3)) & 3, (x + ((move >> 2) & 3)) & 3
    texture = hashed(2, ((i % CLASSES * 4 + row) * 4 + column) * 3 + c) & 127
    noise = hashed(3, ((i * SIDE + y) * SIDE + x) * 3 + c) & 127
    return (texture + noise).astype(np.float64) / 64 - 2


def initial():
    """Uniform weights within He's bound; scales near 1, shifts near 0; in f32."""
    weights = {}
    for at, (name, shape) in enumerate(SHAPES.items()):
        u = hashed(16 + at, np.arange(np.prod(shape))) / 2.0**31 - 1
        if name.startswith("bn") or name.endswith("bias"):
            values = 0.1 * u + (1 if name.endswith("weight") else 0)
        else:
            values = u * np.sqrt(6 / np.prod(shape[1:]))
        weights[name] = values.astype(np.float32).reshape(shape)
    return weights


def oihw(weight):
    return weight.permute(0, 3, 1, 2)


def forward(weights, running, x, training):
    def norm(x, name):
        mean, variance = running[f"{name}.mean"], running[f"{name}.variance"]
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.batch_norm(x, mean, variance, scale, shift, training, momentum=0.1, eps=1e-5)

    x = x.permute(0, 3, 1, 2)
    x = F.relu(norm(F.conv2d(x, oihw(weights["conv1.weight"]), padding=1), "bn1"))
    a = F.relu(norm(F.conv2d(x, oihw(weights["conv2.weight"]), stride=2, padding=1), "bn2"))
    kernel, bias = oihw(weights["depthwise.weight"]), weights["depthwise.bias"]
    z = a + F.relu(F.conv2d(a, kernel, bias, padding=1, groups=16))
    z = z.permute(0, 2, 3, 1)
    return z, F.linear(z.mean(dim=(1, 2)), weights["linear.weight"], weights["linear.bias"])


def lff(weights, z, labels):
    rows = z.reshape(-1, 16)
    with torch.no_grad():
        local = F.linear(rows, weights["linear.weight"], weights["linear.bias"]).softmax(dim=1)
        truth = labels.repeat_interleave(rows.shape[0] // labels.shape[0])
        chosen = local[torch.arange(rows.shape[0]), truth] < THRESHOLD
    if not chosen.any():
        return rows.sum() * 0, 0.0
    norms = rows[chosen].norm(dim=1)
    return (norms - MARGIN).clamp(min=0).mean(), chosen.double().mean().item()


def train(objective, dtype):
    pixels = torch.tensor(images(STEPS * BATCH + HELD_OUT), dtype=dtype)
    labels = torch.arange(pixels.shape[0]) % CLASSES
    weights = {k: torch.tensor(v, dtype=dtype, requires_grad=True) for k, v in initial().items()}
    running = {}
    for name in ("bn1", "bn2"):
        size = SHAPES[f"{name}.weight"]
        running[f"{name}.mean"] = torch.zeros(size, dtype=dtype)
        running[f"{name}.variance"] = torch.ones(size, dtype=dtype)
    optimiser = torch.optim.SGD(weights.values(), RATE, MOMENTUM, weight_decay=DECAY)
    run = {"objective": objective, "loss": [], "cross_entropy": [], "lff": [], "selected": []}
    for step in range(STEPS):
        batch = slice(BATCH * step, BATCH * (step + 1))
        z, logits = forward(weights, running, pixels[batch], True)
        entropy = F.cross_entropy(logits, labels[batch])
        background, selected = z.sum() * 0, 0.0
        if objective == "lbf":
            background, selected = lff(weights, z, labels[batch])
        loss = entropy + LAMBDA * background
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            run["gradients"] = {k: array(v.grad) for k, v in weights.items()}
        optimiser.step()
        for key, value in (("loss", loss), ("cross_entropy", entropy), ("lff", background)):
            run[key].append(digits(value.item()))
        run["selected"].append(digits(selected))
    with torch.no_grad():
        _, logits = forward(weights, running, pixels[STEPS * BATCH :], False)
        truth = labels[STEPS * BATCH :]
        run["final"] = {k: array(v) for k, v in weights.items()}
        run["running"] = {k: array(v)["data"] for k, v in running.items()}
        run["held_out"] = {
            "loss": digits(F.cross_entropy(logits, truth).item()),
            "accuracy": (logits.argmax(dim=1) == truth).double().mean().item(),
            "logits": [[digits(v) for v in row] for row in logits[:5].tolist()],
        }
    return run


def digits(value):
    return float(f"{value:.9g}")


def array(tensor):
    data = [digits(v) for v in tensor.detach().flatten().tolist()]
    return {"shape": list(tensor.shape), "data": data}


def main():
    torch.set_num_threads(1)
    runs = []
    for objective in ("cross_entropy", "lbf"):
        run, single = train(objective, torch.float64), train(objective, torch.float32)
        pairs = zip(run["loss"], single["loss"])
        run["drift_f32"] = digits(max(abs(a - b) / a for a, b in pairs))
        runs.append(run)
    pixels = images(STEPS * BATCH + HELD_OUT)
    text = json.dumps(
        {
            "made_by": f"PyTorch {torch.__version__}",
            "weights": {k: array(torch.tensor(v)) for k, v in initial().items()},
            "runs": runs,
            "images": {"sum": pixels.sum(), "first": pixels[0, 0, :4].flatten().tolist()},
        }
    )
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(text + "\n")


main()
