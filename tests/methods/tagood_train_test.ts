import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { projectObjects } from "../../methods/tagood/projection.ts";
import { TAGOOD_DEFAULTS, type TagoodSettings } from "../../methods/tagood/settings.ts";
import {
  type TagoodTrained,
  type TagoodTrainOptions,
  trainTagood,
} from "../../methods/tagood/train.ts";
import { Batches, DivergedError, ParameterSet } from "../../nn/mod.ts";
import { type Context, Host, UserError } from "../../runtime/mod.ts";
import { gpuTest } from "../_support/gpu.ts";
import { temporaryFolder } from "../_support/images.ts";
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";
import { drawObjects, WIDTH } from "./_objects.ts";

const COUNTS = [2, 1, 3, 1, 4, 2, 1, 3, 2];
const SETTINGS: TagoodSettings = {
  ...TAGOOD_DEFAULTS,
  width: 8,
  heads: 2,
  hidden: 8,
  depth: 1,
  batch: 3,
  epochs: 4,
  learningRate: 0.02,
};

/** Trains on nine images of three classes. */
async function run(
  ctx: Context,
  change: Partial<Omit<TagoodTrainOptions, "settings">> & {
    readonly settings?: Partial<TagoodSettings>;
  } = {},
): Promise<TagoodTrained> {
  using objects = await drawObjects({ counts: COUNTS });
  return await trainTagood({
    objects,
    classes: 3,
    maxTokens: 4,
    identity: "nine",
    ctx,
    ...change,
    settings: { ...SETTINGS, ...change.settings },
  });
}

/** The loss of a trained model on a set, image by image. */
async function lossOf(
  ctx: Context,
  { parameters, centres, sizes }: TagoodTrained,
  { counts, groups }: { readonly counts: readonly number[]; readonly groups: number },
): Promise<number> {
  using objects = await drawObjects({ counts, seed: 11 });
  const specs = [...parameters].map(([name, data]) => ({ name, shape: [data.length], data }));
  using model = new ParameterSet(ctx, withShapes(specs, sizes.width));
  const { features, logits } = await projectObjects(ctx, objects, {
    parameters: model,
    sizes,
    batch: 2,
  });
  let loss = 0;
  objects.labels.forEach((label, n) => {
    const row = logits.subarray(3 * n, 3 * n + 3);
    const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
    let squares = 0;
    for (let i = 0; i < sizes.width; i++) {
      squares += (features[n * sizes.width + i]! - centres[label * sizes.width + i]!) ** 2;
    }
    loss += Math.log(sum) - row[label]! + 0.1 * groups * squares / sizes.width;
  });
  return loss / objects.count;
}

/** Matrices where the model has them. */
function withShapes(
  specs: readonly { name: string; shape: number[]; data: Float32Array<ArrayBuffer> }[],
  width: number,
) {
  return specs.map(({ name, data }) => {
    const isMatrix = name === "positions" || name.endsWith(".weight") && !name.includes("norm");
    const columns = name === "input.weight" ? WIDTH : width;
    return { name, data, shape: isMatrix ? [data.length / columns, columns] : [data.length] };
  });
}

gpuTest("trainTagood() keeps the state of the smallest validation loss", async ({ gpu, host }) => {
  const counts = [1, 2, 3, 4, 1, 2];
  using validation = await drawObjects({ counts, seed: 11 });
  for (const ctx of [gpu, host]) {
    for (const variant of ["paper", "code"] as const) {
      const seen: { epoch: number; loss: number; best: boolean }[] = [];
      const trained = await run(ctx, {
        validation,
        settings: { variant, learningRate: 0.3, epochs: 9, patience: 2 },
        onValidation: (checked) => seen.push(checked),
      });
      const smallest = Math.min(...seen.map(({ loss }) => loss));
      const best = seen.find(({ loss }) => loss === smallest)!;
      const what = `${ctx.kind}, ${variant}: ${seen.map(({ loss }) => loss.toFixed(3))}`;
      assertEquals(trained.epoch, best.epoch, what);
      assertEquals(seen.filter((one) => one.best).at(-1), best, what);
      assertEquals(seen.at(-1)!.epoch, Math.min(9, best.epoch + 2), what);
      const groups = variant === "code" ? 4 : 1;
      assertClose(
        [await lossOf(ctx, trained, { counts, groups })],
        [smallest],
        TOLERANCE.network,
        what,
      );
    }
  }
});

Deno.test("trainTagood() resumed in the middle of an epoch ends in the same state", async () => {
  await using folder = await temporaryFolder();
  using host = new Host();
  using validation = await drawObjects({ counts: [1, 2, 3], seed: 11 });
  const whole = await run(host, { validation });
  const path = `${folder.path}/checkpoint`;
  for (const at of [1, 3, 5]) {
    const stop = new AbortController();
    const inner = new Batches({ samples: 9, batch: 3, seed: SETTINGS.seed });
    let begun = false;
    const batches = {
      stepsPerEpoch: inner.stepsPerEpoch,
      at(step: number) {
        if (begun && step === at) stop.abort();
        return inner.at(step);
      },
    };
    const options = { validation, batches, onStart: () => begun = true };
    await assertRejects(
      () => run(host, { ...options, checkpoint: { path, resume: false }, signal: stop.signal }),
      DOMException,
    );
    let done = 0;
    const resumed = await run(host, {
      validation,
      checkpoint: { path, resume: true },
      onStart: (start) => done = start.done,
    });
    assertEquals(done, at + 1);
    assertEquals(resumed.parameters, whole.parameters, `stopped after ${at + 1} steps`);
    assertEquals([resumed.centres, resumed.epoch], [whole.centres, whole.epoch]);
    assertEquals(resumed.rows, whole.rows.slice(at + 1));
  }
  await assertRejects(
    () => run(host, { checkpoint: { path, resume: true } }),
    UserError,
    '"validation" is false and was true',
  );
});

Deno.test("trainTagood() refuses data that a projection model cannot be trained on", async () => {
  using host = new Host();
  const refuses = async (change: Parameters<typeof run>[1], why: string) => {
    const error = await assertRejects(() => run(host, change), UserError);
    assertEquals(error.message, `Cannot train TagOOD: ${why}`);
  };
  const labelled = async (...labels: number[]) =>
    await drawObjects({ counts: labels.map(() => 1), labels, path: "o" });
  using some = await labelled(0, 1, -1, 2);
  await refuses(
    { objects: some },
    '1 of 4 images of "o" have no label; make it of labelled images',
  );
  using high = await labelled(0, 1, 2, 3);
  await refuses({ objects: high }, '"o" has a label 3, and the classes are 0 to 2');
  using few = await labelled(1, 1, 1);
  const look = "look at their tags in the vocabulary, or lower τ";
  await refuses(
    { objects: few },
    `"o" has no image with an object of 2 of 3 classes: 0, 2; ${look}`,
  );
  await refuses(
    { objects: few, classNames: ["ape", "cat", "dog"] },
    `"o" has no image with an object of 2 of 3 classes: ape, dog; ${look}`,
  );
  await refuses(
    { maxTokens: 3 },
    'an image of "objects" has 4 tokens, and the tagger gives at most 3',
  );
  await refuses(
    { settings: { batch: 10 } },
    "a batch takes 10 images and there are 9; name a smaller batch",
  );
  await refuses(
    { validation: { ...few, count: 0, labels: new Int32Array(0), counts: new Int32Array(0) } },
    '"o" has no image with an object',
  );
  await refuses(
    { validation: { ...few, width: 7 } },
    'the tokens of "o" are 7 wide and those of "objects" 6',
  );
});

Deno.test("trainTagood() says when centres are mostly noise, and when it diverges", async () => {
  using host = new Host();
  const { warnings } = await run(host, { settings: { centreRate: 1e-3 } });
  assertEquals(warnings.length, 1);
  assertStringIncludes(warnings[0]!, "The class centres have gone 1 % of the way from noise");
  assertEquals((await run(host)).warnings, []);
  const error = await assertRejects(
    () => run(host, { settings: { learningRate: 1e38 } }),
    DivergedError,
  );
  assert(error.step > 0);
  assertMatch(error.message, /cross_entropy is NaN, distance is NaN; nothing was saved before; a/);
});

gpuTest("trainTagood() of one seed is bit-equal, and of another differs", async ({ gpu }) => {
  const [first, again] = [await run(gpu), await run(gpu)];
  assertEquals(again.parameters, first.parameters);
  assertEquals(again.centres, first.centres);
  const other = await run(gpu, { settings: { seed: 1 } });
  assert(other.centres.some((value, i) => value !== first.centres[i]));
});

gpuTest("trainTagood() takes times of kernels and changes nothing by it", async ({ gpu }) => {
  const plain = await run(gpu, { settings: { epochs: 1 } });
  const { kernels, ...rest } = await run(gpu, { settings: { epochs: 1 }, profile: true });
  assert(kernels !== undefined);
  assertEquals(rest, plain);
});
