import { gpuTest } from "../_support/gpu.ts";
import { assertGradients } from "./_graph_gradients.ts";
import { arraysFor } from "./_graphs.ts";
import { PATTERNS } from "./_patterns.ts";

for (const [name, build] of Object.entries(PATTERNS)) {
  gpuTest(`GraphNetwork gradients of ${name} are those of its loss`, async ({ gpu }) => {
    const model = build();
    const outputs = model.graph.outputs.map((output) => output.name);
    await assertGradients(gpu, model, { options: { outputs }, arrays: arraysFor(model, 2) });
  });
}
