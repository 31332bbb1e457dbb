"""ResNets (He et al. 2016) as timm builds resnet10t, 18, 34 and 50: the same keys, starting values and numbers.

timm is not imported, for that brings torchvision and torch's compiler along, seconds of every start; any other backbone
is its own. The t stands for the deeper stem and averaged shortcuts of He et al. 2019, "Bag of Tricks".
Axes: B batch, C channels, H W.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.errors import InputError, check_number, check_whole, value_shown

# the blocks of each stage, and what a kind has of its own
KINDS: dict[str, dict[str, Any]] = {
    "resnet10t": {"layers": (1, 1, 1, 1), "deep": True, "stem_width": 32},
    "resnet18": {"layers": (2, 2, 2, 2)},
    "resnet34": {"layers": (3, 4, 6, 3)},
    "resnet50": {"layers": (3, 4, 6, 3), "bottleneck": True},
}
POOLS = ("avg", "catavgmax")
MOST = 200  # letters of a word, entries of a list, blocks of all stages: far beyond any backbone of timm's
KWARGS = ("in_chans", "channels", "stem_width", "global_pool", "drop_rate")


def covers(name: str, kwargs: dict) -> bool:
    """Whether timm's backbone of this name with these arguments is one of these."""
    if name not in KINDS or not set(kwargs) <= set(KWARGS) or kwargs.get("global_pool", "avg") not in POOLS:
        return False
    channels = kwargs.get("channels", (64, 128, 256, 512))
    return isinstance(channels, (list, tuple)) and len(channels) == 4


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, size_in: int, size: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1 = nn.Conv2d(size_in, size, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(size)
        self.conv2 = nn.Conv2d(size, size, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(size)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions beside a shortcut."""

    expansion = 4

    def __init__(self, size_in: int, size: int, stride: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1 = nn.Conv2d(size_in, size, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(size)
        self.conv2 = nn.Conv2d(size, size, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(size)
        self.conv3 = nn.Conv2d(size, size * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(size * self.expansion)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """x [B,C,H,W] => [B,num_classes]; the features where num_classes is 0. The names of methods are timm's."""

    def __init__(
        self,
        name: str,
        num_classes: int,
        *,
        in_chans: int = 3,
        channels: Sequence[int] = (64, 128, 256, 512),
        stem_width: int | None = None,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
    ):
        super().__init__()
        kind = KINDS[name]
        stem: int = kind.get("stem_width", 64) if stem_width is None else stem_width
        for value in (in_chans, stem, *channels):
            check_whole(value, f"A {name}'s number of channels", low=1, high=2**14)
        check_number(drop_rate, f"A {name}'s drop_rate", low=0, high=0.99)
        self.drop_rate = drop_rate
        deep = kind.get("deep", False)
        size = 2 * stem if deep else 64
        self.conv1 = _deep_stem(in_chans, stem) if deep else nn.Conv2d(in_chans, size, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(size)
        # of each map that forward_intermediates gives: channels, and pixels of the picture from one entry to the next
        self.feature_info = [{"num_chs": size, "reduction": 2}]
        block = Bottleneck if kind.get("bottleneck") else BasicBlock
        for i, (width, count) in enumerate(zip(channels, kind["layers"])):
            stage = []
            for j in range(count):
                stride = 2 if i and not j else 1
                out = width * block.expansion
                short = None if stride == 1 and size == out else _shortcut(size, out, stride, average=deep)
                stage.append(block(size, width, stride, short))
                size = out
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
            self.feature_info.append({"num_chs": size, "reduction": 4 * 2**i})
        self.num_features = size
        self.reset_classifier(num_classes, global_pool)
        self._start()

    def _start(self) -> None:
        """Starting values; every block begins as its shortcut."""
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        for part in self.modules():
            if isinstance(part, (BasicBlock, Bottleneck)):
                last = part.bn3 if isinstance(part, Bottleneck) else part.bn2
                nn.init.zeros_(last.weight)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Another last layer; global_pool "": the map itself, None: as it is."""
        self.pool = self.pool if global_pool is None else global_pool
        size = self.num_features * (2 if self.pool == "catavgmax" else 1)
        self.fc = nn.Linear(size, num_classes) if num_classes else nn.Identity()

    def forward_intermediates(self, x: Tensor, *, indices: Sequence[int], intermediates_only: bool) -> Any:
        """The maps of feature_info that indices name, and the last one before them unless intermediates_only."""
        x = F.relu(self.bn1(self.conv1(x)))
        maps = [x]
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
            maps.append(x)
        chosen = [map for i, map in enumerate(maps) if i in [index % len(maps) for index in indices]]
        return chosen if intermediates_only else (x, chosen)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map [B,C,H/32,W/32]"""
        return self.forward_intermediates(x, indices=(), intermediates_only=False)[0]

    def forward(self, x: Tensor) -> Tensor:
        x = self.forward_features(x)
        if self.pool:
            mean = x.mean((2, 3))
            x = torch.cat([mean, x.amax((2, 3))], dim=1) if self.pool == "catavgmax" else mean
        return self.fc(F.dropout(x, self.drop_rate, self.training) if self.drop_rate else x)


def _deep_stem(size_in: int, width: int) -> nn.Sequential:
    first = 3 * (width // 4)
    return nn.Sequential(
        nn.Conv2d(size_in, first, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(inplace=True),
        nn.Conv2d(first, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
    )


def _shortcut(size_in: int, size: int, stride: int, *, average: bool) -> nn.Sequential:
    """To another number of channels, and to half the size by an average or by leaving out every other place."""
    if not average:
        return nn.Sequential(nn.Conv2d(size_in, size, 1, stride=stride, bias=False), nn.BatchNorm2d(size))
    pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
    return nn.Sequential(pool, nn.Conv2d(size_in, size, 1, bias=False), nn.BatchNorm2d(size))


def backbone(name: str, num_classes: int, **kwargs) -> Any:
    """A backbone of timm's, untrained: one of these, or timm's own. InputError where timm has none of this name."""
    if covers(name, kwargs):
        return ResNet(name, num_classes, **kwargs)
    import timm

    if not timm.is_model(name):
        raise InputError(f"timm has no backbone called {name!r}.", "See timm.list_models() for the names.")
    for key, value in kwargs.items():
        long = isinstance(value, (str, list, tuple)) and len(value) > MOST
        if long or (key == "depths" and not _are_depths(value)):
            raise InputError(f"A backbone's {key} is {value_shown(value)}.", "Get the file again, or convert it again.")
    # spelt out, so that a file's kwargs cannot fetch or open another file
    return timm.create_model(name, pretrained=False, checkpoint_path="", num_classes=num_classes, **kwargs)


def _are_depths(value: object) -> bool:
    """Blocks of each stage, no more in all than a network has; a build of thousands takes many seconds."""
    return isinstance(value, (list, tuple)) and all(isinstance(n, int) for n in value) and 0 < sum(value) <= MOST
