"""Train the network, for a number of epochs or for a number of minutes.

    python train.py --cache CACHE --out OUT --epochs 30
    python train.py --cache CACHE --out OUT --budget-minutes 90
    torchrun --nproc-per-node 2 train.py --threads 1 …      on two cores that other work wants too

CACHE comes from prepare.py; if it holds teacher.npy (teach.py), its soft labels are used. OUT gets checkpoint.pt (every
few minutes and at the end; `--resume` goes on from it) and log.jsonl. With a budget in minutes the whole schedule
follows the clock, so that training ends on time however busy the machine is. Under torchrun each process takes its
share of every batch; on a busy machine one process per core loses less than one process with many threads, because
they wait for each other once per step instead of once per operation.
"""

import argparse
import copy
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from model import Net, normalise

SIDES = ((0.2, 32), (0.62, 48), (1.0, 64))  # side of the training pictures until each part of the training


class Data:
    """The training pictures with their targets, in memory."""

    def __init__(self, cache, soft_share):
        self.images = np.load(cache / "train_x.npy")
        labels = np.load(cache / "train_y.npy")
        self.labels = torch.from_numpy(labels)
        self.held = np.load(cache / "held.npy")
        self.seen = np.setdiff1d(np.arange(len(labels)), self.held)
        teacher = cache / "teacher.npy"
        self.teacher = torch.from_numpy(np.load(teacher)) if teacher.exists() else None
        self.soft_share = soft_share if teacher.exists() else 0.0

    def batch(self, picks):
        """int64 [B] -> uint8 [B, 64, 64, 3], float32 targets [B, 200]."""
        targets = F.one_hot(self.labels[picks], 200).float()
        targets = 0.9 * targets + 0.1 / 200
        if self.teacher is not None:
            soft = self.teacher[picks].float().softmax(1)
            targets = (1 - self.soft_share) * targets + self.soft_share * soft
        return torch.from_numpy(self.images[picks]), targets

    def batches(self, size):
        """Batches of the training part for ever, each epoch in a new order."""
        while True:
            order = np.random.permutation(self.seen)
            for start in range(0, len(order) - size + 1, size):
                yield self.batch(np.sort(order[start : start + size]))


def crop_and_flip(x, side, least):
    """Random crops of `least`..1 of the area, half of them mirrored: [N, 3, H, W] -> [N, 3, side, side]."""
    n, device = len(x), x.device
    area = least + (1 - least) * torch.rand(n, device=device)
    ratio = torch.exp((torch.rand(n, device=device) * 2 - 1) * math.log(4 / 3))
    w = (area * ratio).sqrt().clamp(max=1)
    h = (area / ratio).sqrt().clamp(max=1)
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0] = w * (torch.randint(0, 2, (n,), device=device) * 2 - 1)
    theta[:, 1, 1] = h
    theta[:, 0, 2] = (torch.rand(n, device=device) * 2 - 1) * (1 - w)
    theta[:, 1, 2] = (torch.rand(n, device=device) * 2 - 1) * (1 - h)
    grid = F.affine_grid(theta, (n, 3, side, side), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def jitter(n, device, strength=0.3):
    """Random contrast and brightness for n pictures: a gain and a lift for `normalise`, each [n, 1, 1, 1]."""
    gain, lift = (strength * (2 * torch.rand(2, n, 1, 1, 1, device=device) - 1)).unbind()
    return 1 + gain, lift


def cutmix(x, targets):
    """A rectangle of each picture comes from its neighbour in the batch, and so does that share of its target."""
    side = x.shape[-1]
    cut = side * math.sqrt(np.random.rand())
    (y0, y1), (x0, x1) = (
        (max(0, round(c - cut / 2)), min(side, round(c + cut / 2))) for c in np.random.rand(2) * side
    )
    x[:, :, y0:y1, x0:x1] = x.roll(1, 0)[:, :, y0:y1, x0:x1]
    share = (y1 - y0) * (x1 - x0) / side**2
    return x, (1 - share) * targets + share * targets.roll(1, 0)


def accuracy(net, images, labels, device, batch=250):
    """Top-1 of uint8 [N, 64, 64, 3] in percent."""
    net.eval()
    right = 0
    with torch.no_grad(), torch.autocast(device, torch.bfloat16):
        for start in range(0, len(images), batch):
            x = normalise(torch.from_numpy(images[start : start + batch]).to(device))
            right += (net(x).argmax(1).cpu() == labels[start : start + batch]).sum().item()
    return 100 * right / len(images)


def groups(net, weight_decay):
    """Parameters with weight decay (matrices, kernels) and without (biases, batch norm)."""
    many = [p for p in net.parameters() if p.ndim > 1]
    few = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": many, "weight_decay": weight_decay}, {"params": few, "weight_decay": 0.0}]


def side_at(progress):
    return next(side for until, side in SIDES if progress <= until)


def learning_rate(progress, peak, warmup=0.04):
    if progress < warmup:
        return peak * (0.05 + 0.95 * progress / warmup)
    return peak * (0.002 + 0.998 * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))))


@torch.no_grad()
def follow(ema, net, step, decay=0.999):
    """Move the averaged weights and batch-norm statistics towards the present ones."""
    rate = 1 - min(decay, (1 + step) / (10 + step))
    for slow, fast in zip(ema.state_dict().values(), net.state_dict().values()):
        if slow.is_floating_point():
            slow.lerp_(fast, rate)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--epochs", type=float)
    length.add_argument("--budget-minutes", type=float, help="in all, resumed runs included")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--batch", type=int, default=128, help="over all processes")
    parser.add_argument("--lr", type=float, default=0.15)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--soft-share", type=float, default=0.6, help="share of the teacher's label in the target")
    parser.add_argument("--least-area", type=float, default=0.4)
    parser.add_argument("--cutmix", type=float, default=0.1, help="share of batches")
    parser.add_argument("--plain-from", type=float, default=0.85, help="no cutmix and milder crops in the last part")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--save-minutes", type=float, default=3)
    args = parser.parse_args()

    many = "WORLD_SIZE" in os.environ
    if many:
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if many else (0, 1)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.cuda.set_device(rank)
    data = Data(args.cache, args.soft_share)
    net = Net().to(device, memory_format=torch.channels_last)
    ema = copy.deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.SGD(groups(net, args.weight_decay), lr=args.lr, momentum=0.9, nesterov=True)
    before, step = 0.0, 0  # seconds trained by earlier runs; batches seen
    path = args.out / "checkpoint.pt"
    if args.resume:
        saved = torch.load(path, map_location=device)
        net.load_state_dict(saved["net"])
        ema.load_state_dict(saved["ema"])
        optimiser.load_state_dict(saved["optimiser"])
        before, step = saved["seconds"], saved["step"]
    forward = net
    if many:
        forward = DistributedDataParallel(net, broadcast_buffers=False)
        forward.register_comm_hook(None, bf16_compress_hook)
    np.random.seed(step * world + rank)
    torch.manual_seed(step * world + rank)

    def save(seconds):
        state = {"net": net.state_dict(), "ema": ema.state_dict(), "optimiser": optimiser.state_dict()}
        torch.save(state | {"seconds": seconds, "step": step}, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)

    def agreed(value):
        """The first process's value, in all of them."""
        value = torch.tensor([float(value)], device=device, dtype=torch.float64)
        if many:
            distributed.broadcast(value, 0)
        return value.item()

    check = data.held[::2]
    held_images, held_labels = data.images[check], data.labels[check]
    losses, began, reported, reported_step = [], time.time(), time.time(), step
    for images, targets in data.batches(args.batch // world):
        seconds = before + agreed(time.time() - began)
        epoch = step * args.batch / len(data.seen)
        progress = epoch / args.epochs if args.epochs else seconds / 60 / args.budget_minutes
        done = progress >= 1
        if rank == 0 and (done or time.time() - reported > 60 * args.save_minutes):
            rate = (step - reported_step) * args.batch / (time.time() - reported)
            save(seconds)
            entry = {"minutes": seconds / 60, "progress": min(progress, 1), "epoch": epoch, "loss": np.mean(losses),
                     "held_top1": accuracy(ema, held_images, held_labels, device), "images_per_s": rate}
            line = json.dumps({k: round(float(v), 3) for k, v in entry.items()})
            print(line, flush=True)
            with open(args.out / "log.jsonl", "a") as log:
                log.write(line + "\n")
            losses, reported, reported_step = [], time.time(), step
        if done:
            break
        plain = progress > args.plain_from
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(progress, args.lr)
        x, targets = normalise(images.to(device), *jitter(len(images), device)), targets.to(device)
        x = crop_and_flip(x, side_at(progress), max(0.6, args.least_area) if plain else args.least_area)
        if not plain and np.random.rand() < args.cutmix:
            x, targets = cutmix(x, targets)
        net.train()
        with torch.autocast(device, torch.bfloat16):
            logits = forward(x.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), targets)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        if rank == 0:
            follow(ema, net, step)
        step += 1
        losses.append(loss.item())
    if many:
        distributed.barrier()
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
