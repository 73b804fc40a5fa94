/**
 * The state of a training in one file: parameters, statistics, the optimiser's state and where the
 * training stood. Written whole or not at all, so that a kill leaves the last good one.
 *
 * @module
 */

import { readSafetensors, writeSafetensors } from "../data/mod.ts";
import { type Context, type Tensor, UserError } from "../runtime/mod.ts";

/** Tensors by name, and what else is needed to go on. */
export interface CheckpointContent {
  /** What the training changes, by unique names. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** Number of steps done. */
  readonly step: number;
  /** What must be the same when the training goes on: settings and hashes of its inputs. */
  readonly settings: Readonly<Record<string, unknown>>;
}

const FORMAT = "oodgpu checkpoint 1";

/**
 * Writes a checkpoint in place of an earlier one.
 *
 * @param ctx Where the tensors live.
 * @param path The file.
 * @param content What to save.
 * @throws {UserError} When a number is not finite, or the file cannot be written; an earlier file
 * is then still there.
 *
 * @example Save and load
 * ```ts
 * import { loadCheckpoint, saveCheckpoint } from "@oodgpu/oodgpu/nn";
 * import { Host } from "@oodgpu/oodgpu/runtime";
 * import { assertEquals } from "@std/assert";
 *
 * using host = new Host();
 * const folder = await Deno.makeTempDir();
 * const path = `${folder}/training.checkpoint`;
 * const w = host.upload(new Float32Array([1, 2]), [2]);
 * await saveCheckpoint(host, path, { tensors: { w }, step: 7, settings: { seed: 1 } });
 * host.write(w, new Float32Array([0, 0]));
 * assertEquals(await loadCheckpoint(host, path, { tensors: { w }, settings: { seed: 1 } }), 7);
 * assertEquals([...w.data], [1, 2]);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function saveCheckpoint(
  ctx: Context,
  path: string,
  content: CheckpointContent,
): Promise<void> {
  const names = Object.keys(content.tensors);
  const arrays = await ctx.read(...Object.values(content.tensors));
  const tensors = Object.fromEntries(names.map((name, i) => {
    const { shape } = content.tensors[name]!;
    requireFinite(name, arrays[i]!);
    return [name, { data: arrays[i]!, shape: [...shape] }];
  }));
  await writeSafetensors(path, tensors, {
    format: FORMAT,
    step: String(content.step),
    settings: JSON.stringify(content.settings),
  });
}

/**
 * Reads a checkpoint into the tensors of a training that was set up the same way.
 *
 * @param ctx Where the tensors live.
 * @param path The file.
 * @param into The tensors to fill, and the settings that must agree.
 * @returns Number of steps done.
 * @throws {UserError} When the file is missing, damaged, of another training, or was made with
 * other settings.
 *
 * @example Other settings are refused
 * ```ts
 * import { loadCheckpoint, saveCheckpoint } from "@oodgpu/oodgpu/nn";
 * import { Host, UserError } from "@oodgpu/oodgpu/runtime";
 * import { assertRejects } from "@std/assert";
 *
 * using host = new Host();
 * const folder = await Deno.makeTempDir();
 * const path = `${folder}/training.checkpoint`;
 * await saveCheckpoint(host, path, { tensors: {}, step: 7, settings: { seed: 1 } });
 * await assertRejects(
 *   () => loadCheckpoint(host, path, { tensors: {}, settings: { seed: 2 } }),
 *   UserError,
 *   '"seed" is 2 and was 1',
 * );
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function loadCheckpoint(
  ctx: Context,
  path: string,
  into: Pick<CheckpointContent, "tensors" | "settings">,
): Promise<number> {
  const fail = (why: string): never => {
    throw new UserError(`Cannot resume from "${path}": ${why}`);
  };
  const { tensors, metadata } = await readSafetensors(path);
  if (metadata["format"] !== FORMAT) fail("it is no checkpoint of a training");
  const step = Number(metadata["step"]);
  if (!Number.isInteger(step) || step < 0) fail(`its step is "${metadata["step"]}"`);
  requireSame(parseSettings(metadata["settings"], fail), into.settings, fail);
  for (const [name, target] of Object.entries(into.tensors)) {
    const saved = tensors[name];
    if (saved === undefined) return fail(`it holds no "${name}"`);
    if (saved.data.length !== target.size) {
      fail(`"${name}" holds ${saved.data.length} numbers and the training has ${target.size}`);
    }
    ctx.write(target, saved.data as Float32Array<ArrayBuffer>);
  }
  return step;
}

/**
 * Refuses what a training has broken, even where its loss does not show it: a ReLU hides NaN.
 *
 * @param name What it is.
 * @param values The numbers.
 * @throws {UserError} When one is not finite.
 *
 * @example A broken weight
 * ```ts
 * import { requireFinite } from "@oodgpu/oodgpu/nn";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(() => requireFinite("w", new Float32Array([1, NaN])), Error, '"w" is NaN at 1');
 * ```
 */
export function requireFinite(name: string, values: ArrayLike<number>): void {
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i])) continue;
    throw new UserError(
      `Cannot keep this state: "${name}" is ${values[i]} at ${i}; a smaller learning rate may help`,
    );
  }
}

function parseSettings(
  text: string | undefined,
  fail: (why: string) => never,
): Record<string, unknown> {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return fail("its settings are damaged");
  }
}

function requireSame(
  saved: Record<string, unknown>,
  wanted: Readonly<Record<string, unknown>>,
  fail: (why: string) => never,
): void {
  for (const name of new Set([...Object.keys(saved), ...Object.keys(wanted)])) {
    const [was, is] = [JSON.stringify(saved[name]), JSON.stringify(wanted[name])];
    if (was !== is) fail(`"${name}" is ${is} and was ${was}; begin anew without --resume`);
  }
}
