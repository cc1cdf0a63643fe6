"""Soft labels of a teacher: an ImageNet-1000 classifier looks at the training pictures enlarged.

    python teach.py --model mobilenet_v2.onnx --cache CACHE [--views plain mirror]

The teacher takes NCHW RGB float in -1..1 at 224x224 and gives 1000 logits. On pictures of 64x64 its own 200-way answer
is poor (they are blurred for it), so a linear layer from its 1000 logits to our 200 classes is fitted on the training
pictures (less the held-out ones), and that layer's answers are the soft labels. Writes to CACHE:

    teacher_plain.npy   float16 [100000, 1000]  the teacher's logits (made once, kept)
    teacher_mirror.npy  float16 [100000, 1000]  the same of the mirrored pictures, if asked for
    teacher.npy         float16 [100000, 200]   the soft labels, as logits

Only teacher.npy is used in training, never the teacher's weights.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from PIL import Image
from torch.nn import functional as F


def enlarge(images, size=224):
    """uint8 [N, 64, 64, 3] -> float32 [N, 3, size, size] in -1..1."""
    big = np.stack([np.asarray(Image.fromarray(x).resize((size, size), Image.BICUBIC)) for x in images])
    return np.ascontiguousarray(big.transpose(0, 3, 1, 2), dtype=np.float32) / 127.5 - 1


def ask(session, images, mirror, batch=16, threads=2):
    """uint8 [N, 64, 64, 3] -> float16 [N, 1000]."""
    name = session.get_inputs()[0].name

    def one(start):
        part = images[start : start + batch]
        return session.run(None, {name: enlarge(part[:, :, ::-1] if mirror else part)})[0].astype(np.float16)

    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(one, range(0, len(images), batch))))


def fit(x, y, held, epochs=6, batch=500, smoothing=0.1):
    """A linear layer on standardised logits: float32 [N, D], int64 [N] -> float32 [N, 200]."""
    x = (x - x.mean(0)) / x.std(0)
    layer = torch.nn.Linear(x.shape[1], int(y.max()) + 1)
    torch.nn.init.zeros_(layer.weight)
    seen = np.setdiff1d(np.arange(len(x)), held)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=2e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=epochs * (len(seen) // batch))
    for _ in range(epochs):
        for picks in torch.from_numpy(np.random.permutation(seen)).split(batch):
            if len(picks) < batch:
                break
            F.cross_entropy(layer(x[picks]), y[picks], label_smoothing=smoothing).backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
    with torch.no_grad():
        out = layer(x)
    right = 100.0 * (out.argmax(1) == y)
    print(f"fitted teacher: top-1 {right[seen].mean():.1f} seen, {right[held].mean():.1f} held out")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--views", nargs="+", choices=["plain", "mirror"], default=["plain"])
    args = parser.parse_args()
    torch.manual_seed(0)
    np.random.seed(0)

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    images = np.load(args.cache / "train_x.npy")
    views = []
    for view in args.views:
        path = args.cache / f"teacher_{view}.npy"
        if not path.exists():
            start = time.time()
            np.save(path, ask(session, images, view == "mirror"))
            print(f"{path.name}: {len(images) / (time.time() - start):.0f} img/s", flush=True)
        views.append(np.load(path).astype(np.float32))
    x = torch.from_numpy(sum(views) / len(views))
    y = torch.from_numpy(np.load(args.cache / "train_y.npy"))
    np.save(args.cache / "teacher.npy", fit(x, y, np.load(args.cache / "held.npy")).numpy().astype(np.float16))


if __name__ == "__main__":
    main()
