"""Makes attention.json: multi-head attention over lists of different lengths, and its gradients, by
PyTorch's autograd in float64.

python3 attention.py attention.json

List n has lengths[n] queries and key_lengths[n] keys, in packed rows of 8 numbers: 2 heads of 4
columns each. A head's scores are q k^T / 2, softmax over the keys of the list; y = the sum of the
values by these weights, zeros without a key. log_sum_exp [queries, heads] is the logarithm of the
sum of the exponentials of the scores, given only for queries with a key (others are null). d_q,
d_k, d_v are the gradients of sum(y * d_y). In the case "self" q, k and v have the same lists, in
"cross" keys and values have others. Inputs are multiples of 1/256; results have 9 digits.
"""

import json
import sys

import numpy as np
import torch

WIDTH, HEADS = 8, 2
CASES = {
    "self": ([3, 0, 1, 11, 2, 0], [3, 0, 1, 11, 2, 0]),
    "cross": ([3, 0, 1, 9, 2, 4], [5, 2, 0, 4, 1, 17]),
}
rng = np.random.default_rng(20)


def draw(rows):
    values = np.round(rng.normal(size=(rows, WIDTH)) * 256) / 256
    return torch.tensor(values, requires_grad=True)


def attend(q, k, v, lengths, key_lengths):
    outputs, sums = [], []
    lists = zip(q.split(lengths), k.split(key_lengths), v.split(key_lengths))
    for queries, keys, values in lists:
        if len(keys) == 0:
            outputs.append(torch.zeros_like(queries))
            sums.extend([None] * (len(queries) * HEADS))
            continue
        heads = [x.unflatten(1, (HEADS, -1)).transpose(0, 1) for x in (queries, keys, values)]
        products = heads[0] @ heads[1].transpose(1, 2) / (WIDTH / HEADS) ** 0.5
        y = products.softmax(dim=-1) @ heads[2]
        outputs.append(y.transpose(0, 1).flatten(1))
        sums.extend(flat(products.logsumexp(dim=-1).T))
    return torch.cat(outputs), sums


def flat(tensor):
    return [float(f"{v:.9g}") for v in tensor.detach().flatten().tolist()]


def case(lengths, key_lengths):
    q, k, v = draw(sum(lengths)), draw(sum(key_lengths)), draw(sum(key_lengths))
    d_y = draw(sum(lengths)).detach()
    y, sums = attend(q, k, v, lengths, key_lengths)
    y.backward(d_y)
    inputs = {"q": q, "k": k, "v": v, "d_y": d_y}
    results = {"y": y, "d_q": q.grad, "d_k": k.grad, "d_v": v.grad}
    arrays = {name: flat(value) for name, value in (inputs | results).items()}
    return {"lengths": lengths, "key_lengths": key_lengths, **arrays, "log_sum_exp": sums}


cases = {name: case(*lengths) for name, lengths in CASES.items()}
made_by = f"PyTorch {torch.__version__}"
with open(sys.argv[1], "w", encoding="utf-8") as file:
    file.write(json.dumps({"made_by": made_by, "width": WIDTH, "heads": HEADS, **cases}) + "\n")
