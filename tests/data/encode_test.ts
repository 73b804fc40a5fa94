import { assertEquals } from "@std/assert";
import { decodeImage, encodePng } from "../../data/mod.ts";
import { Rng } from "../../kernels/mod.ts";

Deno.test("encodePng() loses nothing, also when several images are encoded at once", async () => {
  const rng = new Rng(3);
  const images = [[1, 1], [7, 5], [64, 33]].map(([width, height]) => ({
    width: width!,
    height: height!,
    data: Uint8Array.from({ length: 3 * width! * height! }, () => rng.integer(256)),
  }));
  const files = await Promise.all(images.map(encodePng));
  for (const [i, image] of images.entries()) {
    const back = await decodeImage(files[i]!, { name: `image ${i}` });
    assertEquals([back.width, back.height], [image.width, image.height]);
    assertEquals([...back.data], [...image.data]);
  }
});
