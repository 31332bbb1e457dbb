"""Pictures that explain: labelled sheets, loss curves, tables of what was heard."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ..common.files import replacing
from ..media.images import grid, to_uint8

INK, PAPER = "#22252b", "#ffffff"


def labelled_sheet(imgs: Tensor, columns: Sequence[str], rows: Sequence[str], path: str | os.PathLike) -> None:
    """imgs [B,3,H,W] in -1..1, row by row under their column labels and beside their row labels => a PNG."""
    from PIL import Image, ImageDraw, ImageFont

    gap, head = 4, 24
    height, width = imgs.shape[2:]
    font = ImageFont.load_default(size=14)
    side = 16 + max((int(font.getlength(label)) for label in rows), default=0) if any(rows) else 0
    sheet = Image.fromarray(to_uint8(grid(imgs.cpu(), len(columns), gap)[None])[0].numpy())
    picture = Image.new("RGB", (sheet.width + side, sheet.height + head), PAPER)
    picture.paste(sheet, (side, head))
    draw = ImageDraw.Draw(picture)
    for i, label in enumerate(columns):
        draw.text((side + i * (width + gap) + width / 2, head / 2), label, fill=INK, font=font, anchor="mm")
    for i, label in enumerate(rows):
        draw.text((8, head + i * (height + gap) + height / 2), label, fill=INK, font=font, anchor="lm")
    with replacing(path) as temporary:
        picture.save(temporary)


def titled_grid(imgs: Tensor, titles: Sequence[str], columns: int, path: str | os.PathLike) -> None:
    """imgs [B,3,H,W] in -1..1, so many side by side, each under its own title => a PNG."""
    from PIL import Image, ImageDraw, ImageFont

    gap, head = 4, 24
    height, width = imgs.shape[2:]
    font = ImageFont.load_default(size=14)
    lines = -(-len(imgs) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, lines * (height + head)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (pixels, title) in enumerate(zip(to_uint8(imgs.cpu()).numpy(), titles)):
        x, y = i % columns * (width + gap), i // columns * (height + head)
        draw.text((x + width / 2, y + head / 2), title, fill=INK, font=font, anchor="mm")
        sheet.paste(Image.fromarray(pixels), (x, y + head))
    with replacing(path) as temporary:
        sheet.save(temporary)


def loss_plot(histories: dict[str, list[dict[str, float]]], path: str | os.PathLike) -> None:
    """One panel per term, one curve per history => a PNG."""
    from matplotlib.figure import Figure

    terms = list(dict.fromkeys(name for history in histories.values() for name in history[0]))
    figure = Figure(figsize=(3.4 * len(terms), 2.8), layout="constrained")
    for axis, term in zip(figure.subplots(1, len(terms), squeeze=False)[0], terms):
        for label, history in histories.items():
            axis.plot([terms_of_step.get(term) for terms_of_step in history], label=label, linewidth=1.2)
        axis.set(title=term, xlabel="step")
        axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize="small", frameon=False)
    _save(figure, path)


def heard_table(p: Tensor, sounds: Sequence[str], labels: Sequence[str], path: str | os.PathLike) -> None:
    """p [B,K] in 0..1, how each sound was heard among the labels => a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 + 0.75 * len(labels), 1.2 + 0.45 * len(sounds)), layout="constrained")
    axis = figure.subplots()
    axis.imshow(p.cpu().numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
    axis.set_yticks(range(len(sounds)), sounds)
    axis.set(xlabel="heard as", ylabel="recording")
    for y, x in p.gt(0.01).nonzero().tolist():
        share = float(p[y, x])
        axis.text(x, y, f"{share:.0%}", ha="center", va="center", fontsize=8, color=PAPER if share > 0.5 else INK)
    _save(figure, path)


def _save(figure, path: str | os.PathLike) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130, format=Path(path).suffix[1:])
