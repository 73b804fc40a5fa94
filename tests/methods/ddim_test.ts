import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  cumulativeAlphas,
  Ddim,
  parseScheduler,
  SCHEDULER_DEFAULTS,
  type SchedulerConfig,
} from "../../methods/synood/ddim.ts";
import { UserError } from "../../runtime/mod.ts";
import golden from "../golden/ddim.json" with { type: "json" };
import { assertClose, TOLERANCE } from "../_support/tolerance.ts";

type Run = typeof golden.runs[number];
type Sampling = Run["samplings"][number];

function configOf(run: Run, sampling?: Sampling): SchedulerConfig {
  return parseScheduler({
    "num_train_timesteps": golden.trainSteps,
    "beta_schedule": run.schedule,
    "beta_start": run.start,
    "beta_end": run.end,
    "rescale_betas_zero_snr": run.zero,
    ...(sampling === undefined ? {} : {
      "prediction_type": sampling.prediction,
      "timestep_spacing": sampling.spacing,
      "steps_offset": sampling.offset,
      "set_alpha_to_one": sampling.toOne,
    }),
  });
}

for (const run of golden.runs) {
  const name = `${run.schedule}${run.zero ? " without signal at its end" : ""}`;
  Deno.test(`Ddim samples with the schedule ${name} as NumPy does`, () => {
    const alphas = cumulativeAlphas(configOf(run));
    const at = Object.entries(run.alphas);
    assertClose(at.map(([t]) => alphas[Number(t)]!), at.map(([, a]) => a), TOLERANCE.float64);
    for (const sampling of run.samplings) {
      const label = `${sampling.spacing} ${sampling.prediction}`;
      const ddim = new Ddim(configOf(run, sampling), sampling);
      assertEquals(ddim.timesteps, sampling.timesteps, label);
      const z = ddim.addNoise(new Float32Array(golden.begin), new Float32Array(golden.noise));
      ddim.timesteps.forEach((t, i) => ddim.step(i, z, z.map((value) => 0.3 * value + t / 1000)));
      assertClose(z, sampling.z, TOLERANCE.score, label);
    }
  });
}

Deno.test("Ddim recovers the image exactly from the noise that was added", () => {
  const z0 = new Float32Array([0.3, -1.2, 2.5, 0]);
  const noise = new Float32Array([1, -0.5, 0.25, -2]);
  for (const strength of [1, 0.6, 0.05]) {
    for (const predictionType of ["epsilon", "v_prediction", "sample"] as const) {
      const config = { ...SCHEDULER_DEFAULTS, predictionType, setAlphaToOne: true };
      const ddim = new Ddim(config, { steps: 20, strength });
      const alphas = cumulativeAlphas(config);
      const z = ddim.addNoise(z0, noise);
      ddim.timesteps.forEach((t, i) => {
        const [a, b] = [Math.sqrt(alphas[t]!), Math.sqrt(1 - alphas[t]!)];
        const output = {
          epsilon: noise,
          "v_prediction": z0.map((value, j) => a * noise[j]! - b * value),
          sample: z0,
        }[predictionType];
        ddim.step(i, z, output);
      });
      assertClose(z, z0, TOLERANCE.kernel, `${predictionType} at ${strength}`);
    }
  }
});

Deno.test("Ddim ends at the first step of the training where the scheduler says so", () => {
  const noise = new Float32Array([1]);
  const ddim = new Ddim(SCHEDULER_DEFAULTS, { steps: 20 });
  const z = ddim.addNoise(new Float32Array([0]), noise);
  ddim.timesteps.forEach((_, i) => ddim.step(i, z, noise));
  assertClose(z, [Math.sqrt(0.00085)], TOLERANCE.kernel);
});

Deno.test("Ddim takes 12 of 20 steps at strength 0.6, and never rounds down what is whole", () => {
  const count = (steps: number, strength: number) =>
    new Ddim(SCHEDULER_DEFAULTS, { steps, strength }).timesteps.length;
  assertEquals([count(20, 0.6), count(20, 1), count(100, 0.29), count(20, 0.05), count(1, 1)], [
    12,
    20,
    29,
    1,
    1,
  ]);
  const ddim = new Ddim(SCHEDULER_DEFAULTS, { steps: 20, strength: 0.6 });
  assertEquals([ddim.timesteps[0], ddim.timesteps.at(-1)], [551, 1]);
  assertClose([ddim.startAlpha], [cumulativeAlphas(SCHEDULER_DEFAULTS)[551]!], TOLERANCE.exact);
});

Deno.test("Ddim stays within the training's steps at any offset", () => {
  const config = { ...SCHEDULER_DEFAULTS, stepsOffset: 5 };
  const { timesteps } = new Ddim(config, { steps: 1000 });
  assert(timesteps.every((t) => t >= 0 && t < 1000));
});

Deno.test("cumulativeAlphas() takes betas that were trained with", () => {
  const config = parseScheduler({ "num_train_timesteps": 3, "trained_betas": [0.1, 0.5, 0.2] });
  assertClose(cumulativeAlphas(config), [0.9, 0.45, 0.36], TOLERANCE.float64);
});

Deno.test("Ddim refuses numbers of steps that make no sense", () => {
  for (const steps of [0, -1, 1.5, 1001, NaN]) {
    assertThrows(() => new Ddim(SCHEDULER_DEFAULTS, { steps }), UserError, "Cannot sample in");
  }
  for (const strength of [0, 1.1, NaN, 0.04]) {
    assertThrows(
      () => new Ddim(SCHEDULER_DEFAULTS, { steps: 20, strength }),
      UserError,
      "Cannot sample with strength",
    );
  }
  assertThrows(
    () =>
      new Ddim({ ...SCHEDULER_DEFAULTS, zeroTerminalSnr: true, timestepSpacing: "trailing" }, {
        steps: 4,
      }),
    UserError,
    "Cannot sample from step 999",
  );
  const ddim = new Ddim(SCHEDULER_DEFAULTS, { steps: 2 });
  const one = new Float32Array(1);
  assertThrows(() => ddim.step(2, one, one), RangeError, "the sampling has 2 steps");
});

Deno.test("parseScheduler() has diffusers' defaults, and refuses what makes no sense", () => {
  assertEquals(parseScheduler({ "_class_name": "PNDMScheduler", "skip_prk_steps": true }), {
    ...SCHEDULER_DEFAULTS,
    betaStart: 0.0001,
    betaEnd: 0.02,
    betaSchedule: "linear",
    stepsOffset: 0,
    setAlphaToOne: true,
  });
  const refused: readonly [unknown, string][] = [
    [[], "it must be an object"],
    [{ "beta_schedule": "sigmoid" }, '"beta_schedule" must be one of linear'],
    [{ "beta_start": 0 }, '"beta_start" makes no sense: it is 0'],
    [{ "beta_end": "0.02" }, '"beta_end" makes no sense'],
    [{ "num_train_timesteps": 0 }, '"num_train_timesteps" makes no sense'],
    [{ "prediction_type": "flow" }, '"prediction_type" must be one of epsilon'],
    [{ "timestep_spacing": "karras" }, '"timestep_spacing" must be one of'],
    [{ "set_alpha_to_one": 1 }, '"set_alpha_to_one" must be true or false'],
    [{ "clip_sample": true }, '"clip_sample" is not supported'],
    [{ thresholding: true }, '"thresholding" is not supported'],
    [{ "trained_betas": [0.1] }, '"trained_betas" must be a list of 1000 numbers'],
  ];
  for (const [value, message] of refused) {
    assertThrows(() => parseScheduler(value, { name: "s.json" }), UserError, message);
  }
});
