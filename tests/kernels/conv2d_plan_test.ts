import { assert, assertEquals } from "@std/assert";
import { blockColumns, blockRows, LOOP_TURNS } from "../../kernels/_products.ts";
import {
  channelChunks,
  convBlock,
  convSide,
  flattened,
  type Gather,
  type GatherAxis,
  gatherTile,
  sharedTaps,
  sliceRows,
  weightTile,
  windowOf,
} from "../../kernels/conv2d/_plan.ts";

function axis(length: number, taps: number): GatherAxis {
  return {
    source: length,
    taps,
    origin: -(taps >> 1),
    stride: 1,
    dilation: 1,
    count: length,
    target: length,
    targetFirst: 0,
    targetStep: 1,
    weight: taps,
    weightFirst: 0,
    weightStep: 1,
  };
}

function layer(side: number, outputs: number, taps = 3): Gather {
  const lengths = { y: axis(side, taps), x: axis(side, taps) };
  return { batch: 32, groups: 1, channels: 16, outputs, ...lengths };
}

Deno.test("gatherTile() gives the layers of a network one large square tile", () => {
  for (const [side, outputs] of [[32, 16], [16, 32], [8, 64]] as const) {
    assertEquals(gatherTile(layer(side, outputs), 16), { rows: 4, columns: 4, channels: 16 });
  }
  assertEquals(gatherTile(layer(32, 3), 16), { rows: 4, columns: 4, channels: 4 });
});

Deno.test("gatherTile() of single taps follows the one long row that they make", () => {
  const flat = flattened(layer(16, 64, 1));
  assertEquals([flat.batch, flat.y.count, flat.x.count], [1, 1, 32 * 16 * 16]);
  assertEquals(gatherTile(flat, 16), { rows: 1, columns: 16, channels: 16 });
  const strided = { ...layer(16, 64, 1), x: { ...axis(16, 1), stride: 2, count: 8, target: 8 } };
  assertEquals(flattened(strided), strided);
});

Deno.test("convSide() is short for little work, unless it is forced", () => {
  assertEquals(convSide(1e6, undefined), 8);
  assertEquals(convSide(1e8, undefined), 16);
  assertEquals(convSide(1e8, 8), 8);
});

Deno.test("windowOf() holds every pixel that outputs and taps meet", () => {
  assertEquals(windowOf(4, 3, { stride: 1, dilation: 1 }).length, 6);
  assertEquals(windowOf(4, 3, { stride: 2, dilation: 1 }).length, 9);
  assertEquals(windowOf(4, 3, { stride: 2, dilation: 4 }), {
    length: 8,
    place: 2,
    pixelStep: 1,
    tapStep: 2,
  });
  assertEquals(windowOf(4, 1, { stride: 3, dilation: 5 }), {
    length: 4,
    place: 3,
    pixelStep: 1,
    tapStep: 1,
  });
  assertEquals([3, 7, 9, 11, 1].map((taps) => sharedTaps(taps)[0]), [3, 7, 3, 1, 1]);
});

Deno.test("weightTile() shares a window where there are taps, and is square where there is one", () => {
  const shape = { outputs: 16, channels: 16, stride: 1, dilation: 1 };
  assertEquals(weightTile({ ...shape, taps: 3 }, 16), {
    outputs: 2,
    channels: 2,
    taps: 3,
    pixels: 4,
  });
  assertEquals(weightTile({ ...shape, taps: 1 }, 16), {
    outputs: 4,
    channels: 4,
    taps: 1,
    pixels: 4,
  });
});

Deno.test("sliceRows() covers all rows, within the loops of an adapter", () => {
  for (const rows of [0, 1, 31, 1024, 1_000_000]) {
    for (const rowTurns of [0, 9, 65]) {
      const work = { rows, rowTurns, rowPixels: 32, tiles: 6, size: 2304, busy: 128 };
      const cut = sliceRows(work);
      assert(cut.slices >= 1 && cut.slices * cut.sliceRows >= rows, `${rows} rows`);
      assert(cut.sliceRows * (rowTurns + 2) <= LOOP_TURNS || cut.sliceRows === 1, `${rows} rows`);
    }
  }
});

Deno.test("channelChunks() covers all channels, within the loops of an adapter", () => {
  assertEquals(channelChunks(0, 9), [[0, 0]]);
  assertEquals(channelChunks(512, 12), [[0, 512]]);
  const chunks = channelChunks(30_000, 12);
  assertEquals(chunks[0]![0], 0);
  assertEquals(chunks.at(-1)![1], 30_000);
  for (const [begin, end] of chunks) assert(12 * (end - begin + 2) <= LOOP_TURNS);
});

Deno.test("convBlock() fills the workgroup's tile", () => {
  const limits = { maxComputeWorkgroupStorageSize: 32_768 };
  const size = (rows: number, columns: number, batches = 1) => {
    const tile = convBlock({ rows, columns, batches }, { limits });
    return [blockRows(tile), blockColumns(tile)];
  };
  assertEquals(size(100_000, 16), [256, 16]);
  assertEquals(size(16, 144), [16, 256]);
  assertEquals(size(100_000, 64), [64, 64]);
  assertEquals(size(100_000, 128), [128, 128]);
  assertEquals(size(2048, 64), [32, 32]);
  assertEquals(size(64, 576, 64), [64, 64]);
});
