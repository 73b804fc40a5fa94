import { assert, assertEquals } from "@std/assert";
import { readSafetensors } from "../../data/mod.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import {
  featureArrays,
  succeed,
  workshop,
  writeFeatureFile,
  writeFeatureFiles,
} from "./_workshop.ts";

/** An array as another program stores it. */
interface Foreign {
  readonly dtype: "F64" | "F32" | "F16" | "I64" | "U8";
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

const VIEWS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Float16Array,
  U8: Uint8Array,
} as const;

/**
 * A safetensors file as the library of that name writes it: no metadata, no padding of the header
 * beyond spaces, arrays one after the other in the order of their names.
 */
function encodeForeign(arrays: Readonly<Record<string, Foreign>>): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = {};
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(arrays)) {
    const typed = dtype === "I64"
      ? BigInt64Array.from(Array.from(data), BigInt)
      : VIEWS[dtype].from(data);
    const bytes = new Uint8Array(typed.buffer);
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
    parts.push(bytes);
  }
  let text = JSON.stringify(header);
  text += " ".repeat((8 - text.length % 8) % 8);
  const out = new Uint8Array(8 + text.length + offset);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(new TextEncoder().encode(text), 8);
  let at = 8 + text.length;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

Deno.test("ood eval takes features in float64, without metadata, names, labels or a model", async () => {
  await using shop = await workshop();
  const { file } = shop;
  const own = await writeFeatureFiles(shop.path);
  const sets = { train: own.train, id: own.id, near: own.near };
  for (const [name, path] of Object.entries(sets)) {
    const { tensors } = await readSafetensors(path);
    const foreign = Object.entries(tensors).filter(([key]) => name === "train" || key !== "labels");
    await Deno.writeFile(
      file(`${name}.foreign`),
      encodeForeign(Object.fromEntries(foreign.map(([key, { data, shape }]) => [key, {
        dtype: key === "labels" ? "I64" : "F64",
        shape,
        data: data as ArrayLike<number>,
      }]))),
    );
  }
  const evaluate = async (suffix: string, out: string) => {
    const path = (name: string) => file(`${name}.${suffix}`);
    await succeed(
      ...["eval", "--train", path("train"), "--id", path("id"), "--ood", `near=${path("near")}`],
      ...["--bootstrap", "0", "--device", "reference", "--json", file(`${out}.json`)],
      ...["--scores", file(out)],
    );
    const { tensors } = await readSafetensors(file(out));
    return { tensors, results: JSON.parse(await Deno.readTextFile(file(`${out}.json`))) };
  };
  const ours = await evaluate("safetensors", "ours");
  const theirs = await evaluate("foreign", "theirs");
  assertEquals(theirs.tensors, ours.tensors);
  assertEquals(theirs.results.results, ours.results.results);
  assertEquals(theirs.results.id_accuracy, null);
  assert(ours.results.id_accuracy !== null);
});

Deno.test("ood eval takes features in float16 without logits where a method needs no more", async () => {
  await using shop = await workshop();
  const { file } = shop;
  const train = featureArrays(90, { seed: 1 });
  const id = featureArrays(60, { seed: 2 });
  const near = featureArrays(30, { seed: 3, outlying: true });
  for (const [name, { features }] of Object.entries({ train, id, near })) {
    const { data, shape } = features;
    await Deno.writeFile(file(name), encodeForeign({ features: { dtype: "F16", shape, data } }));
    await writeFeatureFile(file(`${name}.safetensors`), {
      features: { data: Float32Array.from(data, Math.f16round), shape },
    });
  }
  const evaluate = (suffix: string) =>
    succeed(
      ...["eval", "--train", file(`train${suffix}`), "--id", file(`id${suffix}`)],
      ...["--ood", `near=${file(`near${suffix}`)}`, "--methods", "knn", "--param", "knn.k=3"],
      ...["--bootstrap", "0", "--device", "reference", "--json", "-"],
    );
  const { results } = JSON.parse((await evaluate("")).out);
  const rounded = JSON.parse((await evaluate(".safetensors")).out);
  assertClose([results[0].auroc], [rounded.results[0].auroc], TOLERANCE.exact, "AUROC");
  assert(results[0].auroc > 0.9);
});
