import { assertStringIncludes } from "@std/assert";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import {
  assertRefused,
  featureArrays,
  ood,
  succeed,
  type Workshop,
  workshop,
  writeClassFolders,
  writeFeatureFile,
  writeImages,
  writeSmallModel,
} from "./_workshop.ts";

const WASM = ["--device", "wasm"];
const HERE = ["--device", "reference"];
const FEW = ["--batch", "8", "--threads", "1", "--workers", "0"];

/** A model and images of its classes. */
async function shopWithModel(): Promise<Workshop> {
  const shop = await workshop();
  await writeSmallModel(shop.file("tiny.onnx"));
  await writeClassFolders(shop.file("test"), 4, 100);
  return shop;
}

function extract({ file }: Workshop, images: string, ...more: string[]): string[] {
  return [
    ...["extract", "--model", file("tiny.onnx"), "--images", file(images)],
    ...["--out", file(`${images}.safetensors`), ...FEW, ...more],
  ];
}

/** Runs something as on a machine without an adapter. */
async function withoutAdapter<T>(run: () => Promise<T>): Promise<T> {
  const { gpu } = navigator;
  const own = Object.getOwnPropertyDescriptor(gpu, "requestAdapter");
  Object.defineProperty(gpu, "requestAdapter", {
    configurable: true,
    value: () => Promise.resolve(null),
  });
  try {
    return await run();
  } finally {
    if (own === undefined) delete (gpu as Partial<GPU>).requestAdapter;
    else Object.defineProperty(gpu, "requestAdapter", own);
  }
}

/** Made-up logits of four classes, as of moved images. */
async function writeMoved(path: string, metadata: Record<string, string> = {}): Promise<void> {
  const { logits, "odin_logits": moved } = featureArrays(6, { classes: 4, seed: 9 });
  await writeFeatureFile(path, { logits, "odin_logits": moved }, metadata);
}

Deno.test("ood goes from images moved by ODIN through table and detector to verdicts on images", async () => {
  await using shop = await shopWithModel();
  const { file } = shop;
  const settings = { "odin_temperature": "10", "odin_epsilon": "0.01" };
  const odin = ["--odin", "--odin-temperature", "10", "--odin-epsilon", "0.01", ...WASM];
  // On the reference first, so that the verdicts compare it with the GPU.
  const { notes } = await withoutAdapter(() => succeed(...extract(shop, "test", ...odin)));
  assertStringIncludes(notes, "Note: no WebGPU adapter can be had, so ODIN's gradients");

  const features = file("test.safetensors");
  await writeMoved(file("made.safetensors"), settings);
  const sets = ["--train", features, "--id", features, "--ood", `made=${file("made.safetensors")}`];
  const table = await succeed("eval", ...sets, "--methods", "odin", "--bootstrap", "20", ...HERE);
  assertStringIncludes(table.out, "odin");

  const detector = ["--detector", file("odin.safetensors")];
  await succeed(
    ...["fit", "--method", "odin", "--train", features, "--id", features],
    ...["--out", detector[1]!, ...HERE],
  );
  const score = ["score", ...detector, "--json"];
  const images = ["--model", file("tiny.onnx"), "--images", file("test"), ...WASM];
  const [ofImages, ofFeatures] = [
    await succeed(...score, ...images),
    await succeed(...score, "--features", features, ...HERE),
  ];
  assertStringIncludes(ofImages.notes, "ODIN's gradients run on webgpu");
  const numbers = ({ out }: { out: string }) =>
    JSON.parse(out).verdicts.map(({ score }: { score: number }) => score);
  // Images are moved as those that the detector was fitted to.
  assertClose(numbers(ofImages), numbers(ofFeatures), TOLERANCE.provider);

  await writeMoved(file("other.safetensors"), { ...settings, "odin_temperature": "1000" });
  const other = ["--features", file("other.safetensors"), ...HERE];
  assertRefused(await ood("score", ...detector, ...other), {
    code: 1,
    message: '"odin_logits" come from steps with temperature 1000, and the detector',
  });
});

Deno.test("ood score says what to do when a detector does not know how to move images", async () => {
  await using shop = await workshop();
  const { file } = shop;
  await writeSmallModel(file("tiny.onnx"));
  await writeImages(file("loose"), 2);
  await writeMoved(file("made.safetensors"));
  const [detector, made] = [file("odin.safetensors"), file("made.safetensors")];
  await succeed(
    ...["fit", "--method", "odin", "--train", made, "--id", made, "--out", detector, ...HERE],
  );
  const images = ["--model", file("tiny.onnx"), "--images", file("loose"), ...WASM];
  assertRefused(await ood("score", "--detector", detector, ...images), {
    code: 1,
    message: "fit it to features of `ood extract --odin`",
  });
});

Deno.test("ood extract refuses settings of ODIN that make no sense", async () => {
  await using shop = await shopWithModel();
  const refuses = async (message: string, ...options: string[]) =>
    assertRefused(await ood(...extract(shop, "test", ...options)), { code: 2, message });
  await refuses("--odin-epsilon says how --odin moves images", "--odin-epsilon", "0.1");
  await refuses("--odin-temperature says how --odin", "--odin-temperature", "10");
  await refuses("--odin-temperature must be above 0", "--odin", "--odin-temperature", "0");
  await refuses("--odin-epsilon must be a number", "--odin", "--odin-epsilon", "-1");
});
