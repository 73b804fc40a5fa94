/**
 * Arrays with a shape, held in a GPU buffer (webgpu) or in a typed array (reference).
 *
 * @module
 */

/** Element types of tensors; 4 bytes each. */
export type DType = "f32" | "u32" | "i32";

/** Sizes of a tensor's axes, outermost first; row-major. */
export type Shape = readonly number[];

/** Host side of a tensor's elements. */
export type TypedArray =
  | Float32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>;

/** Bytes of one element of any {@linkcode DType}. */
export const BYTES_PER_ELEMENT = 4;

/**
 * Number of elements of a shape.
 *
 * @param shape Sizes of the axes.
 * @returns Their product; 1 for a scalar.
 *
 * @example A batch of images
 * ```ts
 * import { sizeOf } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(sizeOf([2, 3, 32, 32]), 6144);
 * ```
 */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, length) => product * length, 1);
}

/**
 * A typed array of an element type, over the bytes given or zeroed.
 *
 * @param dtype The element type.
 * @param source The number of elements, or the bytes to look at.
 * @returns The array.
 */
export function typedArray(dtype: DType, source: number | ArrayBuffer): TypedArray {
  switch (dtype) {
    case "f32":
      return new Float32Array(source as ArrayBuffer);
    case "u32":
      return new Uint32Array(source as ArrayBuffer);
    case "i32":
      return new Int32Array(source as ArrayBuffer);
    default:
      return dtype satisfies never;
  }
}

/** The element type of a typed array. */
export function dtypeOf(data: TypedArray): DType {
  if (data instanceof Float32Array) return "f32";
  return data instanceof Uint32Array ? "u32" : "i32";
}

/**
 * Slices begin at multiples of this many elements: 256 bytes, the alignment of storage bindings
 * that every WebGPU device takes.
 */
export const SLICE_ELEMENTS = 64;

/** Where a tensor's elements lie; `release` gives the memory back. */
export type TensorStorage =
  | { readonly kind: "webgpu"; readonly buffer: GPUBuffer; readonly release: () => void }
  | { readonly kind: "reference"; readonly data: TypedArray };

/**
 * An array with a shape. Made by a {@linkcode Context}; released by `dispose`, by `using`, or with
 * the scope that made it. Every use after that throws `ReferenceError`.
 *
 * @example A tensor of the reference executor
 * ```ts
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const host = new Host();
 * const x = host.upload(new Float32Array([1, 2, 3, 4, 5, 6]), [2, 3]);
 * assertEquals(x.size, 6);
 * x.dispose();
 * assertThrows(() => x.data, ReferenceError);
 * ```
 */
export class Tensor implements Disposable {
  /** Sizes of the axes, outermost first. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: DType;
  /** Number of elements. */
  readonly size: number;
  /** What it holds, for error messages and GPU debuggers. */
  readonly label: string;
  /** Bytes between the begin of the buffer and the first element; 0 unless it is a slice. */
  readonly offset: number;
  #storage: TensorStorage | undefined;

  /**
   * Makes a tensor over storage; contexts do this.
   *
   * @param storage Where the elements lie; the tensor owns it.
   * @param layout Shape, element type, label, and where in the buffer the elements begin.
   */
  constructor(
    storage: TensorStorage,
    layout: { shape: Shape; dtype: DType; label: string; offset?: number },
  ) {
    this.offset = layout.offset ?? 0;
    this.shape = layout.shape;
    this.dtype = layout.dtype;
    this.label = layout.label;
    this.size = sizeOf(layout.shape);
    this.#storage = storage;
  }

  /** Bytes that the elements take. */
  get byteLength(): number {
    return this.size * BYTES_PER_ELEMENT;
  }

  /** Whether the memory was given back. */
  get disposed(): boolean {
    return this.#storage === undefined;
  }

  /**
   * The GPU buffer; it may be longer than the tensor, which begins at {@linkcode Tensor.offset}.
   *
   * @throws {ReferenceError} After dispose.
   * @throws {TypeError} When the tensor lives on the host.
   */
  get buffer(): GPUBuffer {
    const storage = this.#use();
    if (storage.kind === "webgpu") return storage.buffer;
    throw new TypeError(`Cannot use tensor "${this.label}" on the GPU: it lives on the host`);
  }

  /**
   * The host array itself, not a copy.
   *
   * @throws {ReferenceError} After dispose.
   * @throws {TypeError} When the tensor lives on the GPU.
   */
  get data(): TypedArray {
    const storage = this.#use();
    if (storage.kind === "reference") return storage.data;
    throw new TypeError(
      `Cannot use tensor "${this.label}" on the host: it lives on the GPU, read it first`,
    );
  }

  /**
   * The same elements under another shape, without a copy. The view owns nothing: disposing it
   * frees nothing, and it must not outlive this tensor.
   *
   * @param shape A shape with as many elements.
   * @returns The view.
   * @throws {RangeError} When the number of elements differs.
   */
  reshape(shape: Shape): Tensor {
    if (sizeOf(shape) !== this.size) {
      throw new RangeError(
        `Cannot reshape "${this.label}" from [${this.shape.join(", ")}] to [${
          shape.join(", ")
        }]: the number of elements differs`,
      );
    }
    const { dtype, label, offset } = this;
    return new Tensor(borrowed(this.#use()), { shape, dtype, label, offset });
  }

  /**
   * Elements from `begin` on under another shape, without a copy, such as one parameter in the
   * arena of all. The view owns nothing: disposing it frees nothing, and it must not outlive this
   * tensor. On the GPU `begin` must be a multiple of {@linkcode SLICE_ELEMENTS}, on the host it
   * should be, so that what runs there runs here.
   *
   * @param begin Index of the first element.
   * @param shape The view's shape.
   * @param options A label; the tensor's own by default.
   * @returns The view.
   * @throws {RangeError} When the view reaches beyond the tensor, or begins between two multiples.
   */
  slice(begin: number, shape: Shape, options: { readonly label?: string } = {}): Tensor {
    const end = begin + sizeOf(shape);
    if (!(begin >= 0 && end <= this.size && begin % SLICE_ELEMENTS === 0)) {
      throw new RangeError(
        `Cannot slice "${this.label}" from ${begin} to ${end}: it has ${this.size} elements and a ` +
          `slice begins at a multiple of ${SLICE_ELEMENTS}`,
      );
    }
    const storage = borrowed(this.#use());
    const layout = { shape, dtype: this.dtype, label: options.label ?? this.label };
    if (storage.kind === "reference") {
      return new Tensor({ kind: "reference", data: storage.data.subarray(begin, end) }, layout);
    }
    return new Tensor(storage, { ...layout, offset: this.offset + begin * BYTES_PER_ELEMENT });
  }

  /**
   * Whether this tensor and another lie in one buffer or array.
   *
   * @param other A tensor of the same context.
   * @returns True for a tensor and its views.
   */
  sharesMemory(other: Tensor): boolean {
    const [mine, theirs] = [this.#use(), other.#use()];
    if (mine.kind === "webgpu") return theirs.kind === "webgpu" && mine.buffer === theirs.buffer;
    return theirs.kind === "reference" && mine.data.buffer === theirs.data.buffer;
  }

  /** Gives the memory back; a second call does nothing. */
  dispose(): void {
    const storage = this.#storage;
    this.#storage = undefined;
    if (storage?.kind === "webgpu") storage.release();
  }

  /** Same as {@linkcode Tensor.dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #use(): TensorStorage {
    if (this.#storage === undefined) {
      throw new ReferenceError(`Cannot use tensor "${this.label}": it was disposed`);
    }
    return this.#storage;
  }
}

/** The same memory for a view, which must not give it back. */
function borrowed(storage: TensorStorage): TensorStorage {
  if (storage.kind === "reference") return storage;
  return { kind: "webgpu", buffer: storage.buffer, release: () => {} };
}
