"""Makes optimizer.json: ten steps of each optimiser in PyTorch, in float64.

python3 optimizer.py > optimizer.json
"""

import json

import torch

torch.manual_seed(20)
SIZE, STEPS, DECAYED = 12, 10, 8
f32 = lambda x: x.float().double()
start = f32(torch.randn(SIZE, dtype=torch.float64))
gradients = f32(torch.randn(STEPS, SIZE, dtype=torch.float64))

RUNS = [
    ("sgd", {"lr": 0.1}),
    ("sgd", {"lr": 0.1, "weight_decay": 0.05}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}),
    ("sgd", {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.01, "nesterov": True}),
    ("adam", {"lr": 0.01}),
    ("adam", {"lr": 0.02, "betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.1}),
    ("adamw", {"lr": 0.02, "weight_decay": 0.1}),
]
MAKE = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
NAMES = {"lr": "learningRate", "weight_decay": "weightDecay", "eps": "epsilon"}


def run(name, options, decayed, max_norm):
    head = start[:decayed].clone().requires_grad_()
    tail = start[decayed:].clone().requires_grad_()
    groups = [{"params": [head]}, {"params": [tail], "weight_decay": 0.0}]
    optimizer = MAKE[name](groups, **options)
    norms = []
    for g in gradients:
        head.grad, tail.grad = g[:decayed].clone(), g[decayed:].clone()
        if max_norm is not None:
            norms.append(float(torch.nn.utils.clip_grad_norm_([head, tail], max_norm)))
        optimizer.step()
    ours = {NAMES.get(k, k): v for k, v in options.items() if k != "betas"}
    if "betas" in options:
        ours["beta1"], ours["beta2"] = options["betas"]
    return {
        "optimizer": name,
        "options": {**ours, "decayed": decayed},
        **({} if max_norm is None else {"maxNorm": max_norm, "norms": norms}),
        "values": torch.cat([head, tail]).tolist(),
    }


print(
    json.dumps(
        {
            "parameters": start.tolist(),
            "gradients": gradients.tolist(),
            "runs": [run(*r, SIZE, None) for r in RUNS]
            + [run(*r, decayed, 3.0) for r in RUNS[2:] for decayed in (DECAYED, 5)],
        }
    )
)
