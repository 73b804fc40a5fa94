import { assert, assertEquals, assertThrows } from "@std/assert";
import { squaredError, toChannelsLast } from "../../kernels/mod.ts";
import { Adam, Tape, TrainingStep, Variable } from "../../nn/mod.ts";
import {
  exposeOutputs,
  type GraphNetwork,
  type GraphOptions,
  importGraph,
  readModel,
  writeModel,
} from "../../onnx/mod.ts";
import { type Context, Host, UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { assertGradients } from "./_graph_gradients.ts";
import { arraysFor, givenTo, runGraph, variablesOf } from "./_graphs.ts";
import { type Arrays, runWasm } from "./_run.ts";

/** As PyTorch exports the decoder of Stable Diffusion 2's autoencoder, with open sizes. */
const PATH = new URL("../golden/vae_decoder.onnx", import.meta.url);

const shapes = { "latent_sample": [4, 2, 3] };
const ATTENDED = "/decoder/mid_block/attentions.0/Div_1_output_0";
const NORMAL = "/decoder/conv_norm_out/Add_output_0";
const whole: GraphOptions = { outputs: ["sample"], shapes };

gpuTest("importGraph() runs a decoder of latents as onnxruntime does", async ({ gpu, host }) => {
  const model = await readModel(PATH);
  const arrays = arraysFor(model, 2, shapes);
  const outputs = ["sample", ATTENDED, NORMAL];
  const expected = await runWasm(exposeOutputs(model, outputs), arrays);
  for (const ctx of [gpu, host]) {
    for (const inputs of [undefined, [ATTENDED], ["latent_sample"]]) {
      const options = { ...whole, outputs, ...(inputs && { inputs }) };
      using network = importGraph(ctx, model, options);
      const found = await runGraph(ctx, network, await givenTo(network, model, arrays));
      for (const name of outputs) {
        const label = `${name} from ${inputs} on ${ctx.kind}`;
        assertClose(found[name]!, expected[name]!.data, TOLERANCE.network, label);
      }
      assertEquals(writeModel(await network.export()), writeModel(model));
    }
  }
});

gpuTest("a decoder of latents learns by replays and is exported", async ({ gpu, host }) => {
  const model = await readModel(PATH);
  const arrays = arraysFor(model, 2, shapes);
  using onGpu = importGraph(gpu, model, whole);
  using onHost = importGraph(host, model, whole);
  const curve = await train(gpu, onGpu, arrays);
  assertClose(curve, await train(host, onHost, arrays), TOLERANCE.trainingCurve, "losses");
  assert(curve.at(-1)! < 0.9 * curve[0]!, `the loss went from ${curve[0]} to ${curve.at(-1)}`);
  const { sample } = await runGraph(gpu, onGpu, arrays);
  const moved = await runWasm(await onGpu.export(), arrays);
  assertClose(sample!, moved["sample"]!.data, TOLERANCE.network, "behind training");
});

/** Losses of a few steps towards a grey image; on a GPU the step is recorded once and replayed. */
async function train(ctx: Context, network: GraphNetwork, arrays: Arrays): Promise<number[]> {
  using scope = ctx.scope();
  const inputs = variablesOf(scope, network, arrays);
  const target = scope.upload(new Float32Array(2 * 16 * 24 * 3), [2, 16, 24, 3]);
  const losses = scope.upload(new Float32Array(2), [2]);
  const optimizer = new Adam(scope, network.parameters, { learningRate: 0.003 });
  using step = new TrainingStep(scope, (ctx) => {
    const tape = new Tape(ctx);
    const { sample } = network.forward(tape, inputs, { training: true });
    const { loss, dX } = squaredError(ctx, { x: sample!.value, target });
    ctx.copy(loss, losses);
    tape.backward([{ variable: sample!, gradient: dX }]);
    optimizer.record(ctx);
  });
  const curve: number[] = [];
  for (let i = 0; i < 5; i++) {
    step.run();
    const [row] = await scope.read(losses);
    curve.push((row![0]! as number + (row![1]! as number)) / 2);
  }
  optimizer[Symbol.dispose]();
  return curve;
}

gpuTest("a decoder of latents passes gradients to them and to its weights", async ({ gpu }) => {
  const model = await readModel(PATH);
  const names = ["latent_sample", "decoder.conv_in.weight", "decoder.conv_out.bias"];
  const to = "decoder.mid_block.attentions.0.to_q.bias";
  await assertGradients(gpu, model, {
    options: whole,
    arrays: arraysFor(model, 1, shapes),
    names: [...names, to],
  });
});

gpuTest("a decoder of latents that does not learn still has gradients of them", async ({ gpu }) => {
  const model = await readModel(PATH);
  using network = importGraph(gpu, model, { ...whole, trainable: "none" });
  assertEquals(network.parameters.count, 0);
  using scope = gpu.scope();
  const { data, shape } = arraysFor(model, 1, shapes)["latent_sample"]!;
  const x = new Variable(toChannelsLast(scope, { x: scope.upload(data, shape) }), {
    needsGradient: true,
  });
  const tape = new Tape(scope);
  const { sample } = network.forward(tape, { "latent_sample": x });
  const gradient = scope.upload(new Float32Array(16 * 24 * 3).fill(1), [1, 16, 24, 3]);
  tape.backward([{ variable: sample!, gradient }]);
  const [dX] = await scope.read(tape.gradientOf(x)!);
  assert(dX!.some((value) => value !== 0) && dX!.every(Number.isFinite));
});

Deno.test("importGraph() asks for the size of latents that a graph leaves open", async () => {
  using host = new Host();
  const model = await readModel(PATH);
  assertThrows(
    () => importGraph(host, model, { outputs: ["sample"] }),
    UserError,
    'from "latent_sample": its shape is [batch_size, num_channels_latent, height_latent, ' +
      "width_latent], and only the batch may be open; give it (shapes)",
  );
});
