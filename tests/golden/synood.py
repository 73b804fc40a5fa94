"""Makes synood.json: SynOOD's trainings in PyTorch, in float64.

python3 synood.py synood.json

Nothing here is shared with the project; the projection is put together from PyTorch's own layers
(nn.Linear, nn.LayerNorm, nn.functional.normalize), the label losses are written out. What a second
implementation needs is said here.

Data. "text" has 5 in-distribution labels, then 20 negative ones, rows of 16 numbers of length one
(rounded to float32). "id" has 40 image features with class labels, "synthetic" as many, the n-th
made of the n-th; "test" has 12 more. Image features are of any length. A synthetic image's negative
label is the one of largest cosine ("assigned", from 0 to 19); "used" are those that occur, ascending.

Projection: delta(f) = normalise(f + relu(layer_norm(linear(f)))), f of length one where "images" is
"unit" and as given where it is "raw".

Losses, with s = "scale" times a cosine:

    code, all, negatives   mean over the batch of the cross-entropy of delta(f) over the labels: the 5
                           and the used ones, the 5 and all 20, the used ones alone (then the batch
                           has synthetic images only)
    tuning kind "paper"    - mean over i of log(exp s(T_i, I_i) / sum over j of exp s(T_i, I_j)), T_i
                           the feature of image i's label, j over the batch
    tuning kind "code"     mean of the cross-entropy of I over the used labels

Image features of a tuning are of length one, or go through the final projection of the run that
"projection" names. Rows of text are parameters that begin with "length" times their values and are
normalised inside of the loss.

"joint" runs have pairs: the loss is that of the projection over both images of all pairs, with the
used labels' rows as they are at that step, plus that of the tuning over the projected synthetic
images; both groups of parameters have optimisers of their own.

Step t (0 to 24) takes the batch t of "batches": samples of a projection are the 40 images, then the
40 synthetic ones; those of "negatives" and of tunings synthetic images; those of joint runs pairs.
An epoch has 5 steps. Rates:

    constant        rate
    cosine          floor + (rate - floor) * (1 + cos(pi t / 25)) / 2
    cosine-epoch    the same with 5 floor(t / 5) instead of t

Optimisers are torch.optim.Adam (betas .9, .999, epsilon 1e-8) for the projection and torch.optim.SGD
for text; the weight decay is theirs, added to the gradient of all parameters. Rates and decays are
larger than the paper's, so that 25 steps show them.

Scores of the test images with the final projection and text (other labels' rows as given), "groups"
1 and 20: S / (S + G) where S sums exp s over the 5 and G over a group, mean over the groups.

"altered" are losses of the first run with one thing changed each, which a second implementation must
not have: "decay" none, "residual" none, "epsilon" 1e-3, "normalise" no final normalisation.

The file. {"made_by", "sizes", "scale", "text", "id", "id_labels", "synthetic", "test", "assigned",
"used", "weights": {name: {"shape", "data"}} (of the projection, "weight" [outputs, inputs]),
"batches": {"projection", "synthetic", "pairs"}, "projections", "tunings", "joints": [{the settings,
"loss", "accuracy" (25 each; of joint runs also "label_loss"), "gradients" of step 0 (before weight
decay): {name: [...]}, "final": {name: [...]}, "text" (normalised rows of the used labels), "scores":
{"1", "20"}}], "altered": {name: [25]}, "drift_f32": the largest difference of a "loss" and
of a "final" parameter when PyTorch runs the same in float32}.

Weights and features are exact in float32; the rest has 7 digits.
"""

import json
import math
import sys

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

D, C, M, IMAGES, TEST, BATCH, STEPS, EPOCH = 16, 5, 20, 40, 12, 16, 25, 5
SCALE, EPSILON = 12, 1e-5
ADAM = {"rate": 0.01, "floor": 1e-4, "weight_decay": 0.02}
PROJECTIONS = [
    {"name": "paper", "images": "unit", "labels": "code", "schedule": "cosine", **ADAM},
    {"name": "raw", "images": "raw", "labels": "all", "schedule": "cosine-epoch", **ADAM},
    {"name": "negatives", "images": "unit", "labels": "negatives", "schedule": "constant", **ADAM},
]
SGD = {"rate": 0.05, "floor": 0, "weight_decay": 0, "momentum": 0, "length": 1}
CODE = {"rate": 0.1, "weight_decay": 0.05, "momentum": 0.9, "length": 2.5}
TUNINGS = [
    {"name": "paper", "kind": "paper", "schedule": "constant", **SGD},
    {"name": "code", "kind": "code", "schedule": "cosine-epoch", **SGD, **CODE},
    {"name": "projected", "kind": "paper", "schedule": "cosine", "projection": "paper", **SGD},
]
JOINTS = [
    {"name": "paper", "projection": PROJECTIONS[0], "tuning": TUNINGS[0]},
    {"name": "code", "projection": PROJECTIONS[1], "tuning": TUNINGS[1]},
]
ALTERED = {
    "decay": {"weight_decay": 0},
    "residual": {"residual": 0},
    "epsilon": {"epsilon": 1e-3},
    "normalise": {"normalise": False},
}
rng = np.random.default_rng(30)


def f32(x):
    return np.asarray(x, dtype=np.float32).astype(np.float64)


def rows_of_length_one(count):
    x = rng.normal(size=(count, D))
    return f32(x / np.linalg.norm(x, axis=1, keepdims=True))


def draw():
    text = rows_of_length_one(C + M)
    classes = [i % C for i in range(IMAGES)]

    def images(directions, spread, count):
        noise = spread * rng.normal(size=(count, D)) / math.sqrt(D)
        return f32((directions + noise) * rng.uniform(0.5, 3, size=(count, 1)))

    near = rng.integers(0, M, IMAGES)
    known = images(text[classes], 0.9, IMAGES)
    made = images(0.6 * text[classes] + 0.8 * text[C + near], 0.9, IMAGES)
    test = images(text[rng.integers(0, C + M, TEST)], 1.2, TEST)
    weights = {
        "projection.weight": f32(rng.uniform(-0.25, 0.25, (D, D))),
        "projection.bias": f32(rng.uniform(-0.25, 0.25, D)),
        "norm.weight": f32(1 + 0.1 * rng.normal(size=D)),
        "norm.bias": f32(0.1 * rng.normal(size=D)),
    }

    def batches(samples, size):
        order = np.concatenate([rng.permutation(samples) for _ in range(STEPS)])
        return order[: STEPS * size].reshape(STEPS, size).tolist()

    return {
        "text": text,
        "id": known,
        "id_labels": classes,
        "synthetic": made,
        "test": test,
        "weights": weights,
        "batches": {
            "projection": batches(2 * IMAGES, BATCH),
            "synthetic": batches(IMAGES, BATCH),
            "pairs": batches(IMAGES, BATCH // 2),
        },
    }


class Delta(nn.Module):
    def __init__(self, weights, run, dtype):
        super().__init__()
        self.projection = nn.Linear(D, D)
        self.norm = nn.LayerNorm(D, eps=run.get("epsilon", EPSILON))
        self.run = run
        self.to(dtype)
        state = {name: torch.tensor(value, dtype=dtype) for name, value in weights.items()}
        self.load_state_dict(state)

    def forward(self, features):
        f = normalize(features) if self.run["images"] == "unit" else features
        y = self.run.get("residual", 1) * f + torch.relu(self.norm(self.projection(f)))
        return normalize(y) if self.run.get("normalise", True) else y


def rate_of(run, step):
    if run["schedule"] == "constant":
        return run["rate"]
    at = step if run["schedule"] == "cosine" else EPOCH * (step // EPOCH)
    return run["floor"] + (run["rate"] - run["floor"]) * (1 + math.cos(math.pi * at / STEPS)) / 2


def adam(model, run):
    return torch.optim.Adam(model.parameters(), lr=run["rate"], weight_decay=run["weight_decay"])


def sgd(text, run):
    momentum, decay = run["momentum"], run["weight_decay"]
    return torch.optim.SGD([text], lr=run["rate"], momentum=momentum, weight_decay=decay)


class Training:
    """Losses of one data set, and what they are recorded in."""

    def __init__(self, data, dtype=torch.float64):
        self.dtype = dtype
        self.text, self.known, self.made, self.test = (
            torch.tensor(data[name], dtype=dtype) for name in ("text", "id", "synthetic", "test")
        )
        self.classes = torch.tensor(data["id_labels"])
        cosines = normalize(self.made) @ normalize(self.text[C:]).T
        self.assigned = cosines.argmax(dim=1)
        self.used = sorted(set(self.assigned.tolist()))
        self.place = torch.tensor([self.used.index(label) for label in self.assigned.tolist()])
        self.data = data

    def labels(self, choice, rows):
        """The rows of a choice, with `rows` for the used labels, and the synthetic images' targets."""
        if choice == "negatives":
            return rows, self.place
        if choice == "code":
            return torch.cat([self.text[:C], rows]), C + self.place
        every = self.text.clone()
        every = every.index_copy(0, C + torch.tensor(self.used), rows)
        return every, C + self.assigned

    def used_rows(self):
        return self.text[C:][self.used]

    def classified(self, projected, rows, targets):
        logits = SCALE * projected @ rows.T
        hits = (logits.argmax(dim=1) == targets).double().mean()
        return cross_entropy(logits, targets), hits

    def tuning_loss(self, run, images, text, targets):
        unit = normalize(text)
        if run["kind"] == "code":
            return self.classified(images, unit, targets)
        s = SCALE * unit[targets] @ images.T
        hits = (s.argmax(dim=1) == torch.arange(len(s))).double().mean()
        loss = -torch.log(torch.exp(s.diagonal()) / torch.exp(s).sum(dim=1)).mean()
        return loss, hits

    def projection(self, run):
        model = Delta(self.data["weights"], run, self.dtype)
        rows, made = self.labels(run["labels"], self.used_rows())
        alone = run["labels"] == "negatives"
        images = self.made if alone else torch.cat([self.known, self.made])
        targets = made if alone else torch.cat([self.classes, made])

        def losses(batch):
            loss, hits = self.classified(model(images[batch]), rows, targets[batch])
            return loss, {"loss": loss, "accuracy": hits}

        batches = self.data["batches"]["synthetic" if alone else "projection"]
        named = dict(model.named_parameters())
        result = self.descend(losses, batches, named, [(adam(model, run), run)])
        return model, {**run, **result, "scores": self.scores(model, self.used_rows())}

    def tuning(self, run, model):
        text = torch.nn.Parameter(run["length"] * self.used_rows())
        images = normalize(self.made) if model is None else model(self.made).detach()

        def losses(batch):
            loss, hits = self.tuning_loss(run, images[batch], text, self.place[batch])
            return loss, {"loss": loss, "accuracy": hits}

        batches = self.data["batches"]["synthetic"]
        result = self.descend(losses, batches, {"text": text}, [(sgd(text, run), run)])
        rows = normalize(text.detach())
        return {**run, **result, "text": flat(rows), "scores": self.scores(None, rows)}

    def joint(self, run):
        own, tuned = run["projection"], run["tuning"]
        model = Delta(self.data["weights"], own, self.dtype)
        text = torch.nn.Parameter(tuned["length"] * self.used_rows())

        def losses(batch):
            known, made = model(self.known[batch]), model(self.made[batch])
            rows, targets = self.labels(own["labels"], normalize(text))
            targets = torch.cat([self.classes[batch], targets[batch]])
            loss, hits = self.classified(torch.cat([known, made]), rows, targets)
            second, _ = self.tuning_loss(tuned, made, text, self.place[batch])
            return loss + second, {"loss": loss, "accuracy": hits, "label_loss": second}

        named = {**dict(model.named_parameters()), "text": text}
        optimisers = [(adam(model, own), own), (sgd(text, tuned), tuned)]
        result = self.descend(losses, self.data["batches"]["pairs"], named, optimisers)
        rows = normalize(text.detach())
        return {**run, **result, "text": flat(rows), "scores": self.scores(model, rows)}

    def descend(self, losses, batches, named, optimisers):
        result = {}
        for step, batch in enumerate(batches):
            for optimiser, run in optimisers:
                optimiser.param_groups[0]["lr"] = rate_of(run, step)
                optimiser.zero_grad()
            total, parts = losses(torch.tensor(batch))
            total.backward()
            if step == 0:
                grads = {name: flat(value.grad) for name, value in named.items()}
                result["gradients"] = grads
            for optimiser, _ in optimisers:
                optimiser.step()
            for name, value in parts.items():
                result.setdefault(name, []).append(digits(value.item()))
        result["final"] = {name: flat(value) for name, value in named.items()}
        return result

    def scores(self, model, rows):
        with torch.no_grad():
            x = normalize(self.test) if model is None else model(self.test)
            every, _ = self.labels("all", rows)
            powers = torch.exp(SCALE * x @ every.T)
            known, others = powers[:, :C].sum(dim=1), powers[:, C:]
            one = known / (known + others.sum(dim=1))
            each = (known[:, None] / (known[:, None] + others)).mean(dim=1)
            return {"1": flat(one), str(M): flat(each)}


def digits(value):
    return float(f"{value:.7g}")


def flat(tensor):
    return [digits(v) for v in tensor.detach().flatten().tolist()]


def run_all(training):
    models, projections = {}, []
    for run in PROJECTIONS:
        models[run["name"]], result = training.projection(run)
        projections.append(result)
    tunings = [training.tuning(run, models.get(run.get("projection"))) for run in TUNINGS]
    return models, projections, tunings, [training.joint(run) for run in JOINTS]


def drift(runs, single):
    """The largest differences of losses and of final parameters in float32."""
    again = run_all(single)[1:]
    pairs = [pair for kind in zip(runs, again) for pair in zip(*kind)]
    apart = [np.abs(np.subtract(a["loss"], b["loss"])).max() for a, b in pairs]
    final = [
        np.abs(np.subtract(a["final"][name], b["final"][name])).max()
        for a, b in pairs
        for name in a["final"]
    ]
    return {"loss": digits(max(apart)), "final": digits(max(final))}


def main():
    torch.set_num_threads(1)
    data = draw()
    training = Training(data)
    models, projections, tunings, joints = run_all(training)
    altered = {
        name: training.projection({**PROJECTIONS[0], **change})[1]["loss"]
        for name, change in ALTERED.items()
    }
    arrays = ("text", "id", "synthetic", "test")
    result = {
        "made_by": f"PyTorch {torch.__version__}",
        "sizes": {"width": D, "classes": C, "negatives": M, "epoch": EPOCH, "epsilon": EPSILON},
        "scale": SCALE,
        **{name: data[name].flatten().tolist() for name in arrays},
        "id_labels": data["id_labels"],
        "assigned": training.assigned.tolist(),
        "used": training.used,
        "weights": {
            name: {"shape": value.shape, "data": value.flatten().tolist()}
            for name, value in data["weights"].items()
        },
        "batches": data["batches"],
        "projections": projections,
        "tunings": tunings,
        "joints": joints,
        "altered": altered,
        "drift_f32": drift((projections, tunings, joints), Training(data, torch.float32)),
    }
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")


main()
