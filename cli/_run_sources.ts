/**
 * The images of a run of all stages: those that the user names, or a drawn world.
 *
 * @module
 */

import { join } from "node:path";
import { type Arguments, UsageError } from "./_arguments.ts";
import type { CommandContext } from "./_command.ts";
import { ID_SET, testSetPaths } from "./_evaluation_options.ts";
import { runStage } from "./_stages.ts";
import { worldCommand } from "./world.ts";

/** Images of a run. */
export interface RunSources {
  /** Labelled training images. */
  readonly train: string;
  /** Other labelled images. */
  readonly val: string;
  /** In-distribution test images. */
  readonly id: string;
  /** OOD images by name. */
  readonly ood: ReadonlyMap<string, string>;
}

/**
 * The sources of `--train`, `--val`, `--id` and `--ood`; undefined without any of them.
 *
 * @throws {UsageError} When some are given and others are not, or an OOD set has a name that is
 * taken.
 */
export function givenSources(args: Arguments): RunSources | undefined {
  const [train, val, id] = [args.text("train"), args.text("val"), args.text("id")];
  const named = [train, val, id].filter((path) => path !== undefined).length;
  const sets = args.all("ood").length;
  if (named === 0 && sets === 0) return undefined;
  if (named < 3 || sets === 0) {
    throw new UsageError("The options --train, --val, --id and --ood go together: give all");
  }
  const ood = testSetPaths(args);
  ood.delete(ID_SET);
  return { train: train!, val: val!, id: id!, ood };
}

/** Not the world that the shipped models learnt from, which is seed 1. */
const WORLD_SEED = "0";

/**
 * Draws a world as the first stage of a run.
 *
 * @param context The run.
 * @param work The run's folder.
 * @param counts Images of each split, as `ood world` calls them.
 * @returns The splits.
 */
export async function drawnWorld(
  context: CommandContext,
  work: string,
  counts: Readonly<Record<string, string>>,
): Promise<RunSources> {
  const world = join(work, "world");
  await runStage(context, {
    command: worldCommand,
    options: [
      ...["--out", world, "--seed", WORLD_SEED],
      ...Object.entries(counts).flatMap(([name, count]) => [`--${name}`, count]),
    ],
  });
  return {
    train: join(world, "train"),
    val: join(world, "val"),
    id: join(world, "test"),
    ood: new Map([
      ["near", join(world, "near-ood")],
      ["background", join(world, "background")],
      ["far", join(world, "far-ood")],
    ]),
  };
}
