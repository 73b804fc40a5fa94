"""Makes preprocess.json: SHA-256 of what PIL and torchvision's crop rule make of small images.

python3 preprocess.py preprocess.json

The images come from whole-number arithmetic, so that the tests make the same ones without PIL.
"""

import hashlib
import json
import sys

import PIL
from PIL import Image


def noise(width, height, seed):
    out = bytearray()
    state = seed
    for _ in range(width * height * 3):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(state >> 24)
    return bytes(out)


def photo(width, height, seed):
    """Smooth ramps with hard edges and single bright pixels."""
    out = bytearray()
    for y in range(height):
        for x in range(width):
            for channel in range(3):
                value = (x * (3 + channel) + y * (5 - channel) + seed * 17) % 511
                value = value if value < 256 else 510 - value
                if (x // 7 + y // 5) % 4 == channel:
                    value = 255 - value
                if (x * y + seed) % 23 == 0:
                    value = 255 * ((x + y) % 2)
                out.append(value)
    return bytes(out)


IMAGES = {"noise": noise, "photo": photo}
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "nearest": Image.NEAREST}


def target(size, resize):
    if not isinstance(resize, int):
        return resize
    width, height = size
    if width <= height:
        return resize, int(resize * height / width)
    return int(resize * width / height), resize


def centre_crop(image, width, height):
    """torchvision's rule: pad with black where the image is smaller, then cut."""
    left, top = max(0, width - image.width), max(0, height - image.height)
    padded = Image.new("RGB", (image.width + left, image.height + top))
    padded.paste(image, (left // 2, top // 2))
    x = int(round((padded.width - width) / 2.0))
    y = int(round((padded.height - height) / 2.0))
    return padded.crop((x, y, x + width, y + height))


GEOMETRIES = [
    ((4, 3), (3, 4), None),
    ((1, 1), (4, 4), None),
    ((2, 2), (4, 2), None),
    ((64, 48), (32, 32), None),
    ((63, 41), (32, 29), None),
    ((17, 23), (40, 61), None),
    ((32, 32), (224, 224), None),
    ((150, 113), 64, (56, 56)),
    ((113, 150), 64, (56, 56)),
    ((101, 99), 37, (32, 32)),
    ((99, 100), 37, (31, 32)),
    ((50, 50), 32, (32, 32)),
    ((300, 2), (16, 16), None),
    ((2, 300), (16, 16), None),
    ((1, 257), 5, (5, 5)),
    ((640, 7), 8, (24, 12)),
    ((33, 20), None, (24, 24)),
    ((20, 33), None, (21, 40)),
    ((9, 9), None, (20, 20)),
    ((20, 21), (20, 10), None),
    ((21, 20), (10, 20), None),
    ((500, 375), (3, 3), None),
    ((31, 47), 47, (224, 224)),
    ((45, 45), (44, 46), (45, 45)),
    ((500, 375), 256, (224, 224)),
    ((250, 333), 256, (224, 224)),
]


def case(geometry, kind, interpolation, seed):
    (width, height), resize, crop = geometry
    image = Image.frombytes("RGB", (width, height), IMAGES[kind](width, height, seed))
    row = {"image": kind, "width": width, "height": height, "seed": seed}
    row["interpolation"] = interpolation
    if resize is not None:
        size = target(image.size, resize)
        image = image.resize(size, FILTERS[interpolation])
        shorter = isinstance(resize, int)
        row["resize"] = {"shorter": resize} if shorter else dict(zip(("width", "height"), size))
    if crop is not None:
        image = centre_crop(image, *crop)
        row["crop"] = dict(zip(("width", "height"), crop))
    pixels = image.tobytes()
    row["size"] = list(image.size)
    row["sha256"] = hashlib.sha256(pixels).hexdigest()
    return row


def main():
    rows = []
    for interpolation in FILTERS:
        for kind in IMAGES:
            for geometry in GEOMETRIES:
                rows.append(json.dumps(case(geometry, kind, interpolation, len(rows) + 1)))
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        lines = ",\n  ".join(rows)
        file.write(f'{{"made_by": "Pillow {PIL.__version__}", "cases": [\n  {lines}\n]}}\n')


main()
