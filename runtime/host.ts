/**
 * The reference executor: tensors in typed arrays, operations in plain loops with float64 sums.
 *
 * @module
 */

import { type Context, Ownership, type TensorOptions } from "./context.ts";
import {
  type DType,
  dtypeOf,
  type Shape,
  sizeOf,
  Tensor,
  type TypedArray,
  typedArray,
} from "./tensor.ts";

/**
 * A context without a GPU: slow, exact, and available everywhere.
 *
 * @example The same operation without a GPU
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { rowSum } from "@oodgpu/oodgpu/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3, 4]), [2, 2]);
 * const [sums] = await host.read(rowSum(host, { x }));
 * assertEquals([...sums!], [3, 7]);
 * ```
 */
export class Host implements Context {
  /** Always `reference`. */
  readonly kind = "reference" as const;
  readonly #owned: Ownership = new Ownership();
  readonly #parent: Host | undefined;

  /**
   * Makes a context.
   *
   * @param parent The context that kept tensors go to.
   */
  constructor(parent?: Host) {
    this.#parent = parent;
  }

  /** A tensor with a copy of host data. */
  upload(data: TypedArray, shape: Shape, options: TensorOptions = {}): Tensor {
    requireLength(data, shape);
    return this.#own(data.slice(), { shape, options });
  }

  /** A tensor of zeros. */
  empty(shape: Shape, dtype: DType = "f32", options: TensorOptions = {}): Tensor {
    return this.#own(typedArray(dtype, sizeOf(shape)), { shape, options });
  }

  /** Writes host data over a tensor. */
  write(tensor: Tensor, data: TypedArray): void {
    requireLength(data, tensor.shape);
    requireType(tensor, dtypeOf(data));
    tensor.data.set(data);
  }

  /** Copies the elements of a tensor over those of another with as many elements. */
  copy(source: Tensor, target: Tensor): void {
    requireLength(source.data, target.shape);
    requireType(target, source.dtype);
    target.data.set(source.data);
  }

  /** Copies of the tensors' elements. */
  read(...tensors: Tensor[]): Promise<TypedArray[]> {
    return Promise.resolve(tensors.map((tensor) => tensor.data.slice()));
  }

  /** Does nothing: operations have run when they return. */
  flush(): void {}

  /** A context whose tensors are released when it is disposed. */
  scope(): Host {
    return new Host(this);
  }

  /** Moves a tensor of this scope to the scope's parent, and returns it. */
  keep<T extends Tensor>(tensor: T): T {
    this.#owned.remove(tensor);
    return this.#parent === undefined ? tensor : this.#parent.#owned.add(tensor);
  }

  /** Releases the tensors that were made here and not kept. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }

  #own(data: TypedArray, layout: { shape: Shape; options: TensorOptions }): Tensor {
    return this.#owned.add(
      new Tensor({ kind: "reference", data }, {
        shape: layout.shape,
        dtype: dtypeOf(data),
        label: layout.options.label ?? "tensor",
      }),
    );
  }
}

/**
 * Checks that data fill a shape.
 *
 * @param data The elements.
 * @param shape The shape.
 * @throws {RangeError} When the number of elements differs.
 */
export function requireLength(data: TypedArray, shape: Shape): void {
  if (data.length === sizeOf(shape)) return;
  throw new RangeError(
    `Cannot fill a tensor of shape [${shape.join(", ")}]: it needs ${sizeOf(shape)} elements and ` +
      `was given ${data.length}`,
  );
}

/**
 * Checks that elements of a type may be written over a tensor.
 *
 * @param tensor The target.
 * @param dtype Type of what is written.
 * @throws {TypeError} When the types differ.
 */
export function requireType(tensor: Tensor, dtype: DType): void {
  if (tensor.dtype === dtype) return;
  throw new TypeError(
    `Cannot write ${dtype} over tensor "${tensor.label}": it holds ${tensor.dtype}`,
  );
}
