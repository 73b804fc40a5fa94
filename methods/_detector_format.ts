/**
 * The layout of a detector's file, and reading one from wherever its bytes are.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { SafetensorsArray, SafetensorsDType, SafetensorsEntry } from "../data/mod.ts";
import { UserError } from "../runtime/mod.ts";
import type { Calibration } from "./calibration.ts";
import { Detector } from "./detector.ts";
import type { ScoreMethod, StateArray } from "./score.ts";

/** What a detector's file calls itself. */
export const FORMAT = "oodgpu.detector";
/** Version of the layout. */
export const FORMAT_VERSION = 1;
/** Learned arrays carry their name behind this. */
export const STATE_PREFIX = "state.";
/** The calibration's scores. */
export const SCORES_KEY = "calibration.scores";
/** Metadata that this file writes itself; the rest is the detector's own. */
const RESERVED: ReadonlySet<string> = new Set([
  ...["format", "format_version", "method", "parameters", "inputs", "warnings", "calibration"],
]);

/** Element types of learned arrays, by the name of the array that holds them. */
export const DTYPES: ReadonlyMap<string, SafetensorsDType> = new Map([
  ["Float32Array", "F32"],
  ["Float64Array", "F64"],
  ["Int32Array", "I32"],
  ["Uint32Array", "U32"],
]);

/** Rows are read in pieces of at most this many bytes. */
const PART_BYTES = 32 << 20;

/** What a detector is read from: an open file, or bytes in memory. */
export interface Source {
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly entries: ReadonlyMap<string, Pick<SafetensorsEntry, "shape">>;
  rows(name: string, range: { start: number; rows: number }): Promise<SafetensorsArray>;
  whole(name: string): Promise<SafetensorsArray>;
}

/** Makes a detector of what its file holds. */
export async function readDetector(
  source: Source,
  methods: readonly ScoreMethod[],
): Promise<Detector> {
  const { metadata } = source;
  if (metadata["format"] !== FORMAT) {
    throw new UserError(
      `Cannot read "${source.name}": it is no detector; a file from the fit command was expected`,
    );
  }
  if (metadata["format_version"] !== String(FORMAT_VERSION)) {
    throw new UserError(
      `Cannot read "${source.name}": its format version is ${metadata["format_version"]}, and ` +
        `${FORMAT_VERSION} was expected`,
    );
  }
  const method = methods.find(({ name }) => name === metadata["method"]);
  if (method === undefined) {
    throw new UserError(
      `Cannot read "${source.name}": it is a detector of the method "${metadata["method"]}", ` +
        `which is not known here`,
    );
  }
  const arrays: Record<string, StateArray> = {};
  for (const key of source.entries.keys()) {
    if (!key.startsWith(STATE_PREFIX)) continue;
    arrays[key.slice(STATE_PREFIX.length)] = await readArray(source, key);
  }
  const state = {
    parameters: parseNumbers(source, "parameters"),
    inputs: parseShapes(source),
    arrays,
    warnings: parseWarnings(source),
  };
  const fitted = restore(source, () => method.restore(state));
  const own = Object.entries(metadata).filter(([key]) => !RESERVED.has(key));
  return new Detector(fitted, {
    metadata: Object.fromEntries(own),
    calibration: await readCalibration(source),
  });
}

function restore<T>(source: Source, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`Cannot read "${source.name}": ${lowerFirst(error.message)}`, {
      cause: error,
    });
  }
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

/** An array in parts that each fit any binding. */
async function readArray(source: Source, key: string): Promise<StateArray> {
  const { shape } = source.entries.get(key)!;
  const [rows = 1, ...rest] = shape;
  const rowBytes = 8 * rest.reduce((product, length) => product * length, 1);
  const step = Math.max(1, Math.floor(PART_BYTES / Math.max(1, rowBytes)));
  const parts: StateArray["parts"][number][] = [];
  for (let start = 0; start < rows; start += step) {
    const { data } = await source.rows(key, { start, rows: Math.min(step, rows - start) });
    requireFloats(source, key, data);
    parts.push(data as StateArray["parts"][number]);
  }
  return { shape, parts };
}

function requireFloats(source: Source, key: string, data: SafetensorsArray["data"]): void {
  if (!DTYPES.has(data.constructor.name)) {
    throw new UserError(`Cannot read "${source.name}": "${key}" has an unexpected element type`);
  }
  if (!(data as Float32Array).every(Number.isFinite)) {
    throw new UserError(`Cannot read "${source.name}": "${key}" has a NaN or an infinity`);
  }
}

function parseJson(source: Source, key: string): unknown {
  try {
    return JSON.parse(source.metadata[key] ?? "");
  } catch {
    throw new UserError(`Cannot read "${source.name}": its "${key}" is no JSON text`);
  }
}

function parseRecord(source: Source, key: string): Record<string, unknown> {
  const value = parseJson(source, key);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new UserError(`Cannot read "${source.name}": its "${key}" is no JSON object`);
}

function parseNumbers(source: Source, key: string): Record<string, number> {
  const record = parseRecord(source, key);
  for (const [name, value] of Object.entries(record)) {
    if (typeof value === "number") continue;
    throw new UserError(`Cannot read "${source.name}": its "${key}.${name}" is no number`);
  }
  return record as Record<string, number>;
}

function parseShapes(source: Source): Record<string, readonly number[]> {
  const record = parseRecord(source, "inputs");
  for (const [name, value] of Object.entries(record)) {
    if (Array.isArray(value) && value.every(Number.isInteger)) continue;
    throw new UserError(`Cannot read "${source.name}": its "inputs.${name}" is no shape`);
  }
  return record as Record<string, readonly number[]>;
}

function parseWarnings(source: Source): string[] {
  const value = source.metadata["warnings"] === undefined ? [] : parseJson(source, "warnings");
  return Array.isArray(value) ? value.map(String) : [];
}

async function readCalibration(source: Source): Promise<Calibration | undefined> {
  if (source.metadata["calibration"] === undefined) return undefined;
  const record = parseRecord(source, "calibration");
  const { threshold, acceptance, accepted, interval, count } = record;
  const numbers = [threshold, acceptance, accepted, count];
  const pair = Array.isArray(interval) && interval.length === 2 ? interval : [undefined];
  if (![...numbers, ...pair].every((value) => typeof value === "number")) {
    throw new UserError(`Cannot read "${source.name}": its "calibration" lacks a number`);
  }
  if (!source.entries.has(SCORES_KEY)) {
    throw new UserError(`Cannot read "${source.name}": it has no "${SCORES_KEY}"`);
  }
  const { data } = await source.whole(SCORES_KEY);
  requireFloats(source, SCORES_KEY, data);
  return {
    threshold: threshold as number,
    acceptance: acceptance as number,
    accepted: accepted as number,
    interval: [pair[0] as number, pair[1] as number],
    count: count as number,
    scores: data as Float32Array<ArrayBuffer>,
  };
}
