import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { encodeRgbPng, makeImage, temporaryFolder } from "../_support/images.ts";
import { DecodePool, type DecodeResult, type ImageItem } from "../../data/decode_pool.ts";
import type { PreprocessSpec } from "../../kernels/preprocess/spec.ts";
import { preprocessReference } from "../../kernels/preprocess/reference.ts";

const SPEC: PreprocessSpec = {
  resize: { width: 4, height: 4 },
  interpolation: "bilinear",
  channels: "BGR",
  range: 1,
  mean: [0.1, 0.2, 0.3],
  scale: [0.5, 0.25, 2],
  layout: "NCHW",
};

async function collect(
  pool: DecodePool,
  items: Iterable<ImageItem> | AsyncIterable<ImageItem>,
  options: { preprocess?: PreprocessSpec } = {},
): Promise<DecodeResult[]> {
  return await Array.fromAsync(pool.map(items, options));
}

for (const workers of [0, 1, 2]) {
  const how = workers === 0 ? "inline" : `with ${workers} workers`;

  Deno.test(`DecodePool.map() gives every result in order, ${how}`, async () => {
    await using folder = await temporaryFolder();
    using pool = new DecodePool({ workers });
    const items: ImageItem[] = [];
    for (let i = 0; i < 30; i++) {
      // Sizes differ, so that later ones would overtake if they could.
      const image = makeImage(i % 3 === 0 ? 200 : 2, i + 1, () => i);
      const name = `${i}.png`;
      const bytes = await encodeRgbPng(image);
      await Deno.writeFile(`${folder.path}/${name}`, bytes);
      if (i % 3 === 0) items.push({ name, path: `${folder.path}/${name}` });
      else items.push(i % 3 === 1 ? { name, bytes } : { name, image });
    }
    const results = await collect(pool, items);
    assertEquals(results.length, 30);
    for (const [i, { index, name, image, error }] of results.entries()) {
      assertEquals([index, name, error], [i, `${i}.png`, undefined]);
      assertEquals([image!.height, image!.data[0]], [i + 1, i]);
    }
    // Items are copied to a worker: the caller keeps what it has.
    assertEquals(items[1]!.bytes!.length > 0 && items[2]!.image!.data.length > 0, true);
  });

  Deno.test(`DecodePool.map() puts failures in their places, ${how}`, async () => {
    using pool = new DecodePool({ workers });
    const good = await encodeRgbPng(makeImage(2, 2));
    const results = await collect(pool, [
      { name: "good", bytes: good },
      { name: "empty", bytes: new Uint8Array(0) },
      { name: "missing", path: "no-such-folder/no-such-file.png" },
      { name: "nothing" },
      { name: "cut", bytes: good.slice(0, 40) },
      { name: "good too", bytes: good },
    ]);
    assertEquals(results.map(({ name, error }) => [name, error?.reason]), [
      ["good", undefined],
      ["empty", "the file is empty"],
      ["missing", "there is no such file or folder"],
      ["nothing", "it has no content"],
      ["cut", "the file is truncated"],
      ["good too", undefined],
    ]);
    assertEquals(results[1]!.error!.message, 'Cannot read "empty": the file is empty');
  });

  Deno.test(`DecodePool.map() preprocesses when asked to, ${how}`, async () => {
    using pool = new DecodePool({ workers });
    const image = makeImage(7, 5);
    const items = [{ name: "a", bytes: await encodeRgbPng(image) }, { name: "b", image }];
    for (const result of await collect(pool, items, { preprocess: SPEC })) {
      assertEquals(result.image, undefined);
      assertEquals(result.pixels, preprocessReference(image, SPEC));
    }
  });

  Deno.test(`DecodePool.map() runs ahead no further than it may, ${how}`, async () => {
    using pool = new DecodePool({ workers, lookAhead: 3 });
    const image = makeImage(2, 2);
    let taken = 0;
    let returned = 0;
    async function* items(): AsyncGenerator<ImageItem> {
      try {
        while (true) {
          taken++;
          yield await Promise.resolve({ name: String(taken), image });
        }
      } finally {
        returned++;
      }
    }
    let used = 0;
    for await (const _ of pool.map(items())) {
      used++;
      assert(taken <= used + 3, `${taken} were taken and ${used} used`);
      if (used === 10) break;
    }
    assertEquals(returned, 1);
  });
}

Deno.test("DecodePool gives an image that fells a worker as a failure, and the others not", async () => {
  using pool = new DecodePool({ workers: 1 });
  const image = makeImage(2, 2);
  // Nothing like an image: the worker fails on it as it would on a fault of the program.
  const poison = {
    name: "poison",
    get image(): never[] {
      return [];
    },
  } as unknown as ImageItem;
  const results = await collect(pool, [
    { name: "a", image },
    poison,
    { name: "b", image },
    { name: "c", image },
  ]);
  assertEquals(results.map(({ error }) => error === undefined), [true, false, true, true]);
  assert(
    results[1]!.error!.reason.startsWith("the decoder failed on it"),
    results[1]!.error!.reason,
  );
  // And it works on with a new worker.
  assertEquals((await collect(pool, [{ name: "d", image }]))[0]!.error, undefined);
});

Deno.test("DecodePool ends what is under way when it is disposed", async () => {
  const pool = new DecodePool({ workers: 1 });
  const image = makeImage(2, 2);
  function* items(): Generator<ImageItem> {
    yield { name: "a", image };
    // The first image is on its way now.
    pool[Symbol.dispose]();
  }
  const results = await collect(pool, items());
  assertEquals(results.map(({ error }) => error?.reason), ["the decode pool was closed"]);
  await assertRejects(() => collect(pool, [{ name: "a", image }]), TypeError, "disposed");
});

Deno.test("DecodePool starts the web's workers while something else stands in their place", async () => {
  const { Worker } = globalThis;
  try {
    // As onnxruntime-web does while it opens a session.
    globalThis.Worker = class {
      constructor() {
        throw new Error("this is another Worker");
      }
    } as unknown as typeof Worker;
    using pool = new DecodePool({ workers: 1 });
    const [result] = await collect(pool, [{ name: "a", image: makeImage(2, 2) }]);
    assertEquals([result!.error, pool.workers], [undefined, 1]);
  } finally {
    globalThis.Worker = Worker;
  }
});

Deno.test("DecodePool refuses numbers that make no sense", () => {
  assertThrows(() => new DecodePool({ workers: -1 }), RangeError, "workers");
  assertThrows(() => new DecodePool({ lookAhead: 0 }), RangeError, "lookAhead");
});

Deno.test({
  name: "DecodePool decodes on the calling thread where a worker cannot start",
  // Without the permission to read files a worker's module cannot be loaded.
  permissions: { read: false },
  fn: async () => {
    using pool = new DecodePool({ workers: 2 });
    const image = makeImage(2, 2);
    const items = Array.from({ length: 20 }, (_, i) => ({ name: String(i), image }));
    const results = await collect(pool, items);
    assertEquals(
      results.map(({ name, error }) => [name, error]),
      items.map(({ name }) => [
        name,
        undefined,
      ]),
    );
    assertEquals(pool.workers, 0);
  },
});
