/**
 * Learning rates over the steps of a training, as pure functions of the step.
 *
 * @module
 */

/** The factor on the base rate at a step, counted from 0. */
export type Schedule = (step: number) => number;

/**
 * The same rate all the way.
 *
 * @returns The schedule.
 *
 * @example Always 1
 * ```ts
 * import { constantSchedule } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(constantSchedule()(7), 1);
 * ```
 */
export function constantSchedule(): Schedule {
  return () => 1;
}

/**
 * A factor at each milestone.
 *
 * @param milestones Steps from which on the factor applies once more, ascending.
 * @param factor What the rate is multiplied by, 0.1 by default.
 * @returns The schedule.
 *
 * @example A tenth from half on
 * ```ts
 * import { stepSchedule } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * const schedule = stepSchedule([50]);
 * assertEquals([schedule(49), schedule(50)], [1, 0.1]);
 * ```
 */
export function stepSchedule(milestones: readonly number[], factor = 0.1): Schedule {
  return (step) => factor ** milestones.filter((milestone) => step >= milestone).length;
}

/**
 * Half a cosine from 1 down.
 *
 * @param steps Steps until the end, at least 1.
 * @param floor The factor at the end, 0 by default.
 * @returns The schedule; beyond the end it stays at the floor.
 * @throws {RangeError} When there is no step.
 *
 * @example Half way
 * ```ts
 * import { cosineSchedule } from "@oodgpu/oodgpu/nn";
 * import { assertAlmostEquals } from "@std/assert";
 *
 * assertAlmostEquals(cosineSchedule(100)(50), 0.5);
 * ```
 */
export function cosineSchedule(steps: number, floor = 0): Schedule {
  if (!(steps >= 1)) {
    throw new RangeError(`Cannot schedule a cosine over ${steps} steps: it needs at least 1`);
  }
  return (step) => {
    const share = Math.min(1, step / steps);
    return floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * share));
  };
}

/**
 * A linear rise before another schedule, which then counts from the rise's end.
 *
 * @param steps Steps of the rise; the first one has the factor 1 / (steps + 1).
 * @param then The schedule after it.
 * @returns The schedule.
 *
 * @example Three steps of rise
 * ```ts
 * import { constantSchedule, warmUp } from "@oodgpu/oodgpu/nn";
 * import { assertEquals } from "@std/assert";
 *
 * const schedule = warmUp(3, constantSchedule());
 * assertEquals([0, 1, 2, 3].map(schedule), [0.25, 0.5, 0.75, 1]);
 * ```
 */
export function warmUp(steps: number, then: Schedule): Schedule {
  return (step) => step < steps ? (step + 1) / (steps + 1) : then(step - steps);
}
