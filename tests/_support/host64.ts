/**
 * A host whose tensors hold float64: what runs on it is differentiated by differences as exactly as
 * a function in float64, kinks apart.
 *
 * @module
 */

import {
  type Context,
  type DType,
  type Shape,
  sizeOf,
  Tensor,
  type TensorOptions,
  type TypedArray,
} from "../../runtime/mod.ts";

/** A context like `Host`, with float64 behind `f32` tensors. Operations see typed arrays either way. */
export class Host64 implements Context {
  readonly kind = "reference" as const;
  readonly #owned: Set<Tensor> = new Set();
  readonly #parent: Host64 | undefined;

  constructor(parent?: Host64) {
    this.#parent = parent;
  }

  upload(data: TypedArray, shape: Shape, options: TensorOptions = {}): Tensor {
    const tensor = this.empty(shape, dtypeOf(data), options);
    tensor.data.set(data);
    return tensor;
  }

  empty(shape: Shape, dtype: DType = "f32", options: TensorOptions = {}): Tensor {
    const size = sizeOf(shape);
    const data = dtype === "f32"
      ? new Float64Array(size) as unknown as TypedArray
      : dtype === "u32"
      ? new Uint32Array(size)
      : new Int32Array(size);
    const layout = { shape, dtype, label: options.label ?? "tensor" };
    const tensor = new Tensor({ kind: "reference", data }, layout);
    this.#owned.add(tensor);
    return tensor;
  }

  write(tensor: Tensor, data: TypedArray): void {
    tensor.data.set(data);
  }

  copy(source: Tensor, target: Tensor): void {
    target.data.set(source.data);
  }

  read(...tensors: Tensor[]): Promise<TypedArray[]> {
    return Promise.resolve(tensors.map((tensor) => tensor.data.slice()));
  }

  flush(): void {}

  scope(): Host64 {
    return new Host64(this);
  }

  keep<T extends Tensor>(tensor: T): T {
    this.#owned.delete(tensor);
    if (this.#parent !== undefined) this.#parent.#owned.add(tensor);
    return tensor;
  }

  [Symbol.dispose](): void {
    for (const tensor of this.#owned) tensor.dispose();
    this.#owned.clear();
  }
}

function dtypeOf(data: TypedArray): DType {
  if (data instanceof Int32Array) return "i32";
  return data instanceof Uint32Array ? "u32" : "f32";
}
