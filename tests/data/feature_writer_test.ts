import { assert, assertEquals, assertRejects } from "@std/assert";
import { BROKEN, checkWhole, extract, NAMES, OPTIONS, run } from "../_support/feature_run.ts";
import { temporaryFolder } from "../_support/images.ts";
import { openFeatures } from "../../data/feature_set.ts";
import { FeatureWriter, type FeatureWriterOptions } from "../../data/feature_writer.ts";
import { UserError } from "../../runtime/errors.ts";

function listing(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
}

Deno.test("FeatureWriter makes one file, and nothing else stays", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  assertEquals(await run(path, OPTIONS), path);
  assertEquals(listing(folder.path), ["f.safetensors"]);
  await using set = await openFeatures(path);
  await checkWhole(set);
});

Deno.test("FeatureWriter makes the same bytes whatever the batches and parts", async () => {
  await using folder = await temporaryFolder();
  await run(`${folder.path}/a`, OPTIONS);
  await run(`${folder.path}/b`, { ...OPTIONS, partImages: 1 }, 1);
  await run(`${folder.path}/c`, { ...OPTIONS, partBytes: 16, partImages: 1000 }, 7);
  const [a, b, c] = await Promise.all(
    ["a", "b", "c"].map((name) => Deno.readFile(`${folder.path}/${name}`)),
  );
  assertEquals(b, a);
  assertEquals(c, a);
});

Deno.test("FeatureWriter goes on after a stop at any image and makes the same bytes", async () => {
  await using folder = await temporaryFolder();
  await run(`${folder.path}/whole`, OPTIONS);
  const whole = await Deno.readFile(`${folder.path}/whole`);
  for (let stop = 0; stop <= 20; stop++) {
    const path = `${folder.path}/${stop}`;
    {
      await using writer = await FeatureWriter.open(path, OPTIONS);
      await extract(writer, stop);
    }
    {
      await using writer = await FeatureWriter.open(path, { ...OPTIONS, resume: true });
      assertEquals(writer.position, Math.floor(stop / 6) * 6, `stopped at ${stop}`);
      assertEquals(
        writer.skipped.map(({ index }) => index),
        [...BROKEN].filter((index) => index < writer.position),
      );
      await extract(writer, 20);
      await writer.finish();
    }
    assertEquals(await Deno.readFile(path), whole, `stopped at ${stop}`);
  }
});

Deno.test("FeatureWriter survives being killed while it writes", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  const writer = new URL("../../data/feature_writer.ts", import.meta.url).href;
  // Appends for ever, one image a part, and tells of each part.
  const code = `
    import { FeatureWriter } from ${JSON.stringify(writer)};
    const names = Array.from({ length: 100000 }, (_, i) => String(i));
    const writer = await FeatureWriter.open(${
    JSON.stringify(path)
  }, { names, config: {}, partImages: 1 });
    for (let i = 0; i < names.length; i++) {
      await writer.append({ images: 1, arrays: { features: { data: new Float32Array(4096).fill(i), shape: [1, 4096] } } });
      console.log(i);
    }`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-read", "--allow-write", "--ext=ts", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
    cwd: new URL("../../", import.meta.url),
  }).spawn();
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode(code));
  await input.close();
  let told = 0;
  for await (const chunk of child.stdout) {
    told += chunk.filter((byte) => byte === 10).length;
    if (told >= 20) {
      child.kill("SIGKILL");
      break;
    }
  }
  await child.status;
  assert(told >= 20, `the child wrote ${told} parts only`);
  const names = Array.from({ length: 100000 }, (_, i) => String(i));
  await using again = await FeatureWriter.open(path, {
    names,
    config: {},
    partImages: 1,
    resume: true,
  });
  assert(again.position >= told, `${again.position} images are safe and ${told} were told`);
  assertEquals(listing(`${path}.parts`).filter((name) => name.endsWith(".tmp")), []);
});

Deno.test("FeatureWriter drops parts that are damaged or behind a gap", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f`;
  await run(`${folder.path}/whole`, OPTIONS);
  const damages: [string, (part: string) => Promise<void>, number][] = [
    ["cut off", (part) => Deno.truncate(part, 100), 6],
    ["gone", (part) => Deno.remove(part), 6],
  ];
  for (const [what, damage, position] of damages) {
    {
      await using writer = await FeatureWriter.open(path, OPTIONS);
      await extract(writer, 18);
    }
    await damage(`${path}.parts/part-0000000006-0000000012.safetensors`);
    await using writer = await FeatureWriter.open(path, { ...OPTIONS, resume: true });
    assertEquals(writer.position, position, what);
    await extract(writer, 20);
    await writer.finish();
    assertEquals(await Deno.readFile(path), await Deno.readFile(`${folder.path}/whole`), what);
  }
});

Deno.test("FeatureWriter.open() refuses to lose or to mix unfinished work", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f`;
  {
    await using writer = await FeatureWriter.open(path, OPTIONS);
    await extract(writer, 12);
  }
  const refuses = async (options: Partial<FeatureWriterOptions>, part: string) => {
    const error = await assertRejects(
      () => FeatureWriter.open(path, { ...OPTIONS, resume: true, ...options }),
      UserError,
    );
    assert(error.message.includes(part), error.message);
  };
  await refuses({ resume: false }, "an unfinished extraction is in");
  await refuses({ config: { ...OPTIONS.config, model_hash: "n" } }, '"model_hash" is another');
  await refuses({ names: [...NAMES, "more.jpg"] }, "the images are others");
  await refuses({ dtypes: {} }, '"dtypes" is another');
  await using writer = await FeatureWriter.open(path, { ...OPTIONS, resume: true });
  assertEquals(writer.position, 12);
});

Deno.test("FeatureWriter.open() with resume knows a run that is finished", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f`;
  for (const layout of ["single", "shards"] as const) {
    const options = { ...OPTIONS, layout, config: { layout } };
    const made = await run(path, options);
    await using writer = await FeatureWriter.open(path, { ...options, resume: true });
    assertEquals(writer.position, 20);
    assertEquals(await writer.finish(), made);
    const other = { ...options, config: { layout: "other" }, resume: true };
    await assertRejects(() => FeatureWriter.open(path, other), UserError, "there and finished");
    if (layout === "single") await Deno.remove(path);
  }
});

Deno.test("FeatureWriter.open() refuses a second writer", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f`;
  await using _ = await FeatureWriter.open(path, OPTIONS);
  await assertRejects(
    () => FeatureWriter.open(path, OPTIONS),
    UserError,
    "another process is writing it",
  );
});

Deno.test("FeatureWriter.open() says what is wrong with its target", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const refuses = (target: string, options: FeatureWriterOptions, part: string) =>
    assertRejects(() => FeatureWriter.open(target, options), UserError, part);
  await refuses(path, OPTIONS, "it is a folder");
  await refuses(`${path}/no/f`, OPTIONS, `there is no folder "${path}/no"`);
  await refuses(`${path}/f`, { ...OPTIONS, names: [] }, "there are no images");
  await refuses(`${path}/f`, { ...OPTIONS, shard: { index: 0, of: 2 } }, "Cannot take shard 0/2");
});

Deno.test("FeatureWriter.finish() refuses a run in which no image can be read", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f`;
  await using writer = await FeatureWriter.open(path, { names: ["a.jpg"], config: {} });
  const skipped = [{ index: 0, name: "a.jpg", reason: "the file is empty" }];
  await writer.append({ images: 1, arrays: {}, skipped });
  await assertRejects(
    () => writer.finish(),
    UserError,
    'none of the 1 images can be read; the first is "a.jpg": the file is empty',
  );
});

Deno.test("FeatureWriter leaves no trace of a run that there is nothing to go on from", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f`;
  {
    await using _writer = await FeatureWriter.open(path, OPTIONS);
  }
  assertEquals(listing(folder.path), []);
  {
    await using writer = await FeatureWriter.open(path, { names: ["a"], config: {} });
    const skipped = [{ index: 0, name: "a", reason: "the file is empty" }];
    await writer.append({ images: 1, arrays: {}, skipped });
    await assertRejects(() => writer.finish(), UserError, "none of the 1 images can be read");
  }
  assertEquals(listing(folder.path), []);
  {
    await using writer = await FeatureWriter.open(path, OPTIONS);
    await extract(writer, 2);
    await writer.flush();
  }
  assertEquals(listing(folder.path), ["f.parts"]);
});

Deno.test("FeatureWriter.append() refuses rows that do not fit", async () => {
  await using folder = await temporaryFolder();
  await using writer = await FeatureWriter.open(`${folder.path}/f`, OPTIONS);
  const features = (rows: number, width = 2) => ({
    features: { data: new Float32Array(rows * width), shape: [rows, width] },
  });
  const refuses = (rows: Parameters<typeof writer.append>[0], part: string) =>
    assertRejects(() => writer.append(rows), TypeError, part);
  await refuses({ images: 21, arrays: features(21) }, "beyond the last");
  await refuses({ images: 2, arrays: features(1) }, "2 rows were expected");
  await refuses({ images: 1, arrays: {} }, "it has no arrays");
  const skipped = [{ index: 5, name: "5.jpg", reason: "" }];
  await refuses({ images: 2, arrays: features(1), skipped }, "skipped image 5");
  await writer.append({ images: 1, arrays: features(1) });
  await refuses({ images: 1, arrays: features(1, 3) }, "[2] was expected");
  const labels = { data: new Int32Array(1), shape: [1] };
  await refuses({ images: 1, arrays: { ...features(1), labels } }, "the arrays features were");
  await assertRejects(() => writer.finish(), TypeError, "are missing");
});

Deno.test("FeatureWriter can leave shards behind an index", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/f.safetensors`;
  const index = await run(path, { ...OPTIONS, layout: "shards" });
  assertEquals(index, `${path}.index.json`);
  assertEquals(listing(folder.path), [
    "f-00001-of-00004.safetensors",
    "f-00002-of-00004.safetensors",
    "f-00003-of-00004.safetensors",
    "f-00004-of-00004.safetensors",
    "f-shared.safetensors",
    "f.safetensors.index.json",
  ]);
  await using set = await openFeatures(index);
  await checkWhole(set);
});
