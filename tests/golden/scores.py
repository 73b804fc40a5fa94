"""Makes scores.json: the scores of a tiny problem in float64 NumPy.

python3 scores.py > scores.json

Nothing here is shared with the project: the formulas are written out the long way.
"""

import json

import numpy as np

CLASSES, CHANNELS, TRAIN, TEST = 5, 12, 60, 20
rng = np.random.default_rng(20)


def f32(x):
    return np.asarray(x, np.float32).astype(np.float64)


centres = rng.normal(size=(CLASSES, CHANNELS)) * 1.5
labels = rng.integers(0, CLASSES, TRAIN)
labels[:CLASSES] = np.arange(CLASSES)
mixing = rng.normal(size=(CHANNELS, CHANNELS)) * 0.4
features = f32(np.maximum(centres[labels] + rng.normal(size=(TRAIN, CHANNELS)) @ mixing, 0))
weight = f32(centres * 0.4 + 0.1 * rng.normal(size=centres.shape))
bias = f32(rng.normal(size=CLASSES) * 0.3)
test_labels = rng.integers(0, CLASSES, TEST)
test = centres[test_labels] + rng.normal(size=(TEST, CHANNELS)) @ mixing
test[TEST // 2 :] = rng.normal(size=(TEST - TEST // 2, CHANNELS)) * 2.5
test = f32(np.maximum(test, 0))
maps = f32(rng.normal(size=(TEST, 3, 2, 2)))
logits = f32(test @ weight.T + bias)
odin_logits = f32(1.2 * logits - 0.1)


def lse(z):
    top = z.max(axis=1, keepdims=True)
    return np.log(np.exp(z - top).sum(axis=1)) + top[:, 0]


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def odin(temperature):
    """A form of the largest softmax p that grows with it and keeps its digits."""
    p = softmax(odin_logits / temperature).max(axis=1)
    return temperature * (1 - 1 / (CLASSES * p))


def grad_norm():
    """The gradient itself: of -sum(log p) by a weight of class k it is (K p_k - 1) a."""
    gradient = (CLASSES * softmax(logits) - 1)[:, :, None] * test[:, None, :]
    return np.abs(gradient).sum(axis=(1, 2))


def react(percentile):
    clip = np.percentile(features, percentile)
    return lse(np.minimum(test, clip) @ weight.T + bias)


def sparse_head(sparsity):
    contributions = weight * features.mean(axis=0)
    return np.where(contributions > np.percentile(contributions, sparsity), weight, 0)


def dice(sparsity):
    return lse(test @ sparse_head(sparsity).T + bias)


def dice_react(sparsity, percentile):
    clip = np.percentile(features, percentile)
    return lse(np.minimum(test, clip) @ sparse_head(sparsity).T + bias)


def largest(percentile):
    k = CHANNELS - int(np.round(CHANNELS * percentile / 100))
    kept = np.zeros(test.shape, bool)
    np.put_along_axis(kept, np.argsort(-test, axis=1, kind="stable")[:, :k], True, axis=1)
    return kept, k


def ash(variant, percentile):
    kept, k = largest(percentile)
    pruned = np.where(kept, test, 0)
    total = test.sum(axis=1, keepdims=True)
    if variant == "b":
        shaped = np.where(kept, total / k, 0)
    elif variant == "p":
        shaped = pruned
    else:
        shaped = pruned * np.exp(total / pruned.sum(axis=1, keepdims=True))
    return lse(shaped @ weight.T + bias)


def scale(percentile):
    kept, _ = largest(percentile)
    total = test.sum(axis=1, keepdims=True)
    share = np.where(kept, test, 0).sum(axis=1, keepdims=True)
    return lse((test * np.exp(total / share)) @ weight.T + bias)


def line(clip, p_a, p_w):
    clipped = np.minimum(test, clip)
    predicted = (clipped @ weight.T + bias).argmax(axis=1)
    logits = []
    for a, y in zip(clipped, predicted):
        contributions = features[labels == y].mean(axis=0) * weight[y]
        products = np.abs(contributions) * weight
        kept_weight = np.where(products > np.percentile(products, p_w), weight, 0)
        kept = np.where(contributions > np.percentile(contributions, p_a), a, 0)
        logits.append(kept_weight @ kept + bias)
    return lse(np.stack(logits))


def lhact(low, high):
    u = np.maximum(test, low)
    bent = u / np.sqrt(1 + (u / high) ** 4) + low
    return lse(np.where(u < high, u, bent) @ weight.T + bias)


def gen(gamma, top):
    p = -np.sort(-softmax(logits), axis=1)[:, :top]
    return -((p**gamma) * ((1 - p) ** gamma)).sum(axis=1)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def knn(k):
    bank, queries = unit(features), unit(test)
    distances = ((queries[:, None, :] - bank[None, :, :]) ** 2).sum(axis=2)
    return -np.sort(distances, axis=1)[:, k - 1]


def pseudo_inverse(covariance):
    values, vectors = np.linalg.eigh(covariance)
    keep = np.abs(values) > CHANNELS * np.finfo(np.float32).eps * np.abs(values).max()
    return (vectors[:, keep] / values[keep]) @ vectors[:, keep].T


def class_distances():
    means = np.stack([features[labels == c].mean(axis=0) for c in range(CLASSES)])
    centred = features - means[labels]
    precision = pseudo_inverse(centred.T @ centred / TRAIN)
    return [
        np.einsum("nc,cd,nd->n", test - mean, precision, test - mean) for mean in means
    ]


def mahalanobis():
    return -np.min(class_distances(), axis=0)


def rmds():
    gap = test - features.mean(axis=0)
    precision = pseudo_inverse(np.cov(features, rowvar=False, bias=True))
    return mahalanobis() + np.einsum("nc,cd,nd->n", gap, precision, gap)


def ssd():
    known, queries = unit(features), unit(test)
    mean, deviation = known.mean(axis=0), known.std(axis=0) + 1e-10
    known, queries = (known - mean) / deviation, (queries - mean) / deviation
    precision = pseudo_inverse(np.cov(known, rowvar=False, bias=True))
    gap = queries - known.mean(axis=0)
    return -np.einsum("nc,cd,nd->n", gap, precision, gap)


def vim(dim):
    origin = -np.linalg.pinv(weight) @ bias
    shifted = features - origin
    values, vectors = np.linalg.eigh(shifted.T @ shifted / TRAIN)
    residual = vectors[:, np.argsort(values)[::-1]][:, dim:]
    norms = np.linalg.norm(shifted @ residual, axis=1)
    alpha = (features @ weight.T + bias).max(axis=1).mean() / norms.mean()
    z = test @ weight.T + bias
    return lse(z) - alpha * np.linalg.norm((test - origin) @ residual, axis=1)


def feature_norm():
    return np.sqrt((np.maximum(maps, 0) ** 2).sum(axis=(2, 3))).mean(axis=1)


def rounded(x):
    return [float(f"{v:.9g}") for v in np.ravel(x)]


print(
    json.dumps(
        {
            "shape": {"classes": CLASSES, "channels": CHANNELS, "train": TRAIN, "test": TEST},
            "train": {"features": rounded(features), "labels": [int(v) for v in labels]},
            "head": {"weight": rounded(weight), "bias": rounded(bias)},
            "test": {
                "features": rounded(test),
                "logits": rounded(logits),
                "odin_logits": rounded(odin_logits),
                "feature_map": rounded(maps),
                "feature_map_shape": list(maps.shape),
            },
            "scores": [
                {"method": name, "parameters": parameters, "values": [float(v) for v in values]}
                for name, parameters, values in [
                    ("msp", {}, softmax(logits).max(axis=1)),
                    ("max_logit", {}, logits.max(axis=1)),
                    ("energy", {}, lse(logits)),
                    ("energy", {"temperature": 2}, 2 * lse(logits / 2)),
                    ("odin", {}, odin(1000)),
                    ("odin", {"temperature": 2}, odin(2)),
                    ("grad_norm", {}, grad_norm()),
                    ("react", {}, react(90)),
                    ("react", {"percentile": 75}, react(75)),
                    ("dice", {}, dice(90)),
                    ("dice", {"sparsity": 40}, dice(40)),
                    ("dice_react", {}, dice_react(90, 90)),
                    ("dice_react", {"sparsity": 30, "percentile": 70}, dice_react(30, 70)),
                    ("ash", {}, ash("b", 90)),
                    ("ash", {"percentile": 65}, ash("b", 65)),
                    ("ash", {"percentile": 12.5}, ash("b", 12.5)),
                    ("ash", {"percentile": 37.5}, ash("b", 37.5)),
                    ("ash", {"variant": 1, "percentile": 80}, ash("p", 80)),
                    ("ash", {"variant": 2}, ash("s", 90)),
                    ("ash", {"variant": 2, "percentile": 70}, ash("s", 70)),
                    ("scale", {}, scale(85)),
                    ("scale", {"percentile": 65}, scale(65)),
                    ("line", {}, line(np.percentile(features, 90), 90, 90)),
                    (
                        "line",
                        {"clip": 0.8, "activation_percentile": 10, "weight_percentile": 10},
                        line(0.8, 10, 10),
                    ),
                    (
                        "line",
                        {"percentile": 80, "activation_percentile": 50, "weight_percentile": 60},
                        line(np.percentile(features, 80), 50, 60),
                    ),
                    ("lhact", {}, lhact(*np.percentile(features, [40, 95]))),
                    (
                        "lhact",
                        {"low_percentile": 60, "high_percentile": 80},
                        lhact(*np.percentile(features, [60, 80])),
                    ),
                    ("lhact", {"l": 0.25, "h": 1.5}, lhact(0.25, 1.5)),
                    ("gen", {}, gen(0.1, 100)),
                    ("gen", {"gamma": 0.5, "top": 3}, gen(0.5, 3)),
                    ("gen", {"gamma": 2, "top": 1}, gen(2, 1)),
                    ("knn", {}, knn(50)),
                    ("knn", {"k": 1}, knn(1)),
                    ("knn", {"k": 7}, knn(7)),
                    ("mahalanobis", {}, mahalanobis()),
                    ("rmds", {}, rmds()),
                    ("ssd", {}, ssd()),
                    ("vim", {}, vim(CHANNELS // 2)),
                    ("vim", {"dim": 11}, vim(11)),
                    ("feature_norm", {}, feature_norm()),
                ]
            ],
        }
    )
)
