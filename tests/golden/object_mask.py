"""Makes object_mask.json: which tokens TagOOD keeps as objects, in float64 NumPy.

python3 object_mask.py object_mask.json

Eight images have attention maps of 7 tags over 21 tokens in 2 heads, and a logit for each tag. Four
of the tags, "tags", are in-distribution; tag tags[v] is predicted where its logit is above
thresholds[v]. The tags used are the predicted ones; with "fallback", where none is predicted, the
one with the highest logit minus threshold; with "only", the one that it names for the image (a
position in "tags") whether predicted or not, and none where it is -1.

The heads' maps are added. The map of each tag used is moved and scaled to 0 ... 1; a constant one
becomes 1 everywhere. A token's value is its largest over the tags used, and it is kept when that is
above tau. tau = 0 keeps every token of an image with a tag used. An image without one keeps none.

Results of each case: keep, flat [8, 21]; counts, the number kept; tagged, the number of predicted
ID tags, whatever was used; score, the sigmoid of the largest logit of an ID tag.

Attention is in multiples of 1/1024, so that its sums are exact in f32; no value is within 1e-4 of a
tau. Images 0 to 7 have one tag, three tags, no tag, a constant map alone (each head's map varies,
their sum does not), a constant map beside another, a logit equal to its threshold, predicted tags
that are all out of distribution, all tags.
"""

import json
import sys

import numpy as np

N, HEADS, M, T = 8, 2, 7, 21
TAGS = np.array([5, 0, 3, 2])
THRESHOLDS = np.array([0.5, -0.25, 0.0, 0.75])
TAUS = [0, 0.3, 0.5, 0.7]
PREDICTED = [[2], [0, 1, 3], [], [1], [0, 2], [], [], [0, 1, 2, 3]]
ONLY = [0, 1, 3, 1, -1, 2, 2, -1]
rng = np.random.default_rng(21)


def draw():
    # Cubed, so that most of a map is low.
    attention = np.round(rng.random((N, HEADS, M, T)) ** 3 * 1024) / 1024
    for image, tag in ((3, TAGS[1]), (4, TAGS[2])):
        attention[image, 1, tag] = 1 - attention[image, 0, tag]
    logits = np.round(rng.normal(size=(N, M)) * 2 * 64) / 64
    for image, tags in enumerate(PREDICTED):
        above = np.isin(np.arange(len(TAGS)), tags)
        distance = np.round(rng.uniform(0.1, 3, len(TAGS)) * 64) / 64
        logits[image, TAGS] = THRESHOLDS + np.where(above, distance, -distance)
    logits[5, TAGS[3]] = THRESHOLDS[3]
    # Nearest to its threshold is tag 1, the highest logit has tag 3.
    logits[2, TAGS] = THRESHOLDS - [2, 0.125, 1, 0.5]
    logits[6, [1, 4, 6]] = 4
    return attention, logits


def chosen(image, logits, only, fallback):
    margins = logits[image, TAGS] - THRESHOLDS
    if only is not None:
        return [only[image]] if only[image] >= 0 else []
    above = np.flatnonzero(margins > 0).tolist()
    return above if above or not fallback else [int(margins.argmax())]


def case(attention, logits, tau, only=None, fallback=False):
    keep = np.zeros((N, T), int)
    for image in range(N):
        values = np.full(T, -np.inf)
        used = chosen(image, logits, only, fallback)
        for v in used:
            summed = attention[image, :, TAGS[v]].sum(axis=0)
            low, high = summed.min(), summed.max()
            one = (summed - low) / (high - low) if high > low else np.ones(T)
            values = np.maximum(values, one)
        assert (abs(values - tau) > 1e-4).all() or tau == 0
        keep[image] = values > tau if tau > 0 else len(used) > 0
    own = logits[:, TAGS]
    return {
        "tau": tau,
        "only": only,
        "fallback": fallback,
        "keep": keep.flatten().tolist(),
        "counts": keep.sum(axis=1).tolist(),
        "tagged": (own > THRESHOLDS).sum(axis=1).tolist(),
        "score": [float(f"{v:.9g}") for v in 1 / (1 + np.exp(-own.max(axis=1)))],
    }


attention, logits = draw()
ways = [{}, {"fallback": True}, {"only": ONLY}]
cases = [case(attention, logits, tau, **way) for way in ways for tau in TAUS]
result = {
    "made_by": f"NumPy {np.__version__}",
    "attention": {"shape": attention.shape, "data": attention.flatten().tolist()},
    "tag_logits": {"shape": logits.shape, "data": logits.flatten().tolist()},
    "tags": TAGS.tolist(),
    "thresholds": THRESHOLDS.tolist(),
    "cases": cases,
}
with open(sys.argv[1], "w", encoding="utf-8") as file:
    file.write(json.dumps(result) + "\n")
