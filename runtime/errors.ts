/**
 * The errors of the project. `UserError` is what a person can cause and mend; its message is one
 * sentence that can be shown as it is. The others tell a developer which contract was broken.
 *
 * @module
 */

import type { DType, Shape } from "./tensor.ts";

/**
 * Something that a user can cause and mend: a file, an option, an input. The message is one
 * sentence that names the thing, its state and what was expected; show it without a stack trace.
 *
 * @example Show the message alone
 * ```ts
 * import { UserError } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * const error = new UserError('Cannot read "a.onnx": the file is empty');
 * assertEquals(error.name, "UserError");
 * ```
 */
export class UserError extends Error {
  /** The class's name, as shown by consoles. */
  override name: string = "UserError";
}

/** No WebGPU adapter or device can be had here. */
export class GpuUnavailableError extends UserError {
  /** The class's name, as shown by consoles. */
  override name: string = "GpuUnavailableError";
}

/** The device lacks a feature that an operation needs. */
export class UnsupportedFeatureError extends Error {
  /** The class's name, as shown by consoles. */
  override name: string = "UnsupportedFeatureError";
  /** The WebGPU feature or operator that is missing. */
  readonly feature: string;

  /**
   * Makes the error.
   *
   * @param feature The feature's name as WebGPU or ONNX spells it.
   * @param message One sentence that says what needed it.
   */
  constructor(feature: string, message: string) {
    super(message);
    this.feature = feature;
  }
}

/** A tensor has another shape than the operation takes. */
export class ShapeError extends TypeError {
  /** The class's name, as shown by consoles. */
  override name: string = "ShapeError";
  /** The operation, for example `matmul`. */
  readonly kernel: string;
  /** The argument's name. */
  readonly argument: string;
  /** What the operation takes, for example `[K, 64]`. */
  readonly expected: string;
  /** What it was given. */
  readonly actual: Shape;

  /**
   * Makes the error.
   *
   * @param kernel The operation's name.
   * @param argument The argument's name.
   * @param details What was expected, in words or as a shape pattern, and the actual shape.
   */
  constructor(kernel: string, argument: string, details: { expected: string; actual: Shape }) {
    super(
      `Cannot run ${kernel}: "${argument}" must have shape ${details.expected}: current shape is [${
        details.actual.join(", ")
      }]`,
    );
    this.kernel = kernel;
    this.argument = argument;
    this.expected = details.expected;
    this.actual = details.actual;
  }
}

/** A tensor has another element type than the operation takes. */
export class DTypeError extends TypeError {
  /** The class's name, as shown by consoles. */
  override name: string = "DTypeError";

  /**
   * Makes the error.
   *
   * @param kernel The operation's name.
   * @param argument The argument's name.
   * @param details The element type that the operation takes, and the one it was given.
   */
  constructor(kernel: string, argument: string, details: { expected: DType; actual: DType }) {
    super(
      `Cannot run ${kernel}: "${argument}" must hold ${details.expected}: it holds ${details.actual}`,
    );
  }
}

/** A buffer is larger than the device allows, or the device has no memory left. */
export class OutOfMemoryError extends RangeError {
  /** The class's name, as shown by consoles. */
  override name: string = "OutOfMemoryError";
  /** What was asked for, in bytes. */
  readonly requestedBytes: number;
  /** What the device allows, in bytes. */
  readonly limitBytes: number;

  /**
   * Makes the error.
   *
   * @param label What the memory was for.
   * @param details The bytes asked for and the bytes allowed.
   */
  constructor(label: string, details: { requestedBytes: number; limitBytes: number }) {
    super(
      `Cannot allocate "${label}": it needs ${details.requestedBytes} bytes and the device allows ` +
        `${details.limitBytes}; stream the data in smaller batches`,
    );
    this.requestedBytes = details.requestedBytes;
    this.limitBytes = details.limitBytes;
  }
}

/** A WGSL source did not compile, or a pipeline could not be made of it. */
export class KernelCompileError extends Error {
  /** The class's name, as shown by consoles. */
  override name: string = "KernelCompileError";
  /** The kernel's name. */
  readonly kernel: string;
  /** The source that was given to the compiler, after specialisation. */
  readonly wgsl: string;

  /**
   * Makes the error.
   *
   * @param kernel The kernel's name.
   * @param details What the compiler said, and the source it was given.
   */
  constructor(kernel: string, details: { message: string; wgsl: string }) {
    super(`Cannot compile kernel "${kernel}": ${details.message}`);
    this.kernel = kernel;
    this.wgsl = details.wgsl;
  }
}

/** WebGPU reported an error that no call could return: it surfaces on the next call. */
export class GpuError extends Error {
  /** The class's name, as shown by consoles. */
  override name: string = "GpuError";
}

/** The device is gone; open a new one and repeat the work. */
export class DeviceLostError extends Error {
  /** The class's name, as shown by consoles. */
  override name: string = "DeviceLostError";
  /** Why, as WebGPU says: `unknown` or `destroyed`. */
  readonly reason: string;

  /**
   * Makes the error.
   *
   * @param reason WebGPU's reason word.
   * @param message What the driver said.
   */
  constructor(reason: string, message: string) {
    super(`The GPU device is lost (${reason}): ${message || "the driver gave no message"}`);
    this.reason = reason;
  }
}
