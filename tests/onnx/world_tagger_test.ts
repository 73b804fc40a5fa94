import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { renderImages, sceneMask, WORLD_CLASSES, worldScenes } from "../../data/mod.ts";
import { preprocessImages } from "../../kernels/mod.ts";
import { inspect, loadSidecar, openSession, readModel } from "../../onnx/mod.ts";
import { gpuTest } from "../_support/gpu.ts";

const PATH = "models/world-tagger.onnx";
const COUNT = 100;
const [SIDE, T] = [8, 64];

gpuTest(
  "models/world-tagger.onnx names the kinds of the world's test split and looks at them",
  async ({ gpu, host }) => {
    const model = await readModel(PATH);
    const found = inspect(model, { sidecar: (await loadSidecar(PATH))! });
    assertEquals(found.tags!.slice(0, WORLD_CLASSES.length), WORLD_CLASSES);
    const scenes = worldScenes("test", { seed: 1, count: COUNT });
    const images = await renderImages(gpu, scenes);
    const input = preprocessImages(host, images, found.preprocessing!.spec);
    await using session = await openSession(model, { device: "wasm" });
    const outputs = await session.run({
      [found.image!.name]: { data: input.data as Float32Array<ArrayBuffer>, shape: input.shape },
    });
    const [logits, attention] = ["tag_logits", "attention"].map((name) =>
      outputs[name]!.data as Float32Array
    );
    const M = found.tags!.length;
    let [right, looked] = [0, 0];
    scenes.forEach((scene, i) => {
      const kinds = logits!.subarray(i * M, i * M + WORLD_CLASSES.length);
      if (kinds.indexOf(Math.max(...kinds)) === scene.label) right++;
      const map = attention!.subarray((i * M + scene.label) * T, (i * M + scene.label + 1) * T);
      // Four heads, each of which attends to all places by shares.
      assertAlmostEquals(map.reduce((sum, value) => sum + value, 0), 4, 1e-4);
      const mask = sceneMask(scene, SIDE);
      if (mask[map.indexOf(Math.max(...map))]! > 0) looked++;
    });
    assert(right >= 0.95 * COUNT, `${right} of ${COUNT} named`);
    assert(looked >= 0.85 * COUNT, `${looked} of ${COUNT} looked at`);
  },
);
