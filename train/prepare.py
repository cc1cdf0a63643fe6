"""Decode the packed Tiny ImageNet once into uint8 arrays on disk.

    python prepare.py --data DIR --out CACHE

DIR holds train-*.tar, val.tar (members `train|val/<wnid>/<file>`) and wnids.txt.
CACHE gets, with the classes numbered in sorted order of their WordNet ids:

    train_x.npy  uint8 [100000, 64, 64, 3] RGB     train_y.npy  int64 [100000]
    val_x.npy    uint8 [ 10000, 64, 64, 3] RGB     val_y.npy    int64 [ 10000]
    held.npy     int64 [  5000]  indices of the training images held out (25 of every class)

The held-out images are never trained on: they choose the temperature.
"""

import argparse
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

HELD_PER_CLASS = 25


def read_wnids(data):
    return sorted((Path(data) / "wnids.txt").read_text().split())


def decode(tars, wnids):
    """Every image of the tars as (uint8 [N, 64, 64, 3], int64 [N]), in the order of the members."""
    index = {wnid: i for i, wnid in enumerate(wnids)}
    images, labels = [], []
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                if not member.isfile():
                    continue
                with Image.open(io.BytesIO(tar.extractfile(member).read())) as image:
                    images.append(np.asarray(image.convert("RGB")))
                labels.append(index[member.name.split("/")[-2]])
    return np.stack(images), np.array(labels, dtype=np.int64)


def hold_out(labels, per_class, seed=0):
    """Sorted indices of `per_class` random examples of every class."""
    rng = np.random.default_rng(seed)
    picks = [rng.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in np.unique(labels)]
    return np.sort(np.concatenate(picks))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    wnids = read_wnids(args.data)
    splits = {"train": sorted(args.data.glob("train-*.tar")), "val": [args.data / "val.tar"]}
    for split, tars in splits.items():
        images, labels = decode(tars, wnids)
        np.save(args.out / f"{split}_x.npy", images)
        np.save(args.out / f"{split}_y.npy", labels)
        print(f"{split}: {len(images)} images of {len(np.unique(labels))} classes")
        if split == "train":
            np.save(args.out / "held.npy", hold_out(labels, HELD_PER_CLASS))


if __name__ == "__main__":
    main()
