"""Which ears there are, by name; light, as the list is made whenever a host starts."""

from __future__ import annotations

import os

from ...checkpoints import registry
from ...common.files import check_name

KIND = "sound-classifier"
CONFIG = "config.json"  # of a folder of the transformers library


def ears_names() -> list[str]:
    """What load_ears answers to and is on disk: joint encoders after classifiers."""
    return list(dict.fromkeys([*registry.names(KIND), *registry.names("joint")]))


def ears_kind(name_or_path: str | os.PathLike | None) -> str:
    """ "sound-classifier" or "joint", whichever has this name; None is the default joint encoder."""
    if name_or_path is None:
        return "joint"
    name = os.fspath(check_name(name_or_path))
    known = {kind: {row.name for row in registry.rows(kind)} for kind in (KIND, "joint")}
    if name in known[KIND] or (name not in known["joint"] and name in registry.names(KIND)):
        return KIND
    joint = name in known["joint"] or name in registry.names("joint") or (os.path.isdir(name) and not is_model(name))
    return "joint" if joint else KIND


def is_model(name: str | os.PathLike) -> bool:
    """Whether this is a folder of the transformers library."""
    return os.path.isfile(os.path.join(os.fspath(name), CONFIG))
