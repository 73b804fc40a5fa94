/**
 * The parameters of a network: all trainable ones in one arena, so that an optimiser's step is one
 * dispatch however many there are.
 *
 * @module
 */

import { type Context, type Shape, sizeOf, SLICE_ELEMENTS, type Tensor } from "../runtime/mod.ts";
import { Variable } from "./variable.ts";

/** One parameter before it has a place. */
export interface ParameterSpec {
  /** Its name, unique in the network. */
  readonly name: string;
  /** Its shape. */
  readonly shape: Shape;
  /** Its first value. */
  readonly data: Float32Array<ArrayBuffer>;
  /** Whether it learns; true by default. */
  readonly trainable?: boolean;
  /** Whether weight decay reaches it; true by default. */
  readonly decay?: boolean;
}

interface Placed {
  readonly spec: ParameterSpec;
  readonly begin: number;
}

/**
 * Parameters by name. Trainable ones lie in {@linkcode ParameterSet.values}, those that decay
 * first, and their gradients at the same places of {@linkcode ParameterSet.gradients}; each begins
 * at a multiple of 64 elements and the gaps hold zeros.
 *
 * @example One weight
 * ```ts
 * import { ParameterSet } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const data = new Float32Array([1, 2, 3]);
 * using parameters = new ParameterSet(host, [{ name: "w", shape: [3], data }]);
 * assertEquals([...parameters.get("w").value.data], [1, 2, 3]);
 * assertEquals(parameters.count, 3);
 * ```
 */
export class ParameterSet implements Disposable {
  /** f32 [P]: the trainable parameters. */
  readonly values: Tensor;
  /** f32 [P]: their gradients. */
  readonly gradients: Tensor;
  /** How many leading elements weight decay reaches. */
  readonly decayed: number;
  readonly #ctx: Context;
  readonly #frozen: readonly Tensor[];
  readonly #variables: Map<string, Variable> = new Map();
  readonly #specs: readonly ParameterSpec[];

  /**
   * Gives every parameter its place.
   *
   * @param ctx Where they live; the set must be disposed before it.
   * @param specs The parameters.
   * @throws {RangeError} When a name stands twice, or data do not fill a shape.
   * @throws {OutOfMemoryError} When one binding cannot hold all trainable parameters.
   */
  constructor(ctx: Context, specs: readonly ParameterSpec[]) {
    this.#ctx = ctx;
    this.#specs = specs;
    requireSound(specs);
    const trainable = specs.filter((spec) => spec.trainable !== false);
    const decaying = trainable.filter((spec) => spec.decay !== false);
    const rest = trainable.filter((spec) => spec.decay === false);
    const { placed, length } = place([...decaying, ...rest]);
    this.decayed = place(decaying).length;
    this.values = ctx.upload(filled(placed, length), [length], { label: "parameters" });
    this.gradients = ctx.upload(new Float32Array(length), [length], { label: "gradients" });
    for (const { spec, begin } of placed) {
      const { name, shape } = spec;
      const gradient = this.gradients.slice(begin, shape, { label: `gradient of ${name}` });
      const value = this.values.slice(begin, shape, { label: name });
      this.#variables.set(name, new Variable(value, { gradient }));
    }
    this.#frozen = arenas(specs.filter((spec) => spec.trainable === false)).map((part) => {
      const still = place(part);
      const arena = ctx.upload(filled(still.placed, still.length), [still.length], {
        label: part.length === 1 ? part[0]!.name : "frozen parameters",
      });
      for (const { spec, begin } of still.placed) {
        const value = arena.slice(begin, spec.shape, { label: spec.name });
        this.#variables.set(spec.name, new Variable(value));
      }
      return arena;
    });
  }

  /** Number of trainable parameters, gaps not counted. */
  get count(): number {
    return this.#specs.filter((spec) => spec.trainable !== false)
      .reduce((sum, spec) => sum + sizeOf(spec.shape), 0);
  }

  /** The names, in the order in which they were given. */
  get names(): string[] {
    return this.#specs.map(({ name }) => name);
  }

  /**
   * A parameter.
   *
   * @param name Its name.
   * @returns Its variable; it needs a gradient when it is trainable.
   * @throws {RangeError} When there is none of that name.
   */
  get(name: string): Variable {
    const variable = this.#variables.get(name);
    if (variable !== undefined) return variable;
    throw new RangeError(`Cannot find the parameter "${name}": the network has none of that name`);
  }

  /**
   * The values of all parameters on the host, in one read.
   *
   * @returns Arrays by name.
   */
  async read(): Promise<Map<string, Float32Array<ArrayBuffer>>> {
    const { names } = this;
    const arrays = await this.#ctx.read(...names.map((name) => this.get(name).value));
    return new Map(names.map((name, i) => [name, arrays[i] as Float32Array<ArrayBuffer>]));
  }

  /**
   * Writes values over parameters.
   *
   * @param values Arrays by name; parameters that are not named keep their values.
   * @throws {RangeError} When a name is unknown or an array has another length.
   */
  write(values: ReadonlyMap<string, Float32Array<ArrayBuffer>>): void {
    for (const [name, data] of values) this.#ctx.write(this.get(name).value, data);
  }

  /** Releases the arenas. */
  [Symbol.dispose](): void {
    this.values.dispose();
    this.gradients.dispose();
    for (const arena of this.#frozen) arena.dispose();
  }
}

/** Elements of an arena of parameters that do not learn; larger ones have one of their own. */
const ARENA_ELEMENTS = 1 << 25;

/** Parameters that do not learn, arena by arena: any number of them can be held. */
function arenas(specs: readonly ParameterSpec[]): ParameterSpec[][] {
  const parts: ParameterSpec[][] = [];
  let room = 0;
  for (const spec of specs) {
    const size = sizeOf(spec.shape);
    if (parts.length === 0 || size > room) {
      parts.push([]);
      room = ARENA_ELEMENTS;
    }
    parts.at(-1)!.push(spec);
    room -= size;
  }
  return parts;
}

function requireSound(specs: readonly ParameterSpec[]): void {
  const seen = new Set<string>();
  for (const { name, shape, data } of specs) {
    if (seen.has(name)) throw new RangeError(`Cannot place the parameter "${name}" twice`);
    seen.add(name);
    if (data.length !== sizeOf(shape)) {
      throw new RangeError(
        `Cannot place the parameter "${name}": [${shape.join(", ")}] needs ${sizeOf(shape)} ` +
          `elements and was given ${data.length}`,
      );
    }
  }
}

function place(specs: readonly ParameterSpec[]): { placed: Placed[]; length: number } {
  let length = 0;
  const placed = specs.map((spec) => {
    const begin = length;
    length += Math.ceil(sizeOf(spec.shape) / SLICE_ELEMENTS) * SLICE_ELEMENTS;
    return { spec, begin };
  });
  return { placed, length };
}

function filled(placed: readonly Placed[], length: number): Float32Array<ArrayBuffer> {
  const arena = new Float32Array(length);
  for (const { spec, begin } of placed) arena.set(spec.data, begin);
  return arena;
}
