import { assertEquals, assertRejects } from "@std/assert";
import { openImages } from "../../data/mod.ts";
import { type SyntheticImage, writePairLists } from "../../methods/mod.ts";
import { UserError } from "../../runtime/mod.ts";
import { encodeRgbPng, makeImage, temporaryFolder, writeTree } from "../_support/images.ts";

const COURSE = { before: 1, after: [0] } as const;

/** An image that was made of a source. */
function made(source: string | null, change: Partial<SyntheticImage> = {}): SyntheticImage {
  const name = source?.split("/")[0] ?? "teapot";
  return {
    source,
    synthetic: `images/${source ?? "teapot/0.png"}`,
    label: source === null ? -1 : 0,
    class: name,
    elements: ["sofa"],
    prompt: "sofa",
    seed: 0,
    loss: [],
    energy: COURSE,
    msp: COURSE,
    crossed: true,
    kept: true,
    ...change,
  };
}

/** Files for sources and what was made of them, each of another colour. */
async function drawn(root: string, images: readonly SyntheticImage[]): Promise<void> {
  const tree: Record<string, Uint8Array> = {};
  for (const [i, { source, synthetic }] of images.entries()) {
    if (source !== null) tree[`train/${source}`] = await colour(i);
    tree[`out/${synthetic}`] = await colour(100 + i);
  }
  await writeTree(root, tree);
}

const colour = (value: number) => encodeRgbPng(makeImage(2, 2, () => value));

/** The colours of a list's images, and their classes. */
async function seen(list: string): Promise<{ colours: number[]; classes: (string | undefined)[] }> {
  const set = await openImages(list);
  const colours: number[] = [];
  for (let i = 0; i < set.count; i++) colours.push((await set.read(i)).data[0]!);
  return { colours, classes: Array.from(set.labels, (label) => set.classNames[label]) };
}

Deno.test("writePairLists() lists what is kept, each image at the place of its source", async () => {
  await using folder = await temporaryFolder();
  const images = [
    made("cat/1.png"),
    made("cat/2.png", { kept: false, synthetic: "rejected/cat/2.png" }),
    made("dog/1.png", { label: 1 }),
    made("cat/3.png"),
  ];
  await drawn(folder.path, images);
  const [out, root] = [`${folder.path}/out`, `${folder.path}/train`];
  const lists = await writePairLists(out, { images, root });
  assertEquals(lists, {
    sources: `${out}/sources.tsv`,
    synthetic: `${out}/synthetic.tsv`,
    count: 3,
  });
  assertEquals(
    await Deno.readTextFile(lists.sources!),
    "../train/cat/1.png\tcat\n../train/dog/1.png\tdog\n../train/cat/3.png\tcat\n",
  );
  assertEquals(
    await Deno.readTextFile(lists.synthetic),
    "images/cat/1.png\tcat\nimages/dog/1.png\tdog\nimages/cat/3.png\tcat\n",
  );
  const classes = ["cat", "dog", "cat"];
  assertEquals(await seen(lists.sources!), { colours: [0, 2, 3], classes });
  assertEquals(await seen(lists.synthetic), { colours: [100, 102, 103], classes });
});

Deno.test("writePairLists() lists no sources where there are none, and none of which is kept", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const labels = await writePairLists(path, { images: [made(null)], root: undefined });
  assertEquals([labels.sources, labels.count], [undefined, 1]);
  assertEquals(await Deno.readTextFile(labels.synthetic), "images/teapot/0.png\tteapot\n");
  // Images that lie in one file with others cannot be listed.
  const packed = await writePairLists(path, {
    images: [made("test_batch.bin:0")],
    root: undefined,
  });
  assertEquals(packed.sources, undefined);
  const files = await Array.fromAsync(Deno.readDir(path), ({ name }) => name);
  assertEquals(files, ["synthetic.tsv"]);
  const images = [made("cat/1.png", { kept: false })];
  const none = await writePairLists(path, { images, root: path });
  assertEquals([none.count, await Deno.readTextFile(none.sources!)], [0, ""]);
});

Deno.test("lines of writePairLists() come back whatever images and classes are called", async () => {
  await using folder = await temporaryFolder();
  const names = ["3", "12", "c d", "crane, bird", "#one", "{two}", "tab\tbed", "it's", "é"];
  const images = names.map((name, label) => made(`${name}/a, b 7.png`, { class: name, label }));
  await drawn(folder.path, images);
  const [out, root] = [`${folder.path}/out`, `${folder.path}/train`];
  const lists = await writePairLists(out, { images, root });
  for (const [list, first] of [[lists.sources!, 0], [lists.synthetic, 100]] as const) {
    const { colours, classes } = await seen(list);
    assertEquals([colours, classes], [names.map((_, i) => first + i), names]);
  }
  const inside = await writePairLists(folder.path, {
    images: [made("#one/a, b 7.png", { synthetic: "out/images/#one/a, b 7.png" })],
    root,
  });
  assertEquals(inside.count, 1);
  // Sources in the run's own folder begin with their class.
  const beside = await writePairLists(root, {
    images: [made("#one/a, b 7.png", { synthetic: "#one/a, b 7.png" })],
    root,
  });
  assertEquals((await seen(beside.sources!)).colours, [4]);
});

Deno.test("writePairLists() keeps numbers of classes that have no names", async () => {
  await using folder = await temporaryFolder();
  const images = [0, 7].map((label) => made(`${label}.png`, { class: String(label), label }));
  await drawn(folder.path, images);
  const lists = await writePairLists(`${folder.path}/out`, {
    images,
    root: `${folder.path}/train`,
  });
  const set = await openImages(lists.sources!);
  assertEquals([[...set.labels], set.classNames], [[0, 7], []]);
});

Deno.test({
  name: "writePairLists() finds sources from a folder behind a link, and absolute ones",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using folder = await temporaryFolder();
    const { path } = folder;
    await Deno.mkdir(`${path}/disk/far/away`, { recursive: true });
    await Deno.symlink(`${path}/disk/far/away`, `${path}/out`);
    const images = [made("cat/1.png"), made("dog/1.png")];
    await drawn(path, images);
    await Deno.symlink(`${path}/train`, `${path}/disk/link`);
    for (const root of [`${path}/train`, `${path}/disk/link`]) {
      // Written by way of the link, the lists are found by either way.
      await writePairLists(`${path}/out`, { images, root });
      for (const out of ["out", "disk/far/away"]) {
        assertEquals((await seen(`${path}/${out}/sources.tsv`)).colours, [0, 1]);
      }
    }
    const absolute = [made(`${path}/train/dog/1.png`, { class: "dog", synthetic: "x.png" })];
    const { sources } = await writePairLists(`${path}/out`, { images: absolute, root: path });
    assertEquals(await seen(sources!), { colours: [1], classes: ["dog"] });
  },
});

Deno.test("writePairLists() says in one sentence that a folder is missing", async () => {
  await using folder = await temporaryFolder();
  const out = `${folder.path}/none`;
  await assertRejects(
    () => writePairLists(out, { images: [made("cat/1.png")], root: folder.path }),
    UserError,
    `there is no folder "${out}"`,
  );
});
