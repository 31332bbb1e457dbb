"""SoundGuide for ComfyUI: pictures changed by the meaning of a sound."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Called once by the host; until then nothing of the pack is imported."""
    import logging

    try:
        from .nodes import SoundGuideExtension
    except Exception:
        logging.exception("[SoundGuide] the nodes could not be imported")
        raise
    return SoundGuideExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
