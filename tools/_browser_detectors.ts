/**
 * Scores with detectors in a page, through the bundle of the embed entry point and nothing else.
 * Bundled by browser_check.ts.
 *
 * @module
 */

import type * as Embed from "../methods/embed.ts";

/** What the server asks: the rows to score with the detector that lies at /detectors/NAME. */
export interface DetectorCase {
  /** The score. */
  readonly name: string;
  /** The arrays by feature key. */
  readonly features: Readonly<
    Record<string, { data: readonly number[]; shape: readonly number[] }>
  >;
}

/** What the page answers. */
export interface DetectorAnswer {
  /** The score. */
  readonly name: string;
  /** Scores from kernels, and from the reference. */
  readonly scores: { readonly webgpu?: readonly number[]; readonly reference?: readonly number[] };
  /** What went wrong. */
  readonly error?: string;
}

const BUNDLE = "/embed.js";
const { embedDetector, Gpu }: typeof Embed = await import(BUNDLE);

async function score(asked: DetectorCase, gpu?: Embed.Gpu): Promise<number[]> {
  const bytes = await (await fetch(`/detectors/${asked.name}`)).bytes();
  using detector = await embedDetector(bytes, gpu === undefined ? {} : { gpu });
  const features = Object.fromEntries(
    Object.entries(asked.features).map(([key, { data, shape }]) => [
      key,
      { data: Float32Array.from(data), shape },
    ]),
  );
  return [...await detector.score(features)];
}

async function post(path: string, value: unknown): Promise<void> {
  await fetch(path, { method: "POST", body: JSON.stringify(value) });
}

try {
  using gpu = await Gpu.open();
  await post("/adapter", gpu.adapter);
  const cases: DetectorCase[] = await (await fetch("/detectors.json")).json();
  for (const asked of cases) {
    let answer: DetectorAnswer;
    try {
      const scores = { webgpu: await score(asked, gpu), reference: await score(asked) };
      answer = { name: asked.name, scores };
    } catch (error) {
      answer = { name: asked.name, scores: {}, error: String(error) };
    }
    await post("/detector", answer);
  }
} catch (error) {
  await post("/detector", { name: "(opening)", scores: {}, error: String(error) });
}
Object.assign(globalThis, { location: "/tests.html" });
