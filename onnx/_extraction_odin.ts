/**
 * Where an extraction computes ODIN's logits: on the GPU that runs the model, on one of its own when
 * the model runs in WebAssembly, or on the reference where there is none.
 */

import {
  type Context,
  Gpu,
  GpuUnavailableError,
  Host,
  OutOfMemoryError,
  UserError,
} from "../runtime/mod.ts";
import { type Executor, type LoadedModel, nameOf, type Plan } from "./_extraction_plan.ts";
import type { ExtractionOptions, OdinStart } from "./extraction_options.ts";
import { Odin } from "./odin.ts";

/** ODIN, and what is said of it. */
export interface ExtractionOdin extends AsyncDisposable {
  readonly odin: Odin;
  readonly start: OdinStart;
}

export async function openOdin(
  options: ExtractionOptions,
  parts: { source: LoadedModel; plan: Plan; executor: Executor },
): Promise<ExtractionOdin | undefined> {
  if (options.odin === undefined) return undefined;
  const { source, plan, executor } = parts;
  const given = executor.gpu ?? options.gpu;
  const own = given === undefined ? await openOwn() : undefined;
  const gpu = given ?? own;
  const ctx: Context = gpu ?? new Host();
  // What is recorded computes whole batches, so that few images should not make a large one.
  const batch = Math.max(1, Math.min(plan.batch, options.images.count));
  const close = async (): Promise<void> => {
    // Whatever is wrong with the device was thrown by what used it.
    await gpu?.idle().catch(() => {});
    own?.[Symbol.dispose]();
  };
  try {
    const odin = new Odin(ctx, {
      ...options.odin,
      model: source.model,
      inspection: source.inspection,
      preprocessing: plan.spec,
      batch,
    });
    return {
      odin,
      start: {
        ...odin.settings,
        device: ctx.kind,
        deviceName: gpu === undefined ? "reference" : nameOf(gpu),
      },
      async [Symbol.asyncDispose]() {
        await gpu?.idle().catch(() => {});
        odin[Symbol.dispose]();
        await close();
      },
    };
  } catch (error) {
    await close();
    if (!(error instanceof OutOfMemoryError)) throw error;
    const megabytes = Math.ceil(error.requestedBytes / 2 ** 20);
    throw new UserError(
      `Cannot go back through "${source.name}" with ${batch} images at a time: one of its maps ` +
        `takes ${megabytes} MB, more than the device allows; take fewer (--batch)`,
      { cause: error },
    );
  }
}

async function openOwn(): Promise<Gpu | undefined> {
  try {
    return await Gpu.open();
  } catch (error) {
    if (error instanceof GpuUnavailableError) return undefined;
    throw error;
  }
}
