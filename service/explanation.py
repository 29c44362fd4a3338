"""An explained answer as JSON or as a picture: the galaxy, and beside it what raised and what lowered each quantity."""

from functools import partial
from io import BytesIO
from typing import Any, Final

import numpy as np
from anyio.to_thread import run_sync
from fastapi import Request, Response
from PIL import Image, ImageDraw, ImageFont

from redden.answer import Answer, Explanation, Influence, Quantity
from redden.grid import SIZE
from service.measure import Measured
from service.parameters import Explaining
from service.pictures import ENLARGEMENT, picture

PNG: Final = "image/png"
PICTURE: Final[dict[str, Any]] = {"content": {PNG: {}}}
"""The picture in the words of OpenAPI."""

NAMES: Final = {"a_v": "A_V", "e_bv": "E(B-V)", "r_v": "R_V", "log_ssfr": "log sSFR"}

_SIDE: Final = SIZE * ENLARGEMENT
_GAP: Final = 24
_TITLE: Final = 64
_BAR: Final = 22
_FOOT: Final = 40
_INK, _PAPER, _RAISES, _LOWERS = (34, 34, 34), (255, 255, 255), (214, 47, 39), (44, 103, 200)
_LEAST: Final = 1e-3
"""Smallest influence that is drawn in full colour, so that none at all stays grey."""


async def answered(measured: Measured, asked: Explaining, request: Request) -> Answer | Response:
    """The answer in the form that a request asks for."""
    explanation = measured.answer.explanation
    drawn = asked.format == "png" or (asked.format is None and PNG in request.headers.get("accept", ""))
    if explanation is None or not drawn:
        return measured.answer
    return Response(await run_sync(partial(png_file, measured, explanation)), media_type=PNG)


def png_file(measured: Measured, explanation: Explanation) -> bytes:
    """The image, and a map and a bar for each band for every quantity, as a PNG file.

    What is red raised the quantity, what is blue lowered it; the strongest of each map is in full colour.
    """
    answer = measured.answer
    image = picture(measured.cutout)
    width = (1 + len(NAMES)) * (_SIDE + _GAP) + _GAP
    bars = len(explanation.a_v.bands)
    canvas = Image.new("RGB", (width, _TITLE + _SIDE + bars * _BAR + _FOOT + _GAP), _PAPER)
    draw = ImageDraw.Draw(canvas)
    canvas.paste(image, (_GAP, _TITLE))
    _write(draw, _GAP, 12, f"{answer.model.name} version {answer.model.version}", " ".join(answer.bands))
    for column, (name, title) in enumerate(NAMES.items(), start=1):
        left = _GAP + column * (_SIDE + _GAP)
        influence: Influence = getattr(explanation, name)
        limit = _limit(influence)
        _write(draw, left, 12, f"{title}  {_value(getattr(answer.quantities, name))}", f"full colour: {limit}")
        canvas.paste(_overlay(image, influence), (left, _TITLE))
        for row, (band, change) in enumerate(influence.bands.items()):
            _bar(draw, left, _TITLE + _SIDE + 8 + row * _BAR, band, change, influence)
    legend = (
        "Red: the value is higher with what is there than without it; blue: it is lower. Bars: the same for whole "
        "bands. Numbers are in half 68 % intervals, or in the unit of a point estimate."
    )
    draw.text((_GAP, canvas.height - _FOOT), legend, _INK, ImageFont.load_default(15))
    stream = BytesIO()
    canvas.save(stream, "PNG")
    return stream.getvalue()


def _overlay(image: Image.Image, influence: Influence) -> Image.Image:
    """The galaxy in grey under the map."""
    cells = np.array(influence.pixels, dtype=np.float32)[::-1]  # null becomes NaN
    strength = np.nan_to_num(cells) / _strongest(cells)
    smooth = np.asarray(Image.fromarray(strength).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))[..., None]
    grey = np.asarray(image.convert("L"), dtype=np.float32)[..., None] * 0.75
    colour = np.where(smooth > 0, np.array(_RAISES), np.array(_LOWERS))
    opacity = np.clip(np.abs(smooth), 0, 1)
    return Image.fromarray((grey * (1 - opacity) + colour * opacity).astype(np.uint8))


def _bar(draw: ImageDraw.ImageDraw, left: int, top: int, band: str, change: float | None, influence: Influence) -> None:
    """A bar from the middle to the right if a band raises the quantity, to the left if it lowers it."""
    value = change or 0.0
    middle, reach = left + 0.55 * _SIDE, 0.2 * _SIDE
    end = middle + reach * value / _strongest(np.array(list(influence.bands.values()), dtype=np.float32))
    font = ImageFont.load_default(14)
    draw.text((left, top), band, _INK, font)
    draw.rectangle((min(middle, end), top + 3, max(middle, end), top + _BAR - 6), _RAISES if value > 0 else _LOWERS)
    draw.line((middle, top, middle, top + _BAR - 3), _INK)
    text = "undefined" if change is None else f"{change:+.2f}"
    draw.text((left + _SIDE, top), text, _INK, font, anchor="ra")


def _strongest(values: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    return max(_LEAST, float(np.abs(np.nan_to_num(values)).max()))


def _limit(influence: Influence) -> str:
    strongest = _strongest(np.array(influence.pixels, dtype=np.float32))
    return f"{strongest:.2g} {'of half the 68 % interval' if influence.unit == 'sigma' else influence.unit}"


def _value(quantity: Quantity) -> str:
    return "undefined" if quantity.median is None else f"{quantity.median:.2f}"


def _write(draw: ImageDraw.ImageDraw, left: int, top: int, title: str, subtitle: str) -> None:
    draw.text((left, top), title, _INK, ImageFont.load_default(19))
    draw.text((left, top + 27), subtitle, _INK, ImageFont.load_default(13))
