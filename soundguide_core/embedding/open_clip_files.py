"""What only open_clip knows: towers with parts of its own, and where its loader, or OpenAI's, has put published files.

Nothing is fetched. Importing it takes seconds, so it is imported where it is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..common.errors import InputError
from ..common.typed import check_types

FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # where a repository's file is not named


def pretrained_file(name: str, tag: str) -> tuple[Path, dict]:
    """The file of an open_clip architecture's pretrained tag, and what open_clip says about it.

    Looked for in the cache of the Hugging Face hub and in ~/.cache/clip.

    Raises:
        InputError: there is no such tag, or its file is not on this disk.
    """
    import open_clip
    from huggingface_hub import try_to_load_from_cache

    about = open_clip.get_pretrained_cfg(name, tag)
    if not about:
        raise InputError(
            f"{tag!r} is neither a file nor a pretrained tag of {name}.",
            "See open_clip.list_pretrained_tags_by_model for the tags, or give the path of a checkpoint.",
        )
    repository, file = os.path.split(about.get("hf_hub", ""))
    found = [try_to_load_from_cache(repository, f) for f in ([file] if file else FILES)] if repository else []
    if about.get("url"):
        found.append(Path.home() / ".cache" / "clip" / about["url"].rsplit("/", 1)[-1])
    for path in found:
        if isinstance(path, (str, Path)) and Path(path).is_file():
            return Path(path), about
    source = f"https://huggingface.co/{repository}" if repository else about.get("url", "its publisher")
    raise InputError(
        f"The weights {tag} of {name} are not on this disk.", f"Fetch them from {source} and give the path of the file."
    )


def untrained(config: dict) -> Any:
    """Untrained towers with parts that only open_clip has."""
    import open_clip
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    for name, of in (("vision_cfg", CLIPVisionCfg), ("text_cfg", CLIPTextCfg)):
        check_types(of, config.get(name, {}), f"The {name} of the file")
    asks = [*config.get("vision_cfg", ()), *config.get("text_cfg", ())]
    if any(key.startswith("hf_") or key == "timm_model_pretrained" for key in asks):
        raise InputError("The picture and text model asks for a download.", "Use a file with all its weights.")
    quick = config.get("quick_gelu", False)
    if "open_clip" not in config:
        return CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"], quick_gelu=quick)
    if config["open_clip"] not in open_clip.list_models():
        raise InputError(f"open_clip has no model called {config['open_clip']!r}.", "Update open_clip_torch.")
    return named(config["open_clip"], load_weights=False, force_quick_gelu=quick)


def named(name: str, **kwargs) -> Any:
    """An open_clip architecture; its towers' own base weights are not fetched."""
    import open_clip

    return open_clip.create_model(name, pretrained_text=False, **kwargs)
