"""The network: a small residual net for pictures of about 64x64."""

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

SIZE = 80  # side when serving: training crops enlarge things, so pictures somewhat larger than the crops suit best
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class ConvBN(nn.Sequential):
    """Convolution without bias, then batch norm; no activation."""

    def __init__(self, cin, cout, kernel=3, stride=1):
        super().__init__(
            nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(cout),
        )


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: [N, cin, H, W] -> [N, cout, H/stride, W/stride].

    Where the block halves the picture, the shortcut averages 2x2 pixels before its 1x1 convolution,
    so that no pixel is thrown away.
    """

    def __init__(self, cin, cout, stride=1):
        super().__init__()
        self.one = ConvBN(cin, cout, 3, stride)
        self.two = ConvBN(cout, cout)
        nn.init.zeros_(self.two[1].weight)
        self.shortcut = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.AvgPool2d(2), ConvBN(cin, cout, 1))

    def forward(self, x):
        y = self.two(F.relu(self.one(x), inplace=True))
        return F.relu(y + self.shortcut(x), inplace=True)


class Net(nn.Module):
    """[N, 3, S, S] normalised RGB -> [N, classes] logits, for any S that 16 divides.

    At S = 64 the stages work on 32x32, 16x16 and 8x8 positions. The first is thin, since it has the most positions and
    would otherwise take most of the time; there is none at 4x4, whose many weights would be slow to train on a CPU.
    """

    def __init__(self, classes=200, widths=(32, 96, 224), depths=(1, 2, 3), features=512):
        super().__init__()
        self.stem = ConvBN(3, widths[0], 3, 2)
        blocks, cin = [], widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths)):
            for i in range(depth):
                blocks.append(Block(cin, width, 2 if stage > 0 and i == 0 else 1))
                cin = width
        self.blocks = nn.Sequential(*blocks)
        self.neck = ConvBN(cin, features, 1)
        self.head = nn.Linear(features, classes)

    def forward(self, x):
        x = F.relu(self.stem(x), inplace=True)
        x = F.relu(self.neck(self.blocks(x)), inplace=True)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def normalise(images, gain=1.0, lift=0.0):
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W], channels last; gain and lift act on the normalised values."""
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) * 255 for v in (MEAN, STD))
    scale = gain / std
    return torch.addcmul(lift - mean * scale, images.permute(0, 3, 1, 2).float(), scale)


def serve(image, size=SIZE):
    """As the service does it: a PIL RGB picture of any size -> float32 [3, size, size].

    Short side to `size` with an antialiased bilinear filter, centre crop, normalise.
    """
    short = min(image.size)
    image = image.resize([max(size, round(side * size / short)) for side in image.size], Image.BILINEAR)
    left, upper = (image.width - size) // 2, (image.height - size) // 2
    x = np.asarray(image.crop((left, upper, left + size, upper + size)), dtype=np.float32) / 255
    return ((x - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)
