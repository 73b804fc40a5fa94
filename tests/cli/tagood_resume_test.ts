import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { openFeatures } from "../../data/mod.ts";
import { writeObjects } from "../../methods/mod.ts";
import { objectRecord } from "../../methods/tagood/features.ts";
import { Host } from "../../runtime/mod.ts";
import { prepared, SMALL, withObjects } from "./_colours.ts";
import { Process } from "./_process.ts";
import { assertRefused, listFiles, ood, succeed } from "./_workshop.ts";

Deno.test({
  name:
    "ood tagood train stopped by Ctrl-C and then killed goes on with --resume to the same bytes",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await using shop = await prepared("train", "test");
    const { file } = shop;
    await withObjects(shop, "train", "test");
    const argv = (out: string, ...more: string[]) => [
      ...["tagood", "train", "--objects", file("train.objects"), "--out", file(out)],
      ...["--validation", file("test.objects"), ...SMALL, "--epochs", "30", ...more],
    ];
    await succeed(...argv("whole"));
    {
      await using run = new Process(...argv("d.st"));
      await run.saw("Epoch 2:");
      run.child.kill("SIGINT");
      assertEquals((await run.end()).code, 130, run.notes);
      assertStringIncludes(run.notes, "what was written is kept, and --resume goes on from there");
      assertEquals(/mistake|^ {4}at /m.test(run.notes), false, run.notes);
    }
    const checkpoint = `${file("d.st")}.checkpoint`;
    const before = listFiles(shop.path);
    assertRefused(await ood(...argv("d.st")), {
      code: 1,
      message: `an unfinished training is in "${checkpoint}"; go on with --resume, or remove it`,
    });
    assertRefused(await ood(...argv("d.st", "--resume", "--beta", "0.2")), {
      code: 1,
      message: `Cannot resume from "${checkpoint}": "beta" is 0.2 and was 0.1`,
    });
    assertRefused(await ood(...argv("d.st", "--resume", "--validation", file("train.objects"))), {
      code: 1,
      message: `Cannot resume from "${checkpoint}": "objects" is`,
    });
    assertEquals(listFiles(shop.path), before);
    {
      await using run = new Process(...argv("d.st", "--resume"));
      await run.saw("going on after");
      await run.saw("Epoch 2");
      run.child.kill("SIGKILL");
      assertEquals((await run.end()).signal, "SIGKILL");
    }
    const { notes } = await succeed(...argv("d.st", "--resume"));
    assertStringIncludes(notes, "going on after");
    assertEquals(await Deno.readFile(file("d.st")), await Deno.readFile(file("whole")));
    assertEquals(listFiles(shop.path).some((line) => line.includes("checkpoint")), false);
    assertRefused(await ood(...argv("d.st", "--resume")), {
      code: 1,
      message: `there is no unfinished training in "${checkpoint}"`,
    });
  },
});

Deno.test("ood tagood features goes on with a stopped run to the same bytes", async () => {
  await using shop = await prepared("train");
  const { file } = shop;
  await withObjects(shop);
  const out = file("train.objects");
  const features = (...more: string[]) =>
    ood(
      ...["tagood", "features", "--features", file("train.st"), "--vocabulary", file("v.json")],
      ...["--out", out, "--device", "reference", "--json", ...more],
    );
  assertEquals((await features()).code, 0);
  const whole = await Deno.readFile(out);
  {
    await using set = await openFeatures(file("train.st"));
    await using done = await openFeatures(out);
    const { tags, thresholds, ...record } = objectRecord(done);
    const rule = {
      ...record,
      tags: Int32Array.from(tags),
      thresholds: Float32Array.from(thresholds),
      ofClass: [],
    };
    await Deno.remove(out);
    const stop = new AbortController();
    using ctx = new Host();
    const onProgress = (count: number) => count >= 10 && stop.abort();
    const { signal } = stop;
    await assertRejects(
      () => writeObjects(set, { rule, out, ctx, batch: 5, signal, onProgress }),
      DOMException,
    );
  }
  assertEquals(
    listFiles(`${out}.parts`).map((line) => line.split("/").pop()!.split(" ")[0]),
    ["lock", "part-0000000000-0000000010.safetensors", "run.json"],
  );
  assertRefused(await features(), { code: 1, message: "continue it with --resume" });
  assertRefused(await features("--resume", "--tau", "0.4"), {
    code: 1,
    message: 'Cannot resume "',
  });
  const resumed = await features("--resume");
  assertEquals(resumed.code, 0, resumed.notes);
  assertEquals(await Deno.readFile(out), whole);
  const made = JSON.parse(resumed.out);
  await using set = await openFeatures(out);
  assertEquals([made.images, made.tokens, made.untagged], [24, set.shape("object_tokens")[0], 0]);
  // What is finished is not made again.
  assertEquals(JSON.parse((await features("--resume")).out), made);
});
