"""Makes metrics.json: every metric convention by scikit-learn and NumPy on random scores.

Run: python3 metrics.py metrics.json (scikit-learn 1.2.1, NumPy 1.24.2).
"""
import json
import sys

import numpy as np
import sklearn
from sklearn import metrics as sk

SEED = 20240611

def openood(i, o):
    y = np.r_[np.zeros(len(i)), np.ones(len(o))]; c = np.r_[i, o]
    fpr, tpr, _ = sk.roc_curve(y, -c)
    pi, ri, _ = sk.precision_recall_curve(1 - y, c)
    po, ro, _ = sk.precision_recall_curve(y, -c)
    f2, t2, _ = sk.roc_curve(1 - y, c)
    return dict(auroc=sk.auc(fpr, tpr), fpr95=fpr[np.argmax(tpr >= .95)], fpr95_reverse=f2[np.argmax(t2 >= .95)],
                aupr_in=sk.auc(ri, pi), aupr_out=sk.auc(ro, po))

def kept(y, s):
    f, t, _ = sk.roc_curve(y, s, drop_intermediate=False)
    return f[np.argmax(t >= .95)]

def default(i, o):
    y = np.r_[np.ones(len(i)), np.zeros(len(o))]; c = np.r_[i, o]
    return dict(auroc=sk.roc_auc_score(y, c), fpr95=kept(y, c), fpr95_reverse=kept(1 - y, -c),
                aupr_in=sk.average_precision_score(y, c), aupr_out=sk.average_precision_score(1 - y, -c))

def pytorch_ood(i, o):
    d = default(i, o); a = openood(i, o)
    return dict(auroc=d['auroc'], fpr95=d['fpr95_reverse'], fpr95_reverse=d['fpr95'], aupr_in=a['aupr_in'], aupr_out=a['aupr_out'])

def lerp95(y, s):
    fpr, tpr, _ = sk.roc_curve(y, s)
    k = int(np.argmax(tpr >= .95))
    return ((.95 - tpr[k-1]) * fpr[k] + (tpr[k] - .95) * fpr[k-1]) / (tpr[k] - tpr[k-1])

def tagood(i, o):
    y = np.r_[np.ones(len(i)), np.zeros(len(o))]; c = np.r_[i, o]
    return dict(auroc=sk.roc_auc_score(y, c), fpr95=lerp95(y, c), fpr95_reverse=lerp95(1 - y, -c),
                aupr_in=sk.average_precision_score(y, c), aupr_out=sk.average_precision_score(1 - y, -c))

def above(i, o):
    return np.sum(o > np.sort(i)[round(.05 * len(i))]) / float(len(o))

def synood(i, o):
    # by definition: remove the l lowest samples, tied ones together
    a = np.sort(np.r_[i, o]); n = len(a)
    tp = np.zeros(n + 1, int); fp = np.zeros(n + 1, int)
    tp[0], fp[0] = len(i), len(o)
    for l in range(1, n + 1):
        tp[l] = np.sum(i > a[l-1]); fp[l] = np.sum(o > a[l-1])
    tpr = np.concatenate([[1.], tp / tp[0], [0.]]); fpr = np.concatenate([[1.], fp / fp[0], [0.]])
    auroc = -np.trapz(1. - fpr, tpr)
    den = tp + fp; ok = np.concatenate([[True], den > 0, [True]])
    p = np.concatenate([[.5], tp / np.where(den == 0, -1, den), [0.]])
    auin = -np.trapz(p[ok], tpr[ok])
    den = tp[0] - tp + fp[0] - fp; ok = np.concatenate([[True], den > 0, [True]])
    p = np.concatenate([[0.], (fp[0] - fp) / np.where(den == 0, -1, den), [.5]])
    auout = np.trapz(p[ok], 1. - fpr[ok])
    return dict(auroc=auroc, fpr95=above(i, o), fpr95_reverse=above(-o, -i), aupr_in=auin, aupr_out=auout,
                dterr=((tp[0] - tp + fp) / (tp[0] + fp[0])).min())

def nearest(i, o):
    # recall at each distinct threshold, cut at the first that reaches 1, read from the lowest up
    t = np.unique(np.r_[i, o])[::-1]
    r = np.array([np.sum(i >= x) for x in t]) / len(i); f = np.array([np.sum(o >= x) for x in t])
    k = int(np.argmax(r == 1)); r = r[k::-1]; f = f[k::-1]
    return f[np.argmin(np.abs(r - .95))] / len(o)

def neglabel(i, o):
    d = tagood(i, o)
    d['fpr95'] = nearest(i, o); d['fpr95_reverse'] = nearest(-o, -i)
    return d

def percentile(i, o):
    return np.mean(-o < np.percentile(-i, 95))

def ssd(i, o):
    d = tagood(i, o)
    d['fpr95'] = percentile(i, o); d['fpr95_reverse'] = percentile(-o, -i)
    return d

rng = np.random.default_rng(SEED)
cases = []
for n_id, n_ood, kind in [(1, 1, 'untied'), (2, 3, 'tied'), (7, 5, 'tied'), (10, 10, 'tied'), (20, 20, 'untied'), (30, 17, 'tied'),
                          (50, 40, 'untied'), (50, 70, 'tied'), (101, 64, 'untied'), (90, 130, 'saturated'), (200, 300, 'tied'), (310, 257, 'untied'), (400, 211, 'saturated')]:
    i = rng.normal(1., 1., n_id); o = rng.normal(0., 1.3, n_ood)
    if kind == 'tied':
        i = np.round(i * 4) / 4; o = np.round(o * 4) / 4
    if kind == 'saturated':
        i = np.minimum(i, 1.25); o = np.clip(o, -1, 1.25)
    i = i.astype(np.float32).astype(np.float64); o = o.astype(np.float32).astype(np.float64)
    cases.append(dict(kind=kind, id=i.tolist(), ood=o.tolist(), expected={k: {a: float(b) for a, b in f(i, o).items()} for k, f in
        [('default', default), ('openood', openood), ('pytorch-ood', pytorch_ood), ('tagood', tagood), ('synood', synood), ('neglabel', neglabel), ('ssd', ssd)]}))
json.dump(dict(seed=SEED, sklearn=sklearn.__version__, numpy=np.__version__, cases=cases), open(sys.argv[1], 'w'), separators=(',', ':'))
