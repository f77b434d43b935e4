"""An Ocr that reads nothing out of pictures but their size."""

from knowledge_svc.extraction.ocr import Picture


def text_of(picture: Picture) -> str:
    """See Ocr."""
    assert len(picture.pixels) == picture.width * picture.height
    assert len(set(picture.pixels)) > 10
    return f"A picture of {picture.width} × {picture.height}"
