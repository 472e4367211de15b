"""The PNG of a picture: few colours, and those that cover an area are exact."""

import numpy as np
import pytest
from PIL import Image

from bankkit.lab.drawing.figures import with_few_colours


def noisy(distinct: int) -> Image.Image:
    """An image with two plain halves and a stripe of this many other colours."""
    pixels = np.empty((100, 400, 3), np.uint8)
    pixels[:50], pixels[50:] = (255, 255, 255), (0, 114, 178)
    steps = np.linspace(0, 1, distinct)[:, None]
    stripe = (1 - steps) * np.array([213, 94, 0]) + steps * np.array([0, 158, 115])
    pixels[50, :distinct] = stripe.round()
    return Image.fromarray(pixels)


def colours(image: Image.Image) -> set[object]:
    return {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}


@pytest.mark.parametrize("distinct", [1, 20, 126])
def test_an_image_with_few_colours_keeps_them_all(distinct: int) -> None:
    image = noisy(distinct)
    flat = with_few_colours(image)
    assert flat.mode == "P"
    assert np.array_equal(np.asarray(flat.convert("RGB")), np.asarray(image))


@pytest.mark.parametrize("most", [16, 128])
def test_an_image_with_many_colours_keeps_those_of_areas(most: int) -> None:
    image = noisy(400)
    assert len(colours(image)) > 128
    flat = with_few_colours(image, most)
    assert len(colours(flat)) <= most
    before, after = np.asarray(image).astype(int), np.asarray(flat.convert("RGB")).astype(int)
    assert np.array_equal(np.delete(before, 50, axis=0), np.delete(after, 50, axis=0))
    # The stripe has 400 neighbouring colours: a mean of its cluster is close to each.
    assert np.abs(before - after).max() <= 255 * 3 / most


def test_it_is_the_same_each_time() -> None:
    image = noisy(400)
    assert with_few_colours(image).tobytes() == with_few_colours(image).tobytes()
