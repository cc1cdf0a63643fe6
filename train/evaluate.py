"""Measure the ONNX file as it is served, and write its card.

    python evaluate.py --data DIR --photos PHOTOS --onnx ../models/ocelli-200.onnx [--card ../models/ocelli-200.json]

DIR holds val.tar and wnids.txt. PHOTOS is a folder of full-size photographs with truth.csv (columns file, wnid); those
of our classes are counted.
"""

import argparse
import csv
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image

from metrics import ece, top
from model import MEAN, SIZE, STD, serve
from prepare import decode, read_wnids

DESCRIPTION = "A small residual network for the 200 classes of Tiny ImageNet, trained from scratch."
LICENSE = "Apache-2.0; trained on ImageNet pictures, whose own terms are non-commercial research and education"


def run(session, pictures, batch=50):
    """List of float32 [3, S, S] -> float32 [N, 200]."""
    parts = [np.stack(pictures[i : i + batch]) for i in range(0, len(pictures), batch)]
    return np.concatenate([session.run(["logits"], {"image": part})[0] for part in parts])


def speed(session, batch, seconds=3):
    """Pictures per second of one caller; best of the runs, since other work only slows it down."""
    x = np.random.default_rng(0).standard_normal((batch, 3, SIZE, SIZE), dtype=np.float32)
    best, end = np.inf, time.time() + seconds
    while time.time() < end:
        start = time.perf_counter()
        session.run(["logits"], {"image": x})
        best = min(best, time.perf_counter() - start)
    return batch / best


def rounded(**values):
    return {k: v if isinstance(v, int) else round(float(v), 4 if k == "ece" else 2) for k, v in values.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--card", type=Path)
    args = parser.parse_args()

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(args.onnx, options, providers=["CPUExecutionProvider"])
    wnids = read_wnids(args.data)

    images, labels = decode([args.data / "val.tar"], wnids)
    logits = run(session, [serve(Image.fromarray(x)) for x in images])
    val = rounded(n=len(labels), top1=top(logits, labels, 1), top5=top(logits, labels, 5), ece=ece(logits, labels))

    rows = [row for row in csv.DictReader(open(args.photos / "truth.csv")) if row["wnid"] in wnids]
    truth = np.array([wnids.index(row["wnid"]) for row in rows])
    photos = [serve(Image.open(args.photos / row["file"]).convert("RGB")) for row in rows]
    logits = run(session, photos)
    shot = rounded(n=len(truth), top1=top(logits, truth, 1), top5=top(logits, truth, 5))

    print(json.dumps({"Tiny ImageNet, validation": val, "Photographs": shot}))
    print(f"one thread: {speed(session, 1):.0f} img/s one by one, {speed(session, 8):.0f} in batches of 8")
    if args.card:
        card = {
            "name": args.onnx.stem, "version": "1", "description": DESCRIPTION, "license": LICENSE,
            "source": "train/ in this repository", "sha256": hashlib.sha256(args.onnx.read_bytes()).hexdigest(),
            "task": "classification",
            "input": {"name": "image", "layout": "NCHW", "channels": "RGB", "type": "float32"},
            "preprocess": {"preset": "imagenet", "resize": SIZE, "crop": SIZE, "interpolation": "bilinear",
                           "scale": 1 / 255, "mean": MEAN, "std": STD},
            "output": {"name": "logits", "activation": "none"},
            "temperature": 1.0, "labels": "tiny-imagenet-200",
            "metrics": {"Tiny ImageNet, validation": val, "Photographs": shot},
        }
        args.card.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
