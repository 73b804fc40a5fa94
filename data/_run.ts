/** A run of extraction: where it writes, what makes it the same run as an earlier one. */

import { createHash } from "node:crypto";
import { UserError } from "../runtime/errors.ts";
import { type FeatureIndex, indexPath } from "./_feature_index.ts";
import { ioError, kindOf } from "./_io_error.ts";
import { type ShardOf, shardPath, shardRange } from "./_shard.ts";
import { sortedRecord } from "./_sorted_record.ts";
import { writeFileAtomic } from "./atomic_write.ts";
import { SafetensorsFile } from "./safetensors_file.ts";

/** What identifies a run: all that its rows depend on. */
export interface RunIdentity {
  readonly config: Readonly<Record<string, string>>;
  /** The hash of the images' names. */
  readonly images: string;
}

/** A run, or the part of one that a machine takes. */
export interface Run {
  /** The file that it makes. */
  readonly target: string;
  /** The folder in which its parts gather. */
  readonly folder: string;
  /** Its first image. */
  readonly start: number;
  /** The image after its last. */
  readonly end: number;
  readonly identity: RunIdentity;
  /** The hash of the identity. */
  readonly hash: string;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function hashNames(names: readonly string[]): string {
  const hash = createHash("sha256");
  // NUL cannot be in a name, so that lists differ if and only if their texts do.
  for (const name of names) hash.update(`${name}\0`);
  return hash.digest("hex");
}

/** What a run is by its options; refuses one that has no images. */
export function planRun(
  path: string,
  options: {
    readonly names: readonly string[];
    readonly config: Readonly<Record<string, string>>;
    readonly dtypes?: Readonly<Record<string, string>>;
    readonly shard?: ShardOf;
  },
): Run {
  const { names, dtypes, shard } = options;
  if (names.length === 0) throw new UserError(`Cannot write "${path}": there are no images`);
  const range = shardRange(names.length, shard);
  if (range.start === range.end) {
    throw new UserError(
      `Cannot take shard ${shard!.index}/${shard!.of}: there are ${names.length} images only`,
    );
  }
  const target = shard === undefined ? path : shardPath(path, shard);
  const config = sortedRecord({
    ...options.config,
    ...(dtypes === undefined ? {} : { dtypes: JSON.stringify(sortedRecord(dtypes)) }),
  });
  const identity: RunIdentity = { config, images: hashNames(names) };
  const hash = sha256(JSON.stringify(identity));
  return { target, folder: `${target}.parts`, ...range, identity, hash };
}

/** Whether a run's file is there already; refuses to take another run's for it. */
export async function isFinished(run: Run): Promise<boolean> {
  const { target, folder } = run;
  if (await kindOf(folder) !== undefined) return false;
  const hash = await finishedBy(target);
  if (hash === undefined) return false;
  if (hash === run.hash) return true;
  throw new UserError(
    `Cannot resume "${target}": it is there and finished, of other images or with another ` +
      "configuration; leave --resume out to replace it",
  );
}

/** The hash of the run that made a file or an index; undefined when neither is there. */
async function finishedBy(target: string): Promise<string | undefined> {
  try {
    if (await kindOf(target) === "file") {
      await using file = await SafetensorsFile.open(target);
      return file.header.metadata["run_hash"] ?? "";
    }
    const index = indexPath(target);
    if (await kindOf(index) !== "file") return undefined;
    const { metadata } = JSON.parse(await Deno.readTextFile(index)) as FeatureIndex;
    return metadata["run_hash"] ?? "";
  } catch (error) {
    // What cannot be read was made by no run.
    if (error instanceof UserError || error instanceof SyntaxError) return "";
    throw ioError("read", target, error);
  }
}

function runFile(run: Run): string {
  return `${run.folder}/run.json`;
}

/** Leaves the identity beside the parts, for the one who resumes. */
export async function recordRun(run: Run): Promise<void> {
  await writeFileAtomic(runFile(run), JSON.stringify(run.identity));
}

/** Refuses to mix rows of two runs, naming what is different. */
export async function requireSameRun(run: Run): Promise<void> {
  const { identity } = run;
  let before: RunIdentity;
  try {
    before = JSON.parse(await Deno.readTextFile(runFile(run))) as RunIdentity;
  } catch {
    // Without it the parts' own hashes decide.
    return;
  }
  const refuse = (what: string): never => {
    throw new UserError(
      `Cannot resume "${run.target}": ${what} than when it was begun; repeat the first call's ` +
        `options, or remove "${run.folder}" to begin anew`,
    );
  };
  const keys = new Set([...Object.keys(before.config), ...Object.keys(identity.config)]);
  for (const key of [...keys].sort()) {
    if (before.config[key] !== identity.config[key]) refuse(`"${key}" is another`);
  }
  if (before.images !== identity.images) refuse("the images are others");
}
