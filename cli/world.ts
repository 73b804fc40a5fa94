/**
 * `ood world`: a procedural world as folders of images.
 *
 * @module
 */

import {
  WORLD_COUNTS,
  WORLD_SPLITS,
  type WorldManifest,
  type WorldSplit,
  worldSplit,
  type WorldSplitName,
  writeWorld,
} from "../data/mod.ts";
import type { Context } from "../runtime/mod.ts";
import { type Arguments, type OptionSpec, UsageError } from "./_arguments.ts";
import type { Command, CommandContext } from "./_command.ts";
import { adapterName, openKernels } from "./_device.ts";
import type { Terminal } from "./_terminal.ts";

/** The option that sets the size of each split. */
const COUNT_OPTIONS: Readonly<Record<WorldSplitName, string>> = {
  train: "train",
  val: "val",
  test: "test",
  "near-ood": "near",
  background: "background",
  "far-ood": "far",
};

const COUNT_HELP: Readonly<Record<WorldSplitName, string>> = {
  train: "images of the 20 classes to learn from",
  val: "images of the classes to choose and calibrate on",
  test: "images of the classes to test on",
  "near-ood": "images of 28 unseen kinds in the classes' surroundings",
  background: "images of the surroundings alone",
  "far-ood": "images of unseen textures, noise and glyphs",
};

/** The command. */
export const worldCommand: Command = {
  name: "world",
  summary: "Draw a world of labelled images: classes, near-OOD, background-only and far-OOD",
  details:
    "Images are drawn from the seed by a kernel: nothing is downloaded, and image i of a split is\n" +
    "the same whatever else is drawn. Objects stand in surroundings that go with their class four\n" +
    "times out of five. A run that was stopped goes on when it is repeated; an option of 0 leaves\n" +
    "a split out.",
  options: [
    { name: "out", value: "DIR", help: "the folder to write", required: true },
    { name: "seed", value: "N", help: "seed of the world", default: "1" },
    { name: "size", value: "N", help: "pixels of a side", default: "64" },
    ...WORLD_SPLITS.map((name): OptionSpec => ({
      name: COUNT_OPTIONS[name],
      value: "N",
      help: COUNT_HELP[name],
      default: String(WORLD_COUNTS[name]),
    })),
    {
      name: "splits",
      value: "A,B",
      help: `only these splits, of ${WORLD_SPLITS.join(", ")}`,
    },
    {
      name: "device",
      value: "NAME",
      help: "where to render; auto is webgpu on any adapter, the reference without one",
      choices: ["auto", "webgpu", "reference"],
      default: "auto",
    },
    { name: "json", help: "print the manifest as JSON" },
  ],
  examples: [
    "ood world --out world",
    "ood world --out small --train 2000 --val 200 --test 200 --near 200 --background 200 --far 210",
  ],
  run: runWorld,
};

const MAX_COUNT = 10_000_000;
const MAX_SIDE = 1024;

async function runWorld({ args, terminal, signal }: CommandContext): Promise<void> {
  const out = args.need("out").replace(/(?<=.)\/+$/, "");
  const splits = splitsOf(args);
  const size = args.number("size", { minimum: 8, maximum: MAX_SIDE, integer: true })!;
  using renderer = await openRenderer(args, terminal);
  using progress = terminal.progress("world", 0, { unit: "images" });
  const manifest = await write();
  progress.finish();
  if (args.flag("json")) terminal.printJson(manifest);
  else terminal.print(describe(manifest, out));

  async function write(): Promise<WorldManifest> {
    try {
      return await writeWorld(renderer.context, out, {
        splits,
        size,
        renderer: renderer.name,
        signal,
        onProgress: (done, total) => progress.update(done, total),
      });
    } catch (error) {
      progress.finish();
      if (signal.aborted) {
        terminal.note("What was written is kept; the same command goes on from there");
      }
      throw error;
    }
  }
}

function splitsOf(args: Arguments): WorldSplit[] {
  const seed = args.number("seed", {
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    integer: true,
  })!;
  const counts = Object.fromEntries(WORLD_SPLITS.map((name) => {
    const bounds = { minimum: 0, maximum: MAX_COUNT, integer: true };
    return [name, args.number(COUNT_OPTIONS[name], bounds)!];
  }));
  const wanted = args.text("splits")?.split(",").map((name) => name.trim()) ?? WORLD_SPLITS;
  const known: readonly string[] = WORLD_SPLITS;
  const unknown = wanted.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(
      `The option --splits must name splits among ${known.join(", ")}: it has "${unknown}"`,
    );
  }
  const splits = worldSplit(seed, counts)
    .filter(({ name, count }) => wanted.includes(name) && count > 0);
  if (splits.length === 0) throw new UsageError("All splits that are asked for have 0 images");
  return splits;
}

/** Where images are rendered, and what the manifest says of it. */
interface Renderer extends Disposable {
  readonly context: Context;
  readonly name: string;
}

/** Unlike models, pictures are rendered fastest by a software adapter where there is no other. */
async function openRenderer(args: Arguments, terminal: Terminal): Promise<Renderer> {
  const { context, gpu } = await openKernels(args);
  const name = gpu === undefined ? "reference" : `webgpu on ${adapterName(gpu)}`;
  if (gpu !== undefined) terminal.note(`Rendering with ${name}`);
  else if (args.need("device") !== "reference") {
    terminal.note("Note: no GPU adapter was found; rendering on the reference is slow");
  }
  return { context, name, [Symbol.dispose]: () => context[Symbol.dispose]() };
}

function describe(manifest: WorldManifest, out: string): string {
  const counts = Object.entries(manifest.splits).map(([name, { count }]) => `${name} ${count}`);
  return `${out}: ${
    counts.join(", ")
  }; seed ${manifest.seed}, ${manifest.size} x ${manifest.size} ` +
    `pixels\nLook at ${out}/overview.png; ${out}/labels.json has the classes in order`;
}
