import { assert, assertEquals } from "@std/assert";
import { renderImages, WORLD_CLASSES, worldScenes } from "../../data/mod.ts";
import { preprocessImages } from "../../kernels/mod.ts";
import { inspect, loadSidecar, openSession, readModel } from "../../onnx/mod.ts";
import { gpuTest } from "../_support/gpu.ts";

const PATH = "models/world-classifier.onnx";
const COUNT = 100;

gpuTest(
  "models/world-classifier.onnx knows the kinds of the world's test split",
  async ({ gpu, host }) => {
    const sidecar = await loadSidecar(PATH);
    const model = await readModel(PATH);
    const found = inspect(model, { sidecar: sidecar! });
    assertEquals(found.labels, WORLD_CLASSES);
    assertEquals(found.featureMap?.pooledToFeatures, true);
    const scenes = worldScenes("test", { seed: 1, count: COUNT });
    const images = await renderImages(gpu, scenes);
    const input = preprocessImages(host, images, found.preprocessing!.spec);
    await using session = await openSession(model, { device: "wasm" });
    const outputs = await session.run({
      [found.image!.name]: { data: input.data as Float32Array<ArrayBuffer>, shape: input.shape },
    });
    const logits = outputs["logits"]!.data as Float32Array;
    const classes = WORLD_CLASSES.length;
    const right = scenes.filter(({ label }, i) => {
      const row = logits.subarray(i * classes, (i + 1) * classes);
      return row.indexOf(Math.max(...row)) === label;
    }).length;
    assert(right >= 0.95 * COUNT, `${right} of ${COUNT}`);
  },
);
