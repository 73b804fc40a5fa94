"""Makes tests/golden/images/ with Pillow 12.3: small pictures and what .convert("RGB") gives."""

import base64
import json
import pathlib

import numpy as np
from PIL import Image

folder = pathlib.Path(__file__).parent / "images"
folder.mkdir(exist_ok=True)
height, width = 9, 13
y, x = np.mgrid[0:height, 0:width]
pixels = np.stack([x * 19 + y, 255 - y * 25 - x, (x * y * 7) % 256], -1).astype(np.uint8)
rgb = Image.fromarray(pixels)
alpha = Image.fromarray((x * 20 % 256).astype(np.uint8))
rgba = rgb.copy()
rgba.putalpha(alpha)
exif = Image.Exif()
exif[0x0112] = 6

rgb.save(folder / "baseline.jpg", quality=85)
rgb.save(folder / "progressive.jpg", quality=85, progressive=True)
rgb.save(folder / "orientation.jpg", quality=85, exif=exif)
rgb.convert("L").save(folder / "grey.jpg", quality=85)
rgb.save(folder / "full_chroma.jpg", quality=85, subsampling=0)
rgb.save(folder / "rgb.png")
rgba.save(folder / "alpha.png")
rgba.convert("LA").save(folder / "grey_alpha.png")
rgb.convert("L").save(folder / "grey.png")
rgb.convert("1").save(folder / "bilevel.png")
rgb.quantize(8).save(folder / "palette.png", transparency=2)
rgb.save(folder / "lossy.webp", quality=80)
rgba.save(folder / "alpha.webp", lossless=True, exact=True)

expected = {}
for path in sorted(folder.glob("*.*")):
    image = Image.open(path)
    expected[path.name] = {
        "width": image.width,
        "height": image.height,
        "rgb": base64.b64encode(image.convert("RGB").tobytes()).decode(),
    }
(folder.parent / "images.json").write_text(json.dumps(expected, indent=1) + "\n")

# What is refused has no expected pixels.
rgb.convert("CMYK").save(folder / "cmyk.jpg", quality=85)
rgb.save(folder / "animated.webp", save_all=True, append_images=[rgba.convert("RGB").rotate(180)])
rgb.save(folder / "still.gif")
