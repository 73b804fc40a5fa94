/**
 * Arrays between this project and onnxruntime-web: tensors of a GPU without a copy, arrays of the
 * host, and which outputs stay where.
 *
 * @module
 */

import type * as Ort from "onnxruntime-web";
import type { HostArray } from "../data/feature_set.ts";
import { f32ToF16 } from "../data/half.ts";
import { UserError } from "../runtime/errors.ts";
import { type DType, Tensor, type TypedArray } from "../runtime/tensor.ts";
import type { OnnxModel } from "./model.ts";
import type { ElementType } from "./proto/mod.ts";
import { inferShapes } from "./shapes.ts";

/** Elements of an array of the host. */
export type RunData = TypedArray | BigInt64Array<ArrayBuffer>;

/** An input of one run; a tensor of the host has `data` too. */
export type RunInput = Tensor | { readonly data: RunData; readonly shape: readonly number[] };

const ORT_TYPES = { f32: "float32", i32: "int32", u32: "uint32" } as const satisfies Record<
  DType,
  string
>;

const DTYPES: Readonly<Record<string, DType>> = { float32: "f32", int32: "i32", uint32: "u32" };

/** Where each output of a model is put: what our tensors cannot hold goes to the host. */
export function outputLocations(model: OnnxModel): Record<string, "gpu-buffer" | "cpu"> {
  const shapes = inferShapes(model);
  return Object.fromEntries(model.graph.outputs.map(({ name }) => {
    const type = shapes.get(name)?.type ?? "f32";
    return [name, type === "f32" || type === "i32" || type === "u32" ? "gpu-buffer" : "cpu"];
  }));
}

/** The element type of an output that stayed on the GPU. */
export function dtypeOf(output: Ort.Tensor, label: string): DType {
  const dtype = DTYPES[output.type];
  if (dtype !== undefined) return dtype;
  throw new TypeError(`Cannot keep the output "${label}" on the GPU: it holds ${output.type}`);
}

/**
 * An input as onnxruntime takes it, over the same memory; an array of the host becomes what the
 * model declares where that is another width of the same kind.
 */
export function toOrtTensor(
  input: RunInput,
  { ort, onGpu, type }: { ort: typeof Ort; onGpu: boolean; type?: ElementType | undefined },
): Ort.Tensor {
  if (input instanceof Tensor && onGpu) {
    if (input.offset !== 0) {
      throw new RangeError(
        `Cannot run a model on "${input.label}": it is a slice of a buffer, copy it first`,
      );
    }
    return ort.Tensor.fromGpuBuffer(input.buffer, {
      dataType: ORT_TYPES[input.dtype],
      dims: [...input.shape],
    });
  }
  const { data, shape } = input;
  if (data instanceof BigInt64Array) {
    if (type === "i32") return new ort.Tensor("int32", Int32Array.from(data, Number), shape);
    return new ort.Tensor("int64", data, shape);
  }
  if (data instanceof Float32Array) {
    if (type === "f16") return new ort.Tensor("float16", f32ToF16(data), shape);
    return new ort.Tensor("float32", data, shape);
  }
  if (type === "i64") return new ort.Tensor("int64", BigInt64Array.from(data, BigInt), shape);
  if (type === "bool") return new ort.Tensor("bool", Uint8Array.from(data), shape);
  if (data instanceof Int32Array) return new ort.Tensor("int32", data, shape);
  return new ort.Tensor("uint32", data, shape);
}

/** An output of the host; whole numbers of other widths become i32, other floats f32. */
export function toHostArray(tensor: Ort.Tensor, name: string): HostArray {
  const shape = tensor.dims;
  const { data } = tensor;
  if (data instanceof Float32Array || data instanceof Int32Array) {
    return { data: data as HostArray["data"], shape };
  }
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    return { data: Int32Array.from(data as unknown as ArrayLike<bigint>, Number), shape };
  }
  if (Array.isArray(data)) {
    throw new UserError(`Cannot use an output of "${name}": it holds strings`);
  }
  const numbers = data as unknown as ArrayLike<number>;
  const floats = tensor.type.startsWith("float");
  return { data: floats ? Float32Array.from(numbers) : Int32Array.from(numbers), shape };
}
