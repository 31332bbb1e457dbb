"""Where open_clip's and OpenAI's own loaders have left published weights on this disk; nothing is fetched."""

from __future__ import annotations

import os
from pathlib import Path

from ..common.errors import InputError

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
