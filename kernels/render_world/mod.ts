/**
 * Pictures of the procedural world from plain numbers: a texture behind, flat parts over it.
 *
 * @module
 */

import {
  type Context,
  gridFor,
  isGpu,
  type Kernel,
  type Tensor,
  type TypedArray,
} from "../../runtime/mod.ts";
import { hostFloats } from "../_arguments.ts";
import {
  boundsOf,
  HEAD_QUADS,
  packDrawings,
  PART_QUADS,
  type WorldDrawing,
  type WorldPart,
} from "./drawing.ts";
import { coverageReference, renderReference } from "./reference.ts";
import source from "./render_world.wgsl" with { type: "text" };

export {
  WORLD_PATTERNS,
  WORLD_TEXTURES,
  type WorldAxis,
  type WorldBackdrop,
  type WorldColour,
  type WorldDrawing,
  type WorldPart,
  type WorldPattern,
  type WorldTexture,
} from "./drawing.ts";

/** How {@linkcode renderWorld} finds the parts of a pixel. */
export type RenderWorldVariant = "boxes" | "naive";

/** Options of {@linkcode renderWorld}. */
export interface RenderWorldOptions {
  /** Pixels of a side, 1 to 4096; 64 by default. */
  readonly size?: number;
  /** Colours as f32, or rounded to RGBA bytes in a u32 for each pixel; `f32` by default. */
  readonly format?: "f32" | "rgba8";
  /**
   * `boxes` passes over parts by their boxes, `naive` computes every part everywhere; by default
   * `boxes`, or what the Gpu was opened with for `renderWorld`.
   */
  readonly variant?: RenderWorldVariant;
}

const DEFAULT_SIZE = 64;
const MAX_SIZE = 4096;
/** Lanes of one vector of lavapipe; a real GPU takes more. */
const SOFTWARE_WORKGROUP = 8;
const GPU_WORKGROUP = 64;
const VARIANTS: readonly string[] = ["boxes", "naive"];

const KERNEL: Kernel = {
  name: "render_world",
  wgsl: source,
  bindings: ["read", "read_write"],
  params: { pixels: "u32", size: "u32" },
};

/**
 * Renders drawings: one dispatch for all of them, smoothed over one pixel at any size.
 *
 * GPU and reference compute continuous functions of the place from the same f32 numbers and the same
 * whole-number hashes: colours agree within f32 rounding, bytes within one step. Two runs on one
 * adapter give the same bits, whatever else is in the batch.
 *
 * @param ctx Where to run.
 * @param drawings The pictures; none gives an empty tensor.
 * @param options Size, format, and a forced variant.
 * @returns f32 `[N, size, size, 3]` in 0 to 1, or u32 `[N, size, size]`: red in the lowest byte,
 * alpha 255 in the highest.
 * @throws {RangeError} When the size is out of its range, the variant is unknown, or a picture has
 * more parts and edges than one invocation may go through.
 *
 * @example A disc on a plain ground
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { renderWorld } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const image = renderWorld(host, [{
 *   backdrop: {
 *     texture: "gradient",
 *     colours: [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
 *     u: [1, 0, 0],
 *     v: [0, 1, 0],
 *     seed: 0,
 *     duty: 0.5,
 *     warp: 0,
 *     noise: [1, 1],
 *     grain: 0,
 *     light: [0, 0],
 *   },
 *   parts: [{
 *     edges: [0.5, 0.5, 0.5, 0.5],
 *     open: true,
 *     radius: 0.25,
 *     shell: 0,
 *     softness: 0,
 *     opacity: 1,
 *     fill: [1, 0.5, 0],
 *     other: [0, 0, 0],
 *     pattern: "solid",
 *     u: [1, 0, 0],
 *     v: [0, 1, 0],
 *     duty: 0.5,
 *     outline: [0, 0, 0],
 *     outlineWidth: 0,
 *   }],
 * }], { size: 9 });
 * assertEquals(image.shape, [1, 9, 9, 3]);
 * assertEquals([...image.data.subarray(0, 3)], [0, 0, 0]);
 * assertEquals([...image.data.subarray(120, 123)], [1, 0.5, 0]);
 * ```
 */
export function renderWorld(
  ctx: Context,
  drawings: readonly WorldDrawing[],
  options: RenderWorldOptions = {},
): Tensor {
  const { size = DEFAULT_SIZE, format = "f32" } = options;
  if (!Number.isInteger(size) || size < 1 || size > MAX_SIZE) {
    throw new RangeError(
      `Cannot render images of ${size} pixels a side: a whole number from 1 to ${MAX_SIZE} was expected`,
    );
  }
  const count = drawings.length;
  const bytes = format === "rgba8";
  const label = { label: "renderWorld" };
  const output = bytes
    ? ctx.empty([count, size, size], "u32", label)
    : ctx.empty([count, size, size, 3], "f32", label);
  const variant = options.variant ?? (isGpu(ctx) ? ctx.gpu.variants["renderWorld"] : undefined) ??
    "boxes";
  if (!VARIANTS.includes(variant)) {
    throw new RangeError(
      `Cannot run renderWorld as "${variant}": the variants are ${VARIANTS.join(", ")}`,
    );
  }
  if (count === 0) return output;
  const packed = packDrawings(drawings);
  if (!isGpu(ctx)) {
    if (!bytes) renderReference(packed, hostFloats(output), size);
    else packBytes(packed, output.data, size);
    return output;
  }
  using scope = ctx.scope();
  const scene = scope.upload(packed, [packed.length / 4, 4], { label: "renderWorld scene" });
  const pixels = count * size * size;
  const workgroup = ctx.gpu.adapter.isSoftware ? SOFTWARE_WORKGROUP : GPU_WORKGROUP;
  ctx.dispatch(KERNEL, {
    buffers: [scene, output],
    params: { pixels, size },
    workgroups: gridFor(pixels, workgroup),
    overrides: { WORKGROUP: workgroup, CULL: variant === "boxes" ? 1 : 0, BYTES: bytes ? 1 : 0 },
  });
  return output;
}

/** The reference's colours as RGBA bytes. */
function packBytes(packed: Float32Array, output: TypedArray, size: number): void {
  const colours = new Float32Array(3 * output.length);
  renderReference(packed, colours, size);
  for (let i = 0; i < output.length; i++) {
    const byte = (channel: number) => Math.round(255 * colours[3 * i + channel]!);
    output[i] = (byte(0) | byte(1) << 8 | byte(2) << 16 | 255 << 24) >>> 0;
  }
}

/**
 * The box that parts lie in, apart from the pixel that smooths their rims; it may reach beyond the
 * picture.
 *
 * @param parts The parts.
 * @returns Left, top, right and bottom in units of the picture's side; all 0 without parts.
 *
 * @example A stroke with its half width
 * ```ts
 * import { type WorldPart, worldBounds } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const stroke = { edges: [0.25, 0.5, 0.75, 0.5], radius: 0.25, shell: 0, softness: 0 };
 * assertEquals(worldBounds([stroke as unknown as WorldPart]), [0, 0.25, 1, 0.75]);
 * ```
 */
export function worldBounds(
  parts: readonly WorldPart[],
): [left: number, top: number, right: number, bottom: number] {
  if (parts.length === 0) return [0, 0, 0, 0];
  const boxes = parts.map(boundsOf);
  return [
    Math.min(...boxes.map((box) => box[0])),
    Math.min(...boxes.map((box) => box[1])),
    Math.max(...boxes.map((box) => box[2])),
    Math.max(...boxes.map((box) => box[3])),
  ];
}

/**
 * How much of each pixel parts hide, computed on the host as the kernel does.
 *
 * @param parts The parts.
 * @param size Pixels of a side.
 * @returns f32 `[size, size]`: 0 where the backdrop is seen whole, 1 where it is hidden.
 *
 * @example Nothing hides nothing
 * ```ts
 * import { worldCoverage } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(worldCoverage([], 2), new Float32Array(4));
 * ```
 */
export function worldCoverage(
  parts: readonly WorldPart[],
  size: number,
): Float32Array<ArrayBuffer> {
  const backdrop: WorldDrawing["backdrop"] = {
    texture: "gradient",
    colours: [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    u: [0, 0, 0],
    v: [0, 0, 0],
    seed: 0,
    duty: 0,
    warp: 0,
    noise: [0, 0],
    grain: 0,
    light: [0, 0],
  };
  return coverageReference(packDrawings([{ backdrop, parts }]), size);
}

/** Operations of a pixel's backdrop: five noises of four hashes, one texture, grain. */
const BACKDROP_FLOPS = 260;
/** Operations of one edge, and of a part's pattern, rim and mixing. */
const EDGE_FLOPS = 22;
const PART_FLOPS = 60;

/**
 * Operations of a rendering, counted as if every part were computed at every pixel, which only the
 * naive variant does; a backdrop has its texture, five noises and the grain.
 *
 * @param drawings The pictures.
 * @param size Pixels of a side.
 * @returns Operations.
 *
 * @example Four pixels without parts
 * ```ts
 * import { renderWorldFlops } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(renderWorldFlops([{ parts: [] }], 2), 1040);
 * ```
 */
export function renderWorldFlops(
  drawings: readonly Pick<WorldDrawing, "parts">[],
  size: number,
): number {
  return size * size * drawings.reduce(
    (sum, { parts }) =>
      sum + BACKDROP_FLOPS +
      parts.reduce((own, { edges }) => own + PART_FLOPS + EDGE_FLOPS * edges.length / 4, 0),
    0,
  );
}

/**
 * Bytes that a rendering must move: one read of the descriptions and one write of the colours.
 *
 * @param drawings The pictures.
 * @param size Pixels of a side.
 * @returns Bytes.
 *
 * @example Four pixels of three f32, and the head of one picture
 * ```ts
 * import { renderWorldBytes } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(renderWorldBytes([{ parts: [] }], 2), 48 + 112);
 * ```
 */
export function renderWorldBytes(
  drawings: readonly Pick<WorldDrawing, "parts">[],
  size: number,
): number {
  const quads = drawings.reduce(
    (sum, { parts }) =>
      sum + HEAD_QUADS +
      parts.reduce((own, { edges }) => own + PART_QUADS + edges.length / 4, 0),
    0,
  );
  return 12 * drawings.length * size * size + 16 * quads;
}
