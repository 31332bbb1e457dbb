"""What guidance costs: processor time and peak memory of each rule on the miniature and on a tiny Wan, and of each
decoder of previews on networks of real size, against sampling without and against the whole at once.

Weights of the decoders are random: time and memory do not depend on them. One thread, so that ratios hold on a busy
machine; the first run of everything is thrown away.

COMFYUI_PYTHON benchmarks/guidance_cost.py [rules] [decoders] [--host ~/comfy/ComfyUI] [--frames 4] [--side 64]
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from any_model import RULES, modules

KL = {
    "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
    "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip
WAN = {
    "dim": 96,
    "z_dim": 16,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
}

WHOLE = 99  # a chunk larger than anything here


def cost(fn) -> tuple[float, float]:
    """(seconds of the processor, MiB at the most allocated beside what was there) of fn()."""
    peak = importlib.import_module("test_guide_model").peak
    fn()
    began = time.process_time()
    fn()
    return time.process_time() - began, peak(fn) / 2**20


def heading(title: str, *names: str) -> None:
    print(f"\n{title}\n\n| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)


def row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def rules(families, world, frames: int) -> None:
    """Each rule on the miniature (batch of frames) and on the tiny Wan (81 frames of video)."""
    loader = world.pack("nodes.miniature_model").LoadMiniatureModel
    import torch

    with torch.inference_mode():
        miniature, clip, _ = loader.execute("miniature").args
        prompt = clip.encode_from_tokens_scheduled(clip.tokenize("a lake"))
        pixels = {"samples": torch.zeros(frames, 3, 64, 64)}
    steps, on_wan = 2, {"start": families.latent("Wan 2.1", (1, 16, 21, 16, 16)), "steps": 1, "cfg": 1.0}
    own = {"start": pixels, "steps": steps, "cfg": 1.0, "positive": prompt, "negative": prompt}
    cases = [
        (f"miniature, {frames} pictures of 64 px, {steps} steps", miniature, "SD1.5", own, world.embeds()),
        ("tiny Wan 2.1, 81 frames of 128 px, 1 step", families.load("Wan 2.1"), "Wan 2.1", on_wan,
         world.embeds(*["fire"] * 81)),
    ]  # fmt: skip
    for title, model, name, how, embeds in cases:
        heading(title, "rule", "processor", "times", "peak memory", "more")
        bare = cost(lambda model=model, name=name, how=how: families.run(model, name, **how))
        row("none", f"{bare[0]:.2f} s", "1.0", f"{bare[1]:.0f} MiB", "")
        for rule in RULES:
            guided = world.guide(model, embeds, rule=rule, chunk=1)
            try:
                found = cost(lambda guided=guided, name=name, how=how: families.run(guided, name, **how))
            except world.InputError as error:
                row(rule, "refused", "", "", error)
                continue
            more = f"{found[1] - bare[1]:+.0f} MiB"
            row(rule, f"{found[0]:.2f} s", f"{found[0] / bare[0]:.1f}", f"{found[1]:.0f} MiB", more)


def decoders(world, side: int) -> None:
    """The gradient of pictures in their latents through each decoder."""
    import torch

    host, pd = world.decoders, world.pack("soundguide_core.diffusion.preview_decoders")
    in_time = world.pack("soundguide_core.diffusion.causal_decoding").gradient_in_time

    def gradient(decoder, z, chunk):
        """Of the sum of squares of the pictures."""
        if isinstance(decoder, pd.CausalVideo):
            return in_time(decoder, z, chunk, lambda pictures, _: 2 * pictures)
        return torch.autograd.grad(decoder(z, chunk).square().sum(), z)

    taesd, taehv = (importlib.import_module(f"comfy.taesd.{name}") for name in ("taesd", "taehv"))
    kl = importlib.import_module("comfy.ldm.models.autoencoder").AutoencoderKL
    wan = importlib.import_module("comfy.ldm.wan.vae").WanVAE
    h = side // 8
    pictures, video = (2, 4, h, h), (1, 16, 5, h, h)
    cases = [
        ("latent2rgb", pictures, lambda: pd.Factors([[0.1] * 3] * 4)),
        ("TAESD", pictures, lambda: pd.TinyPicture(taesd.TAESD().taesd_decoder)),
        ("AutoencoderKL", pictures, lambda: pd.FullDecoder(host.own_copy(kl(embed_dim=4, ddconfig=KL)), same)),
        ("latent2rgb, video", video, lambda: pd.Factors([[0.1] * 3] * 16)),
        ("TAEHV", video, lambda: host.tiny_video(taehv.TAEHV(16), same)),
        ("WanVAE", video, lambda: pd.CausalVideo(host.WanDecoder(wan(**WAN)), same)),
    ]
    heading(f"Gradient of pictures of {side} px", "decoder", "decoded", "pictures", "processor a picture",
            "peak memory", "a pixel of all")  # fmt: skip
    for name, shape, make in cases:
        linear = name.startswith("latent2rgb")
        with torch.inference_mode(False), torch.random.fork_rng():
            decoder = make().eval()
            for weight in decoder.parameters():
                weight.data = torch.randn(weight.shape) * 0.5 / max(1, weight[0].numel()) ** 0.5
                weight.requires_grad_(False)
            z = torch.randn(shape).requires_grad_()
            count = len(decoder(z.detach(), 1))
            for chunk in (WHOLE,) if linear else (1, WHOLE):
                seconds, mib = cost(lambda d=decoder, z=z, c=chunk: gradient(d, z, c))
                pixels = count * (h if linear else side) ** 2
                row(name, "at once" if chunk == WHOLE else "by one", count, f"{seconds / count * 1000:.0f} ms",
                    f"{mib:.0f} MiB", f"{mib * 2**20 / pixels / 1000:.1f} kB")  # fmt: skip


def same(z):
    return z


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=["rules", "decoders"], default=[])
    parser.add_argument("--host", type=Path, default=Path("~/comfy/ComfyUI").expanduser())
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--side", type=int, default=32)
    args = parser.parse_args()
    sys.argv = sys.argv[:1]
    families, test, pack = modules(args.host)
    import torch

    torch.set_num_threads(1)
    world = test.World(lambda name: importlib.import_module(f"{pack.__name__}.{name}"))
    if "rules" in args.parts or not args.parts:
        rules(families, world, args.frames)
    if "decoders" in args.parts or not args.parts:
        decoders(world, args.side)


if __name__ == "__main__":
    main()
