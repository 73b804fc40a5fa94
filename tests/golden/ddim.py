"""Makes ddim.json: noise schedules, visited steps and DDIM samplings in float64, by NumPy.

Run: python3 ddim.py ddim.json (NumPy 1.24.2).

The formulas are those of Song et al. (2021) and of Lin et al. (2024) for a terminal signal of zero; the
names of schedules, spacings and prediction types are diffusers'. What stands for the U-Net is
0.3 z + t / 1000, and the sampling goes from each visited step to the next.
"""
import json
import sys

import numpy as np

T = 1000


def betas(schedule, start, end):
    if schedule == "linear":
        return np.linspace(start, end, T)
    if schedule == "scaled_linear":
        return np.linspace(start ** 0.5, end ** 0.5, T) ** 2
    f = lambda u: np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    i = np.arange(T)
    return np.minimum(1 - f((i + 1) / T) / f(i / T), 0.999)


def alphas(schedule, start, end, zero):
    a = np.cumprod(1 - betas(schedule, start, end))
    if zero:
        r = np.sqrt(a)
        a = ((r - r[-1]) * r[0] / (r[0] - r[-1])) ** 2
    return a


def visited(spacing, steps, offset):
    if spacing == "leading":
        return ((np.arange(steps) * (T // steps)).round()[::-1] + offset).astype(int)
    if spacing == "trailing":
        return (np.round(np.arange(T, 0, -T / steps)) - 1).astype(int)
    return np.linspace(0, T - 1, steps).round()[::-1].astype(int)


def sample(a, final, steps, prediction, z):
    z = z * np.sqrt(a[steps[0]]) + np.sqrt(1 - a[steps[0]]) * np.array([0.5, -1.0, 2.0])
    for t, nxt in zip(steps, list(steps[1:]) + [None]):
        at, ap = a[t], final if nxt is None else a[nxt]
        out = 0.3 * z + t / 1000
        if prediction == "epsilon":
            z0, eps = (z - np.sqrt(1 - at) * out) / np.sqrt(at), out
        elif prediction == "sample":
            z0, eps = out, (z - np.sqrt(at) * out) / np.sqrt(1 - at)
        else:
            z0 = np.sqrt(at) * z - np.sqrt(1 - at) * out
            eps = np.sqrt(at) * out + np.sqrt(1 - at) * z
        z = np.sqrt(ap) * z0 + np.sqrt(1 - ap) * eps
    return z


runs = []
for schedule, start, end in [("linear", 1e-4, 0.02), ("scaled_linear", 0.00085, 0.012), ("squaredcos_cap_v2", 1e-4, 0.02)]:
    for zero in (False, True):
        a = alphas(schedule, start, end, zero)
        run = {"schedule": schedule, "start": start, "end": end, "zero": zero,
               "alphas": {str(t): a[t] for t in (0, 1, 2, 57, 500, 998, 999)}, "samplings": []}
        for spacing, count, offset, strength in [("leading", 20, 1, 0.6), ("trailing", 7, 0, 1.0), ("linspace", 9, 0, 0.5), ("leading", 1, 0, 1.0)]:
            steps = visited(spacing, count, offset)
            steps = steps[count - int(count * strength):]
            for prediction in ("epsilon", "v_prediction", "sample"):
                if a[steps[0]] == 0 and prediction == "epsilon":
                    continue
                if 1 - a[steps[-1]] == 0:
                    continue
                one = spacing == "trailing"
                run["samplings"].append({
                    "spacing": spacing, "steps": count, "offset": offset, "strength": strength,
                    "prediction": prediction, "toOne": one, "timesteps": [int(t) for t in steps],
                    "z": list(sample(a, 1.0 if one else a[0], steps, prediction, np.array([0.25, -0.75, 1.5]))),
                })
        runs.append(run)
json.dump({"trainSteps": T, "noise": [0.5, -1.0, 2.0], "begin": [0.25, -0.75, 1.5], "runs": runs}, open(sys.argv[1], "w"))
