"""Makes labels.json: MCM and NegLabel of a few images and labels in float64 NumPy.

python3 labels.py > labels.json

Nothing here is shared with the project: shares are softmaxes written out group by group, and the
shuffle of negative labels is a second implementation of the project's generator (Philox4x32-10).
"""

import json

import numpy as np

IMAGES, WIDTH, CLASSES, NEGATIVES = 16, 24, 7, 53
rng = np.random.default_rng(40)


def f32(x):
    return np.asarray(x, np.float32).astype(np.float64)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def philox(block, seed):
    """Four words of block `block` of stream 0."""
    mask = 0xFFFFFFFF
    c = [block & mask, block >> 32, 0, 0]
    k = [seed & mask, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & mask, (a >> 32) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c


def words(seed):
    block = 0
    while True:
        yield from philox(block, seed)
        block += 1


def shuffled(count, seed):
    """Fisher and Yates, from the end, with Lemire's unbiased integers."""
    order = list(range(count))
    source = words(seed)
    for i in range(count - 1, 0, -1):
        n = i + 1
        while True:
            product = next(source) * n
            if product % 2**32 >= (2**32 - n) % n:
                break
        j = product >> 32
        order[i], order[j] = order[j], order[i]
    return order


text = f32(unit(rng.normal(size=(CLASSES + NEGATIVES, WIDTH))))
nearest = rng.integers(0, CLASSES + NEGATIVES, IMAGES)
# Encoders do not give unit length.
images = f32(3 * text[nearest] + 0.9 * rng.normal(size=(IMAGES, WIDTH)))
cosines = unit(images) @ unit(text).T


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def mcm(tau):
    return softmax(cosines[:, :CLASSES] / tau).max(axis=1)


def neg_label(groups, tau, seed):
    groups = min(max(groups, 1), NEGATIVES)
    kept = NEGATIVES - NEGATIVES % groups
    own, others = cosines[:, :CLASSES], cosines[:, CLASSES:][:, shuffled(kept, seed)]
    shares = [
        softmax(np.hstack([own, part]) / tau)[:, :CLASSES].sum(axis=1)
        for part in np.split(others, groups, axis=1)
    ]
    return np.mean(shares, axis=0)


LOGIT_SCALE = 25

print(
    json.dumps(
        {
            "images": images.ravel().tolist(),
            "text": text.ravel().tolist(),
            "shape": {
                "images": IMAGES,
                "width": WIDTH,
                "classes": CLASSES,
                "negatives": NEGATIVES,
            },
            "logit_scale": LOGIT_SCALE,
            "scores": [
                {"method": name, "parameters": parameters, "seed": seed, "values": values.tolist()}
                for name, parameters, seed, values in [
                    ("mcm", {}, 0, mcm(1)),
                    ("mcm", {"tau": 0.01}, 0, mcm(0.01)),
                    ("neg_label", {}, 0, neg_label(100, 1 / LOGIT_SCALE, 0)),
                    ("neg_label", {"groups": 10}, 0, neg_label(10, 1 / LOGIT_SCALE, 0)),
                    ("neg_label", {"groups": 10}, 5, neg_label(10, 1 / LOGIT_SCALE, 5)),
                    ("neg_label", {"groups": 1, "tau": 0.01}, 0, neg_label(1, 0.01, 0)),
                    ("neg_label", {"groups": 0, "tau": 0.1}, 0, neg_label(0, 0.1, 0)),
                    ("csp", {"groups": 4, "tau": 0.02}, 0, neg_label(4, 0.02, 0)),
                ]
            ],
        }
    )
)
