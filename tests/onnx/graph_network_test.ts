import { assert, assertEquals } from "@std/assert";
import { importGraph, writeModel } from "../../onnx/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { shake } from "./_forward.ts";
import { arraysFor, runGraph } from "./_graphs.ts";
import { PATTERNS } from "./_patterns.ts";
import { runWasm } from "./_run.ts";

for (const [name, build] of Object.entries(PATTERNS)) {
  gpuTest(
    `importGraph() runs ${name} as onnxruntime does, and goes back`,
    async ({ gpu, host }) => {
      const model = build();
      const outputs = model.graph.outputs.map((output) => output.name);
      const arrays = arraysFor(model, 2);
      const expected = await runWasm(model, arrays);
      for (const ctx of [gpu, host]) {
        using network = importGraph(ctx, model, { outputs });
        const found = await runGraph(ctx, network, arrays);
        for (const value of outputs) {
          const label = `${value} on ${ctx.kind}`;
          assertClose(found[value]!, expected[value]!.data, TOLERANCE.network, label);
        }
        assertEquals(writeModel(await network.export()), writeModel(model));

        await shake(ctx, network);
        const moved = await runWasm(await network.export(), arrays);
        const again = await runGraph(ctx, network, arrays);
        for (const value of outputs) {
          const label = `${value}, shaken, on ${ctx.kind}`;
          assertClose(again[value]!, moved[value]!.data, TOLERANCE.network, label);
          const far = again[value]!.some((item, i) => Math.abs(item - found[value]![i]!) > 0.01);
          assert(far, `the weights moved, and "${value}" did not`);
        }
      }
    },
  );
}
