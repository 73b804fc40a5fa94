/**
 * CIFAR-10 and CIFAR-100 in the binary format (Krizhevsky, "Learning multiple layers of features from
 * tiny images", 2009): records of one label byte (CIFAR-10) or a coarse and a fine one (CIFAR-100),
 * then 1024 red, 1024 green and 1024 blue bytes of a 32x32 image.
 */

import type { RgbImage } from "../kernels/preprocess/spec.ts";
import { ioError, kindOf, readFully, refuseFile, splitPath } from "./_io_error.ts";
import type { ImageItem } from "./_load_item.ts";

const SIDE = 32;
const PLANE = SIDE * SIDE;
const PIXEL_BYTES = 3 * PLANE;
/** Records read at a time: under a megabyte. */
const BLOCK = 256;

interface CifarFile {
  readonly path: string;
  readonly base: string;
  readonly labelBytes: number;
  readonly start: number;
  readonly count: number;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    const names: string[] = [];
    for await (const entry of Deno.readDir(folder)) if (!entry.isDirectory) names.push(entry.name);
    return names.sort();
  } catch (error) {
    throw ioError("read", folder, error);
  }
}

/** The files that a path means; none when it is no CIFAR. */
async function filesOf(path: string): Promise<string[]> {
  const { folder, base } = splitPath(path);
  if (base.includes("*") && base.endsWith(".bin")) {
    const pattern = new RegExp(`^${base.split("*").map(RegExp.escape).join(".*")}$`);
    const names = (await namesIn(folder)).filter((name) => pattern.test(name));
    if (names.length === 0) refuseFile(path, "no file has such a name");
    return names.map((name) => `${folder}/${name}`);
  }
  const kind = await kindOf(path);
  if (kind === "file") return path.endsWith(".bin") ? [path] : [];
  if (kind === undefined) return [];
  const names = await namesIn(path);
  const train = names.filter((name) => /^data_batch_\d+\.bin$/.test(name) || name === "train.bin");
  const test = names.filter((name) => name === "test_batch.bin" || name === "test.bin");
  if (train.length > 0 && test.length > 0) {
    refuseFile(
      path,
      `it has training and test images; name one of them, for example ` +
        `"${path}/${train.length > 1 ? "data_batch_*.bin" : train[0]}" or "${path}/${test[0]}"`,
    );
  }
  return [...train, ...test].map((name) => `${path}/${name}`);
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    throw ioError("read", path, error);
  }
}

/** Which of the two forms a file has; names decide where both lengths would do. */
function labelBytesOf(path: string, size: number, sibling: boolean): number {
  const { base } = splitPath(path);
  const hundred = sibling || base === "train.bin" || base === "test.bin";
  for (const labelBytes of hundred ? [2, 1] : [1, 2]) {
    if (size > 0 && size % (labelBytes + PIXEL_BYTES) === 0) return labelBytes;
  }
  refuseFile(
    path,
    `it has ${size} bytes, which is no whole number of CIFAR records ` +
      `(${1 + PIXEL_BYTES} or ${2 + PIXEL_BYTES} bytes each)`,
  );
}

async function readBytes(
  path: string,
  offset: number,
  bytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const into = new Uint8Array(bytes);
  try {
    using file = await Deno.open(path, { read: true });
    const count = await readFully(file, into, offset);
    if (count < bytes) refuseFile(path, "the file was shortened");
  } catch (error) {
    throw ioError("read", path, error);
  }
  return into;
}

/** The labels of a file, read in blocks. */
async function labelsOf(file: CifarFile): Promise<number[]> {
  const record = file.labelBytes + PIXEL_BYTES;
  const labels: number[] = [];
  for (let at = 0; at < file.count; at += BLOCK) {
    const rows = Math.min(BLOCK, file.count - at);
    const block = await readBytes(file.path, at * record, rows * record);
    for (let i = 0; i < rows; i++) labels.push(block[i * record + file.labelBytes - 1]!);
  }
  return labels;
}

async function classNamesOf(folder: string, labelBytes: number): Promise<readonly string[]> {
  const name = labelBytes === 1 ? "batches.meta.txt" : "fine_label_names.txt";
  try {
    const text = await Deno.readTextFile(`${folder}/${name}`);
    return text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== "");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw ioError("read", `${folder}/${name}`, error);
  }
}

function toImage(planes: Uint8Array): RgbImage {
  const data = new Uint8Array(PIXEL_BYTES);
  for (let i = 0; i < PLANE; i++) {
    data[3 * i] = planes[i]!;
    data[3 * i + 1] = planes[PLANE + i]!;
    data[3 * i + 2] = planes[2 * PLANE + i]!;
  }
  return { width: SIDE, height: SIDE, data };
}

/** The records of CIFAR files, one after the other. */
export interface CifarListing {
  readonly names: string[];
  readonly labels: (string | number)[];
  readonly classNames: readonly string[];
  item(index: number): Promise<ImageItem>;
}

async function describeFiles(paths: readonly string[]): Promise<CifarFile[]> {
  const { folder } = splitPath(paths[0]!);
  const hundred = await kindOf(`${folder}/fine_label_names.txt`) === "file";
  const files: CifarFile[] = [];
  let start = 0;
  for (const path of paths) {
    const size = await sizeOf(path);
    const labelBytes = labelBytesOf(path, size, hundred);
    const count = size / (labelBytes + PIXEL_BYTES);
    files.push({ path, base: splitPath(path).base, labelBytes, start, count });
    start += count;
  }
  return files;
}

/** Records by their number over all files; a block of them is kept, since they come in order. */
function recordReader(
  files: readonly CifarFile[],
): (index: number) => Promise<Uint8Array<ArrayBuffer>> {
  let kept: { file: CifarFile; first: number; bytes: Uint8Array<ArrayBuffer> } | undefined;
  return async (index) => {
    const file = files.findLast((candidate) => candidate.start <= index)!;
    const record = file.labelBytes + PIXEL_BYTES;
    const at = index - file.start;
    const first = at - at % BLOCK;
    let block = kept;
    if (block?.file !== file || block.first !== first) {
      const rows = Math.min(BLOCK, file.count - first);
      block = { file, first, bytes: await readBytes(file.path, first * record, rows * record) };
      kept = block;
    }
    const begin = (at - first) * record + file.labelBytes;
    return block.bytes.subarray(begin, begin + PIXEL_BYTES);
  };
}

/** Lists a CIFAR file, folder or pattern; undefined when the path is something else. */
export async function openCifar(path: string): Promise<CifarListing | undefined> {
  const paths = await filesOf(path);
  if (paths.length === 0) return undefined;
  const files = await describeFiles(paths);
  const { labelBytes } = files[0]!;
  const names: string[] = [];
  const labels: number[] = [];
  for (const file of files) {
    for (let i = 0; i < file.count; i++) names.push(`${file.base}#${i}`);
    labels.push(...await labelsOf(file));
  }
  const classNames = await classNamesOf(splitPath(paths[0]!).folder, labelBytes);
  const limit = classNames.length > 0 ? classNames.length : labelBytes === 1 ? 10 : 100;
  const wrong = labels.findIndex((label) => label >= limit);
  if (wrong >= 0) {
    refuseFile(
      path,
      `record ${names[wrong]} has the label ${labels[wrong]}, and at most ${limit - 1} was ` +
        "expected; it is no CIFAR file",
    );
  }
  const read = recordReader(files);
  const item = async (index: number): Promise<ImageItem> => ({
    name: names[index]!,
    image: toImage(await read(index)),
  });
  return { names, labels, classNames, item };
}
