/**
 * From `--device` and `--variant` to where a command computes, with one line about what was taken.
 *
 * @module
 */

import { KERNEL_VARIANTS } from "../kernels/mod.ts";
import { chooseExecutor, type Device, type Executor } from "../methods/mod.ts";
import type { ExtractionStart } from "../onnx/mod.ts";
import { type Context, Gpu, GpuUnavailableError, Host } from "../runtime/mod.ts";
import { type Arguments, type OptionSpec, UsageError } from "./_arguments.ts";
import { parseNamed } from "./_named.ts";
import type { Terminal } from "./_terminal.ts";

/** The `--device` option of commands that compute. */
export const DEVICE_OPTION: OptionSpec = {
  name: "device",
  value: "NAME",
  help: "where to compute; auto is webgpu on a real GPU and wasm otherwise",
  choices: ["auto", "webgpu", "wasm", "reference"],
  default: "auto",
};

/** The `--device` option of commands that run models. */
export const MODEL_DEVICE_OPTION: OptionSpec = {
  name: "device",
  value: "NAME",
  help: "where the model runs; auto is webgpu on a real GPU and wasm otherwise",
  choices: ["auto", "webgpu", "wasm"],
  default: "auto",
};

/** Forces a kernel variant on WebGPU. */
export const VARIANT_OPTION: OptionSpec = {
  name: "variant",
  value: "OP=NAME",
  help: "force a kernel variant, for example matmul=tiled (see `ood doctor`)",
  multiple: true,
};

/** The same for commands whose `--variant` says whose method is meant. */
export const KERNEL_VARIANT_OPTION: OptionSpec = { ...VARIANT_OPTION, name: "kernel-variant" };

/**
 * The forced variants of `--variant`.
 *
 * @param args The command's arguments.
 * @param option The option's name.
 * @throws {UsageError} When an operation or a variant does not exist.
 */
export function variantsOf(
  args: Arguments,
  option: "variant" | "kernel-variant" = "variant",
): Readonly<Record<string, string>> {
  const pairs = parseNamed(option, args.all(option));
  for (const { name, value } of pairs) {
    const known = KERNEL_VARIANTS[name];
    if (known?.includes(value)) continue;
    throw new UsageError(
      known === undefined
        ? `The option --${option} names an operation: "${name}" is none of ${
          Object.keys(KERNEL_VARIANTS).join(", ")
        }`
        : `The option --${option} must give ${name} one of ${known.join(", ")}: it is "${value}"`,
    );
  }
  return Object.fromEntries(pairs.map(({ name, value }) => [name, value]));
}

/**
 * Opens what `--device` asks for and says in one line what it took.
 *
 * @param args The command's arguments, with `--device` and `--variant` declared.
 * @param terminal Where the line goes.
 * @returns The executor; the caller disposes it.
 * @throws {GpuUnavailableError} When webgpu is asked for and no adapter can be had.
 */
export async function openExecutor(args: Arguments, terminal: Terminal): Promise<Executor> {
  const device = args.need("device") as Device;
  const variants = variantsOf(args);
  const forced = Object.keys(variants).length > 0 && (device === "auto" || device === "webgpu");
  const gpu = forced ? await Gpu.open({ variants }) : undefined;
  const executor = await chooseExecutor(device, gpu === undefined ? {} : { gpu });
  terminal.note(executor.reason);
  return {
    kind: executor.kind,
    reason: executor.reason,
    context: executor.context,
    [Symbol.dispose]() {
      executor[Symbol.dispose]();
      gpu?.[Symbol.dispose]();
    },
  };
}

/**
 * Says in one line where ODIN's gradients are computed, when that is not where the model runs.
 *
 * @param start What an extraction is going to do.
 * @param terminal Where the line goes.
 */
export function describeOdin({ odin, device }: ExtractionStart, terminal: Terminal): void {
  if (odin?.device === "reference") {
    terminal.note(
      "Note: no WebGPU adapter can be had, so ODIN's gradients are computed on the reference, " +
        "which is slow",
    );
  } else if (odin !== undefined && device === "wasm") {
    terminal.note(`ODIN's gradients run on ${odin.deviceName}`);
  }
}

/**
 * Where kernels run that need no model: on any adapter, else on the reference unless `--device`
 * insists on a GPU. What the user reads about it is the command's to say.
 *
 * @throws {GpuUnavailableError} When `webgpu` is asked for and no adapter can be had.
 */
export async function openKernels(
  args: Arguments,
  option?: "variant" | "kernel-variant",
): Promise<{ context: Context; gpu?: Gpu }> {
  const device = args.need("device");
  if (device === "reference") return { context: new Host() };
  try {
    const gpu = await Gpu.open({ variants: variantsOf(args, option) });
    return { context: gpu, gpu };
  } catch (error) {
    if (device === "webgpu" || !(error instanceof GpuUnavailableError)) throw error;
    return { context: new Host() };
  }
}

/** The name of what a GPU computes on. */
export function adapterName({ adapter }: Gpu): string {
  return adapter.description || adapter.device || adapter.vendor || "an unnamed adapter";
}
