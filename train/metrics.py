"""What is measured of logits: top-1, top-5, calibration error, the temperature that calibrates best."""

import numpy as np


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def top(logits, labels, k):
    """Percent of rows whose label is among the k highest: float [N, C], int [N]."""
    return 100 * (np.argsort(-logits, 1)[:, :k] == labels[:, None]).any(1).mean()


def ece(logits, labels, bins=15):
    """Expected calibration error: the mean gap between confidence and accuracy over equal-width bins, 0..1."""
    p = softmax(logits)
    confidence, right = p.max(1), p.argmax(1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [(index == b).mean() * abs(confidence[index == b].mean() - right[index == b].mean())
            for b in range(bins) if (index == b).any()]
    return sum(gaps)


def best_temperature(logits, labels):
    """The divisor of the logits with the least mean negative log likelihood."""
    grid = np.exp(np.linspace(np.log(0.1), np.log(10), 400))
    loss = [-np.log(softmax(logits / t)[np.arange(len(labels)), labels] + 1e-12).mean() for t in grid]
    return float(grid[np.argmin(loss)])
