/**
 * `ood doctor`: what this machine can run, found out by running it.
 *
 * @module
 */

import { describeVariants, rowSum } from "../kernels/mod.ts";
import { GraphBuilder, openSession } from "../onnx/mod.ts";
import { Gpu, UserError } from "../runtime/mod.ts";
import type { Command, CommandContext } from "./_command.ts";
import { VARIANT_OPTION, variantsOf } from "./_device.ts";
import { VERSION } from "./_version.ts";

/** The command. */
export const doctorCommand: Command = {
  name: "doctor",
  summary: "Show what this machine can run: adapter, limits, kernel variants, providers, versions",
  details: "Every executor runs a small computation; exit code 1 means that none gave the right\n" +
    "result.",
  options: [VARIANT_OPTION, { name: "json", help: "print JSON" }],
  examples: ["ood doctor"],
  run: runDoctor,
};

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
] as const;

/** One executor: whether it works, and what there is to know of it. */
interface Examination {
  readonly name: string;
  readonly works: boolean;
  readonly facts: Readonly<Record<string, unknown>>;
}

async function runDoctor({ args, terminal }: CommandContext): Promise<void> {
  const webgpu = await examine("webgpu", () => examineGpu(variantsOf(args)));
  const wasm = await examine("wasm", examineWasm);
  const auto = webgpu.works && webgpu.facts["software"] === false ? "webgpu" : "wasm";
  const versions = {
    oodgpu: VERSION,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    system: `${Deno.build.os} ${Deno.build.arch}`,
    cores: navigator.hardwareConcurrency,
  };
  if (args.flag("json")) {
    terminal.printJson({ versions, executors: [webgpu, wasm], auto });
  } else {
    terminal.print(describe("versions", versions));
    [webgpu, wasm].forEach(({ name, works, facts }) =>
      terminal.print(`\n${describe(`${name}: ${works ? "works" : "does not work"}`, facts)}`)
    );
    terminal.print(`\n--device auto takes ${auto}`);
  }
  if (!webgpu.works && !wasm.works) {
    throw new UserError("Neither webgpu nor wasm works here; see above for the reasons");
  }
}

async function examine(
  name: string,
  run: () => Promise<Record<string, unknown>>,
): Promise<Examination> {
  try {
    return { name, works: true, facts: await run() };
  } catch (error) {
    return { name, works: false, facts: { reason: (error as Error).message } };
  }
}

async function examineGpu(
  variants: Readonly<Record<string, string>>,
): Promise<Record<string, unknown>> {
  using gpu = await Gpu.open({ variants });
  using scope = gpu.scope();
  const x = scope.upload(new Float32Array([1, 2, 3, 4]), [2, 2]);
  const [sums] = await scope.read(rowSum(scope, { x }));
  requireSums(sums!);
  const { vendor, architecture, device, description, isSoftware } = gpu.adapter;
  return {
    adapter: description || device,
    vendor: [vendor, architecture].filter((part) => part !== "").join(" "),
    software: isSoftware,
    features: [...gpu.device.features].sort(),
    limits: Object.fromEntries(LIMITS.map((name) => [name, gpu.device.limits[name]])),
    variants: describeVariants(gpu),
  };
}

async function examineWasm(): Promise<Record<string, unknown>> {
  const builder = new GraphBuilder({ name: "doctor" });
  const x = builder.input("x", ["N", 2]);
  builder.output("sum", builder.reduce("ReduceSum", x, { axes: [1] }));
  await using session = await openSession(builder.build(), { device: "wasm" });
  const { sum } = await session.run({ x: { data: new Float32Array([1, 2, 3, 4]), shape: [2, 2] } });
  requireSums(sum!.data);
  return { provider: "onnxruntime-web", threads: session.threads };
}

function requireSums(sums: ArrayLike<number>): void {
  if (sums[0] === 3 && sums[1] === 7) return;
  throw new UserError(`It gave the sums ${Array.from(sums).join(", ")} instead of 3, 7`);
}

function describe(title: string, facts: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(facts).map(([name, value]) => `  ${name.padEnd(12)}${show(value)}`);
  return [title, ...lines].join("\n");
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.join(", ");
  if (value === null || typeof value !== "object") return String(value);
  return Object.entries(value).map(([name, inner]) => `${name} ${inner}`).join("\n              ");
}
