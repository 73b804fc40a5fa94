"""Makes tagood.json: two trainings of TagOOD's projection model in PyTorch, in float64.

python3 tagood.py tagood.json

Nothing here is shared with the project; the model is put together from PyTorch's own layers
(nn.Linear, nn.LayerNorm, nn.MultiheadAttention with a key padding mask, nn.GELU, nn.MSELoss), and
lists of tokens are padded with zeros. What a second implementation needs is said here.

Images. Image i has counts[i] object tokens (0 to 9) of 12 numbers and the class labels[i] of 5:
"tokens" holds them packed, image after image. Images without a token are never in a batch.

Model, for one image of n tokens t, with W = 16, 4 heads, 2 blocks, hidden width 32:

    x[0] = class_token + positions[0];  x[i + 1] = input(t[i]) + positions[i + 1]     (i < n)
    each block:  x += output(attention(norm1(x)));  x += mlp.out(gelu(mlp.in(norm2(x))))
    z = norm(x)[0];  logits = classifier(z)

GELU is exact, the layer normalisations have epsilon 1e-6, attention is scaled by 1 / sqrt(4), every
linear layer has a bias and is y = x W^T + b. There is no dropout. Positions 10 and 11 of the 12 are
never reached, so that their gradients are 0.

Loss of a batch of 8: alpha * CE + beta * MSE, where CE is the mean cross-entropy, and MSE the mean
over the batch of the mean over W of (z - centre of its class)^2, times "groups": the authors' code
reshapes z to 4 patterns of W / 4, takes the mean over a pattern and the sum over the 4.

Step t (0 to 24) takes the images batches[t]: loss, gradients, the optimiser's step with the rate

    floor + (rate - floor) * (1 + cos(pi t / 25)) / 2

then for each image of the batch, in order, with the z of this step's loss (before its update):

    centre[label] = (1 - centre_rate) * centre[label] + centre_rate * z

Optimisers are torch.optim.Adam and torch.optim.AdamW with betas .9 and .999 and epsilon 1e-8; the
weight decay acts on ALL parameters ("decayed": "all"), PyTorch's default. Centre rates and decay
are larger than the paper's and the code's (5e-4), so that 25 steps show them.

Scores of the held-out images, after the training, with mu the centres:

    cosine     max over c of cos(z, mu_c)                                             (no tag: -1)
    euclidean  1 / (1 + min over c of |z - mu_c|)                                      (no tag: 0)
    kl         1 / (1 + min over c of KL(softmax(z) || softmax(mu_c)))                 (no tag: 0)
    code       max over c of the mean over the 4 patterns of the cosine of the pattern,
               times tag_scores                                                        (no tag: 0)

"No tag" is an image with tag_counts 0; it has no tokens. Every other image has at least one.

"tagger" is what a tagger gives for ten more images: tokens [10, 8, 12], tag_logits [10, 6] and
attention [10, 6, 8]; the in-distribution tags are "tags", predicted where their logit is above
"thresholds" (the others never are). An image's object tokens are those where the largest of its
predicted tags' maps, each moved and scaled to 0 ... 1, is above tau, or all where tau is 0 and a
tag is predicted; a constant map, as of image 1, is 1 everywhere. The scores are those above, with
the sigmoid of the largest logit of an in-distribution tag as the tag score.

The file. {"made_by", "sizes", "training": {"counts", "labels", "tokens"}, "held_out": {"counts",
"labels", "tag_counts", "tag_scores", "tokens"}, "tagger", "weights": {name: {"shape", "data"}},
"centres", "batches", "runs": [{"variant", the settings, "cross_entropy", "mse", "loss", "accuracy"
(25 each), "gradients" of step 0 (before weight decay): {name: [...]}, "final": {name: {"sum",
"squares" (sum of), "first" (4)}}, "centres" (flat), "held_out": {"z", "logits" (of the images with
tokens, flat), "accuracy" (of those), and the four scores (of all)}, "tagger": {each tau: the four
scores}, "drift_f32": the largest absolute difference of a loss and of a score when PyTorch runs the
same in float32}]}.

The gradient of an attention's key bias is 0 in exact arithmetic: it adds the same to all scores of
a query. Adam turns its rounding into steps as large as any, so its final value is noise that
nothing depends on; "final" leaves it out.

Tokens, weights and centres are multiples of 1/1024, exact in f32; the rest has 7 digits.
"""

import json
import sys

import numpy as np
import torch
from torch import nn

WIDTHS = {"tokens": 12, "width": 16, "heads": 4, "depth": 2, "hidden": 32}
SIZES = {**WIDTHS, "classes": 5, "positions": 12, "patterns": 4}
E, W, HEADS, DEPTH, H, K, P, PATTERNS = SIZES.values()
IMAGES, HELD_OUT, LONGEST, BATCH, STEPS = 40, 14, 9, 8, 25
TAGGED, PLACES, OUTPUTS, TAUS = 10, 8, 6, (0, 0.3, 0.5, 0.7)
ADAM = {"alpha": 1, "beta": 0.1, "rate": 0.01}
VARIANTS = [
    {
        "variant": "paper",
        "optimiser": "Adam",
        **ADAM,
        "floor": 0,
        "weight_decay": 0,
        "groups": 1,
        "centre_rate": 0.01,
    },
    {
        "variant": "code",
        "optimiser": "AdamW",
        **ADAM,
        "floor": 1e-5,
        "weight_decay": 0.05,
        "groups": 4,
        "centre_rate": 0.05,
    },
]
rng = np.random.default_rng(20)


def coarse(x):
    return np.round(np.asarray(x) * 1024) / 1024


def draw_images(count, prototypes, lengths, labels):
    """Each image's tokens are noise around its class's prototype; some are noise alone."""
    images = []
    for label, length in zip(labels, lengths):
        own = rng.random(length) < 0.7
        noise = rng.normal(size=(length, E))
        images.append(coarse(own[:, None] * prototypes[label] + 0.8 * noise))
    return {"counts": lengths, "labels": labels, "tokens": images}


def draw():
    prototypes = rng.normal(size=(K, E))
    lengths = [0, 1, LONGEST, *rng.integers(0, LONGEST + 1, IMAGES - 3).tolist()]
    training = draw_images(IMAGES, prototypes, lengths, [i % K for i in range(IMAGES)])
    lengths = [0, 1, LONGEST, 0, *rng.integers(1, LONGEST + 1, HELD_OUT - 4).tolist()]
    held_out = draw_images(HELD_OUT, prototypes, lengths, [i % K for i in range(HELD_OUT)])
    held_out["tag_counts"] = [min(n, 1 + i % 3) for i, n in enumerate(lengths)]
    held_out["tag_scores"] = [float(v) for v in np.round(rng.uniform(0.2, 1, HELD_OUT), 4)]
    usable = [i for i, n in enumerate(training["counts"]) if n > 0]
    order = np.concatenate([rng.permutation(usable) for _ in range(STEPS)])
    return training, held_out, order[: STEPS * BATCH].reshape(STEPS, BATCH).tolist()


def draw_tagger():
    tags, thresholds = [4, 1, 2], [0.5, 0, -0.25]
    logits = coarse(2 * rng.normal(size=(TAGGED, OUTPUTS)))
    # No tag, though one that is out of distribution; one tag; all three.
    logits[0, tags] = np.array(thresholds) - 1
    logits[0, 0] = 4
    logits[1, tags] = np.array(thresholds) + [-1, 1, -2]
    logits[2, tags] = np.array(thresholds) + 1
    tokens = coarse(rng.normal(size=(TAGGED, PLACES, E)))
    attention = coarse(rng.random((TAGGED, OUTPUTS, PLACES)))
    attention[1, tags[1]] = 0.625
    return {
        "tokens": tokens,
        "tag_logits": logits,
        "attention": attention,
        "tags": tags,
        "thresholds": thresholds,
    }


def objects_of(tagger, tau):
    images = []
    for tokens, logits, maps in zip(tagger["tokens"], tagger["tag_logits"], tagger["attention"]):
        value = np.full(PLACES, -1.0)
        for tag, threshold in zip(tagger["tags"], tagger["thresholds"]):
            if logits[tag] > threshold:
                low, high = maps[tag].min(), maps[tag].max()
                scaled = (maps[tag] - low) / (high - low) if high > low else 1
                value = np.maximum(value, scaled)
        assert tau == 0 or (abs(value - tau) > 1e-4).all()
        images.append(tokens[value >= 0 if tau == 0 else value > tau])
    own = tagger["tag_logits"][:, tagger["tags"]].max(axis=1)
    return {
        "tokens": images,
        "tag_counts": [len(tokens) for tokens in images],
        "tag_scores": (1 / (1 + np.exp(-own))).tolist(),
    }


def shapes():
    result = {"input.weight": (W, E), "input.bias": (W,), "class_token": (W,), "positions": (P, W)}
    for i in range(DEPTH):
        block = {"norm1.weight": (W,), "norm1.bias": (W,)}
        for name in ("query", "key", "value", "output"):
            block[f"attention.{name}.weight"] = (W, W)
            block[f"attention.{name}.bias"] = (W,)
        block |= {"norm2.weight": (W,), "norm2.bias": (W,)}
        block |= {"mlp.in.weight": (H, W), "mlp.in.bias": (H,)}
        block |= {"mlp.out.weight": (W, H), "mlp.out.bias": (W,)}
        result |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
    result |= {"norm.weight": (W,), "norm.bias": (W,)}
    return result | {"classifier.weight": (K, W), "classifier.bias": (K,)}


def draw_weights():
    weights = {}
    for name, shape in shapes().items():
        if "norm" in name:
            values = 0.1 * rng.normal(size=shape) + (1 if name.endswith("weight") else 0)
        elif len(shape) == 2 and name != "positions":
            values = rng.normal(size=shape) / np.sqrt(shape[1])
        else:
            values = 0.2 * rng.normal(size=shape)
        weights[name] = coarse(values)
    return weights, coarse(rng.normal(size=(K, W)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(W, eps=1e-6)
        self.attention = nn.MultiheadAttention(W, HEADS, batch_first=True)
        self.norm2 = nn.LayerNorm(W, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(W, H), nn.GELU(), nn.Linear(H, W))

    def forward(self, x, padding):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, key_padding_mask=padding, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Projection(nn.Module):
    def __init__(self):
        super().__init__()
        self.input = nn.Linear(E, W)
        self.class_token = nn.Parameter(torch.zeros(W))
        self.positions = nn.Parameter(torch.zeros(P, W))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(W, eps=1e-6)
        self.classifier = nn.Linear(W, K)

    def forward(self, images):
        lengths = torch.tensor([len(tokens) for tokens in images])
        dtype = self.class_token.dtype
        padded = torch.zeros(len(images), int(lengths.max()), E, dtype=dtype)
        for at, tokens in enumerate(images):
            padded[at, : len(tokens)] = torch.tensor(tokens, dtype=dtype)
        first = self.class_token.expand(len(images), 1, W)
        x = torch.cat([first, self.input(padded)], dim=1)
        x = x + self.positions[: x.shape[1]]
        padding = torch.arange(x.shape[1])[None, :] > lengths[:, None]
        for block in self.blocks:
            x = block(x, padding)
        z = self.norm(x)[:, 0]
        return z, self.classifier(z)

    def views(self, tensor_of):
        """Parts of the parameters, or of their gradients, by the names of the file."""
        found = {name: tensor_of(value) for name, value in self.named_parameters()}
        result = {}
        for name in shapes():
            start, _, part = name.rpartition("attention.")
            stacked, _, kind = part.rpartition(".")
            if start and stacked in ("query", "key", "value"):
                at = ("query", "key", "value").index(stacked) * W
                result[name] = found[f"{start}attention.in_proj_{kind}"][at : at + W]
            elif start:
                result[name] = found[f"{start}attention.out_proj.{kind}"]
            else:
                plain = name.replace("mlp.in.", "mlp.0.").replace("mlp.out.", "mlp.2.")
                result[name] = found[plain]
        return result


def scores(z, centres, held_out):
    def cosines(a, b):
        return nn.functional.cosine_similarity(a[:, None], b[None, :], dim=-1)

    divergence = nn.functional.kl_div(
        centres.log_softmax(dim=1)[None, :],
        z.log_softmax(dim=1)[:, None],
        log_target=True,
        reduction="none",
    ).sum(dim=-1)
    quarters = [cosines(a, b) for a, b in zip(z.chunk(PATTERNS, 1), centres.chunk(PATTERNS, 1))]
    probability = torch.tensor(held_out["tag_scores"], dtype=z.dtype)
    tagged = torch.tensor(held_out["tag_counts"]) > 0
    found = {
        "cosine": (cosines(z, centres).amax(dim=1), -1),
        "euclidean": (1 / (1 + torch.cdist(z, centres).amin(dim=1)), 0),
        "kl": (1 / (1 + divergence.amin(dim=1)), 0),
        "code": (sum(quarters).amax(dim=1) / PATTERNS * probability[tagged], 0),
    }
    result = {}
    for name, (values, none) in found.items():
        result[name] = torch.full(tagged.shape, none, dtype=z.dtype)
        result[name][tagged] = values
    return {name: flat(values) for name, values in result.items()}


def train(variant, data, dtype):
    training, held_out, tagger, batches, weights, first_centres = data
    model = Projection().to(dtype)
    with torch.no_grad():
        for name, view in model.views(lambda parameter: parameter).items():
            view.copy_(torch.tensor(weights[name]))
    centres = torch.tensor(first_centres, dtype=dtype)
    optimiser = getattr(torch.optim, variant["optimiser"])(
        model.parameters(), lr=variant["rate"], weight_decay=variant["weight_decay"]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS, variant["floor"])
    run = {**variant, "decayed": "all"}
    run |= {"cross_entropy": [], "mse": [], "loss": [], "accuracy": []}
    patterns = (variant["groups"], W // variant["groups"])
    for step, batch in enumerate(batches):
        labels = torch.tensor([training["labels"][i] for i in batch])
        z, logits = model([training["tokens"][i] for i in batch])
        entropy = nn.functional.cross_entropy(logits, labels)
        own = centres[labels]
        apart = nn.MSELoss(reduction="none")(z.unflatten(1, patterns), own.unflatten(1, patterns))
        mse = apart.mean(dim=2).sum(dim=1).mean()
        loss = variant["alpha"] * entropy + variant["beta"] * mse
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            grads = model.views(lambda parameter: parameter.grad)
            run["gradients"] = {name: flat(value) for name, value in grads.items()}
        optimiser.step()
        schedule.step()
        for label, vector in zip(labels, z.detach()):
            rate = variant["centre_rate"]
            centres[label] = (1 - rate) * centres[label] + rate * vector
        right = (logits.argmax(dim=1) == labels).double().mean()
        parts = {"cross_entropy": entropy, "mse": mse, "loss": loss, "accuracy": right}
        for name, value in parts.items():
            run[name].append(digits(value.item()))
    with torch.no_grad():
        seen = [i for i, n in enumerate(held_out["counts"]) if n > 0]
        z, logits = model([held_out["tokens"][i] for i in seen])
        truth = torch.tensor([held_out["labels"][i] for i in seen])
        run["final"] = {
            name: {
                "sum": digits(value.sum().item()),
                "squares": digits(value.square().sum().item()),
                "first": flat(value)[:4],
            }
            for name, value in model.views(lambda parameter: parameter).items()
            if not name.endswith("key.bias")
        }
        run["centres"] = flat(centres)
        run["held_out"] = {
            "z": flat(z),
            "logits": flat(logits),
            "accuracy": digits((logits.argmax(dim=1) == truth).double().mean().item()),
            **scores(z, centres, held_out),
        }
        run["tagger"] = {}
        for tau in TAUS:
            objects = objects_of(tagger, tau)
            z, _ = model([tokens for tokens in objects["tokens"] if len(tokens) > 0])
            run["tagger"][str(tau)] = scores(z, centres, objects)
    return run


def drift(run, single):
    def apart(a, b):
        return float(np.abs(np.subtract(a, b)).max())

    names = ("cosine", "euclidean", "kl", "code")
    held = [apart(run["held_out"][n], single["held_out"][n]) for n in names]
    return {"loss": digits(apart(run["loss"], single["loss"])), "score": digits(max(held))}


def digits(value):
    return float(f"{value:.7g}")


def flat(tensor):
    return [digits(v) for v in tensor.detach().flatten().tolist()]


def packed(images):
    tokens = np.concatenate([tokens.reshape(-1) for tokens in images["tokens"]]).tolist()
    return {**images, "tokens": tokens}


def main():
    torch.set_num_threads(1)
    training, held_out, batches = draw()
    weights, centres = draw_weights()
    tagger = draw_tagger()
    runs = []
    for variant in VARIANTS:
        data = (training, held_out, tagger, batches, weights, centres)
        run, single = train(variant, data, torch.float64), train(variant, data, torch.float32)
        run["drift_f32"] = drift(run, single)
        runs.append(run)
    text = json.dumps(
        {
            "made_by": f"PyTorch {torch.__version__}",
            "sizes": SIZES,
            "training": packed(training),
            "held_out": packed(held_out),
            "tagger": {name: np.ravel(value).tolist() for name, value in tagger.items()},
            "weights": {
                name: {"shape": value.shape, "data": value.flatten().tolist()}
                for name, value in weights.items()
            },
            "centres": centres.flatten().tolist(),
            "batches": batches,
            "runs": runs,
        }
    )
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(text + "\n")


main()
