import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { encodeRgbPng, makeImage, temporaryFolder, writeTree } from "../_support/images.ts";
import { ImageError } from "../../data/image.ts";
import { alignLabels, openImages } from "../../data/images.ts";
import { UserError } from "../../runtime/errors.ts";

const PNG = await encodeRgbPng(makeImage(2, 3));

async function refusal(path: string, options = {}): Promise<string> {
  return (await assertRejects(() => openImages(path, options), UserError)).message;
}

Deno.test("openImages() lists a folder by name, with its sub-folders as classes", async () => {
  await using folder = await temporaryFolder();
  await writeTree(folder.path, {
    "dog/2.png": PNG,
    "dog/10.png": PNG,
    "dog/deep/er/1.PNG": PNG,
    "cat/b.jpeg": PNG,
    "cat/a.webp": PNG,
    "Zebra/x.png": PNG,
    "\u{1F600}/x.png": PNG,
    "\uFFFD/x.png": PNG,
    "top.png": PNG,
    "notes.txt": "no image",
    "dog/.hidden.png": PNG,
    ".git/x.png": PNG,
    "__MACOSX/cat.png": PNG,
  });
  await Deno.mkdir(`${folder.path}/empty`);
  for (const path of [folder.path, `${folder.path}/`]) {
    const set = await openImages(path);
    assertEquals(set.names, [
      "Zebra/x.png",
      "cat/a.webp",
      "cat/b.jpeg",
      "dog/10.png",
      "dog/2.png",
      "dog/deep/er/1.PNG",
      "top.png",
      "\uFFFD/x.png",
      "\u{1F600}/x.png",
    ]);
    assertEquals(set.classNames, ["Zebra", "cat", "dog", "empty", "\uFFFD", "\u{1F600}"]);
    assertEquals([...set.labels], [0, 1, 1, 2, 2, 2, -1, 4, 5]);
    assertEquals(set.skippedFiles, 4);
    assertEquals(await set.read(1), makeImage(2, 3));
  }
});

Deno.test("openImages() gives no labels when asked for none", async () => {
  await using folder = await temporaryFolder();
  await writeTree(folder.path, { "cat/a.png": PNG, "dog/b.png": PNG });
  const set = await openImages(folder.path, { labels: "none" });
  assertEquals([...set.labels], [-1, -1]);
  assertEquals(set.classNames, []);
});

Deno.test("openImages() follows links and does not go round in circles", async () => {
  await using folder = await temporaryFolder();
  await writeTree(folder.path, { "real/a.png": PNG, "set/cat/b.png": PNG });
  await Deno.symlink(`${folder.path}/real`, `${folder.path}/set/linked`);
  await Deno.symlink(`${folder.path}/set`, `${folder.path}/set/cat/up`);
  const set = await openImages(`${folder.path}/set`);
  assertEquals(set.names, ["cat/b.png", "linked/a.png"]);
});

Deno.test("openImages() says in one sentence that there is nothing to read", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  assertEquals(
    await refusal(path),
    `Cannot read "${path}": there is no image in the folder; JPEG, PNG and WebP files were expected`,
  );
  await writeTree(path, { "a.txt": "", "b.csv": "" });
  assert((await refusal(path)).includes("only 2 other files"));
  assertEquals(
    await refusal(`${path}/no`),
    `Cannot read "${path}/no": there is no such file or folder`,
  );
});

Deno.test("ImageSet.read() gives an ImageError for a damaged file and goes on", async () => {
  await using folder = await temporaryFolder();
  await writeTree(folder.path, {
    "a.jpg": "text",
    "b.png": PNG.slice(0, 30),
    "c.png": PNG,
    "d.png": "",
    "e.gif": "GIF89a",
  });
  const set = await openImages(folder.path);
  const reasons: string[] = [];
  for (let i = 0; i < set.count; i++) {
    await set.read(i).catch((error) => {
      assert(error instanceof ImageError);
      reasons.push(`${error.image}: ${error.reason}`);
    });
  }
  assertEquals(reasons, [
    "a.jpg: it is text, not an image",
    "b.png: the file is truncated",
    "d.png: the file is empty",
    "e.gif: it is a GIF; JPEG, PNG and WebP can be read",
  ]);
  await Deno.remove(`${folder.path}/c.png`);
  await assertRejects(() => set.read(2), ImageError, "there is no such file");
});

Deno.test("openImages() reads one image, and lists in their several forms", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeTree(path, {
    "a.png": PNG,
    "sub/b c.png": PNG,
    "plain.txt": "# comment\na.png\n\nsub/b c.png\r\n",
    "tabs.txt": "a.png\tdog\nsub/b c.png\tcat\n",
    "commas.csv": `${path}/a.png,1\nsub/b c.png,0\n`,
    "spaces.txt": "a.png 7\nsub/b c.png -1\n",
    "lines.jsonl": '{"path":"a.png","label":"x"}\n{"path":"sub/b c.png"}\n',
  });
  const one = await openImages(`${path}/a.png`);
  assertEquals([one.names, [...one.labels]], [["a.png"], [-1]]);
  const labels = async (name: string) => {
    const set = await openImages(`${path}/${name}`);
    assertEquals((await set.read(1)).height, 3);
    return { labels: [...set.labels], classNames: set.classNames };
  };
  assertEquals(await labels("plain.txt"), { labels: [-1, -1], classNames: [] });
  assertEquals(await labels("tabs.txt"), { labels: [1, 0], classNames: ["cat", "dog"] });
  assertEquals(await labels("commas.csv"), { labels: [1, 0], classNames: [] });
  assertEquals(await labels("spaces.txt"), { labels: [7, -1], classNames: [] });
  assertEquals(await labels("lines.jsonl"), { labels: [0, -1], classNames: ["x"] });
});

Deno.test("openImages() checks a list before anything is read", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeTree(path, {
    "a.png": PNG,
    "missing.txt": "a.png\nb.png\nc.png\n",
    "empty.txt": "\n# nothing\n",
    "bad.jsonl": '{"path":"a.png"}\n{"file":"a.png"}\n',
    "binary.dat": new Uint8Array([0, 159, 146, 150]),
  });
  assertEquals(
    await refusal(`${path}/missing.txt`),
    `Cannot read "${path}/missing.txt": line 2 names "b.png", and there is no such file (and 1 ` +
      "more lines like it)",
  );
  assert((await refusal(`${path}/empty.txt`)).includes("it lists no image"));
  assert((await refusal(`${path}/bad.jsonl`)).includes('line 2: it has no "path"'));
  assert((await refusal(`${path}/binary.dat`)).includes("neither an image nor a text"));
});

Deno.test("openImages() takes labels from CSV, TSV and JSON files", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeTree(`${path}/set`, { "x/a.png": PNG, "x/b.png": PNG, "y/c.png": PNG });
  await writeTree(path, {
    "numbers.csv": "a.png,3\nb.png,1\nc.png,0\n",
    "names.csv": '\uFEFFfile,split,label\nx/a.png,train,"dog, big"\ny/c.png,test,cat\n',
    "swapped.csv": "label,filename\ncat,a.png\ndog,b.png\n",
    "t.tsv": "a.png\tdog\nc.png\tcat\n",
    "o.json": '{"x/a.png": "dog", "b.png": "cat"}',
    "l.json": '[{"path": "a.png", "label": 2}, ["b.png", 0]]',
    "other.csv": "z.png,1\n",
    "short.csv": "a.png,1\nb.png\n",
    "bad.json": '{"a.png": [1]}',
    "empty.csv": "path,label\n",
  });
  const labels = async (file: string) => {
    const set = await openImages(`${path}/set`, { labels: `${path}/${file}` });
    return { labels: [...set.labels], classNames: set.classNames };
  };
  assertEquals(await labels("numbers.csv"), { labels: [3, 1, 0], classNames: [] });
  assertEquals(await labels("names.csv"), { labels: [1, -1, 0], classNames: ["cat", "dog, big"] });
  assertEquals(await labels("swapped.csv"), { labels: [0, 1, -1], classNames: ["cat", "dog"] });
  assertEquals(await labels("t.tsv"), { labels: [1, -1, 0], classNames: ["cat", "dog"] });
  assertEquals(await labels("o.json"), { labels: [1, 0, -1], classNames: ["cat", "dog"] });
  assertEquals(await labels("l.json"), { labels: [2, 0, -1], classNames: [] });
  const bad = (file: string) => refusal(`${path}/set`, { labels: `${path}/${file}` });
  assert((await bad("other.csv")).includes("none of its 1 names is an image of the set"));
  assert((await bad("short.csv")).includes("line 2"));
  assert((await bad("bad.json")).includes("a label that is a name or a whole number"));
  assert((await bad("empty.csv")).includes("no label"));
  assert((await bad("none.csv")).includes("no such file"));
});

Deno.test("openImages() numbers classes in a given order and refuses others", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeTree(path, { "cat/a.png": PNG, "dog/b.png": PNG });
  const set = await openImages(path, { classNames: ["dog", "bird", "cat"] });
  assertEquals([...set.labels], [2, 0]);
  assertEquals(set.classNames, ["dog", "bird", "cat"]);
  assertEquals(
    await refusal(path, { classNames: ["cat", "bird"] }),
    `Cannot use the labels of "${path}": "dog" is not among the 2 classes of the model ` +
      '("cat", "bird")',
  );
});

Deno.test("alignLabels() maps by name, and counts what it does not know when told to", () => {
  const set = {
    path: "x",
    classNames: ["a", "b", "c"],
    labels: new Int32Array([2, 0, -1, 1, 1]),
  };
  assertEquals([...alignLabels(set, ["c", "b", "a"]).labels], [0, 2, -1, 1, 1]);
  const some = alignLabels(set, ["c", "a"], { unknown: "ignore" });
  assertEquals([...some.labels], [0, 1, -1, -1, -1]);
  assertEquals([some.unknownClasses, some.unknownCount], [["b"], 2]);
  assertThrows(() => alignLabels(set, ["c", "a"]), UserError, '"b" is not among');
  const numbers = { path: "x", classNames: [], labels: new Int32Array([0, 4]) };
  assertEquals([...alignLabels(numbers, ["a", "b", "c", "d", "e"]).labels], [0, 4]);
  assertThrows(() => alignLabels(numbers, ["a"]), UserError, "there is a label 4");
});

/** A CIFAR file of records whose pixels tell their place. */
function cifar(labels: readonly number[][], first = 0): Uint8Array<ArrayBuffer> {
  const width = labels[0]!.length + 3072;
  const bytes = new Uint8Array(labels.length * width);
  for (const [i, label] of labels.entries()) {
    bytes.set(label, i * width);
    for (let p = 0; p < 3072; p++) {
      const channel = Math.floor(p / 1024);
      bytes[i * width + label.length + p] = first + i + 64 * channel + (p % 1024 === 33 ? 7 : 0);
    }
  }
  return bytes;
}

Deno.test("openImages() reads CIFAR-10 and CIFAR-100 in the binary format", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeTree(path, {
    "ten/data_batch_1.bin": cifar([[3], [1]]),
    "ten/data_batch_2.bin": cifar([[9]], 2),
    "ten/test_batch.bin": cifar([[0]], 50),
    "ten/batches.meta.txt":
      "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n",
    "hundred/test.bin": cifar([[4, 30], [1, 99]]),
  });
  const train = await openImages(`${path}/ten/data_batch_*.bin`);
  assertEquals(train.names, ["data_batch_1.bin#0", "data_batch_1.bin#1", "data_batch_2.bin#0"]);
  assertEquals([...train.labels], [3, 1, 9]);
  assertEquals(train.classNames[9], "truck");
  for (let i = 0; i < 3; i++) {
    const image = await train.read(i);
    assertEquals([image.width, image.height], [32, 32]);
    assertEquals([...image.data.slice(0, 3)], [i, i + 64, i + 128]);
    // Pixel 33 is the second of the second row.
    assertEquals([...image.data.slice(99, 102)], [i + 7, i + 71, i + 135]);
  }
  const test = await openImages(`${path}/ten/test_batch.bin`);
  assertEquals((await test.read(0)).data[0], 50);
  const hundred = await openImages(`${path}/hundred`);
  assertEquals([...hundred.labels], [30, 99]);
  const aligned = await openImages(`${path}/ten/test_batch.bin`, {
    classNames: [...train.classNames].reverse(),
  });
  assertEquals([...aligned.labels], [9]);
  assertEquals([...(await openImages(`${path}/ten/test_batch.bin`, { labels: "none" })).labels], [
    -1,
  ]);
});

Deno.test("openImages() refuses CIFAR files that are cut off, mixed or something else", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeTree(path, {
    "short.bin": cifar([[3]]).slice(0, 3000),
    "noise.bin": cifar([[200]]),
    "both/data_batch_1.bin": cifar([[3]]),
    "both/test_batch.bin": cifar([[3]]),
  });
  assert((await refusal(`${path}/short.bin`)).includes("no whole number of CIFAR records"));
  assert((await refusal(`${path}/noise.bin`)).includes("has the label 200"));
  assert((await refusal(`${path}/both`)).includes("it has training and test images"));
  assert((await refusal(`${path}/none_*.bin`)).includes("no file has such a name"));
});
