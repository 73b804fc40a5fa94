/**
 * The table that a bench file prints: one line per shape and variant.
 *
 * @module
 */

import type { Gpu } from "../../runtime/mod.ts";
import type { Timing } from "./gpu_timer.ts";
import { dataSheetOf } from "./peaks.ts";
import { boundOf, type Roofline } from "./roofline.ts";

/** One measured variant. */
export interface Row {
  /** The shape's name. */
  readonly shape: string;
  /** The variant's name. */
  readonly variant: string;
  /** Floating-point operations of one run. */
  readonly flops: number;
  /** Bytes that one run must move at least. */
  readonly bytes: number;
  /** Its time. */
  readonly timing: Timing;
}

const MIB = 1 << 20;

/**
 * Who measured what with what: adapter, driver, limits, roofs.
 *
 * @param name The operation.
 * @param gpu The GPU.
 * @param roofline Its roofs.
 * @returns Lines of text.
 */
export function header(name: string, gpu: Gpu, roofline: Roofline): string[] {
  const { adapter, device } = gpu;
  const { limits } = device;
  const sheet = dataSheetOf(adapter.description);
  const clock = gpu.profiler.available ? "GPU time stamps" : "wall clock (no timestamp-query)";
  return [
    `${name} on ${adapter.description || adapter.device || "an adapter without a name"}` +
    `${adapter.isSoftware ? ", a software adapter" : ""} ` +
    `(vendor ${adapter.vendor || "?"}, architecture ${adapter.architecture || "?"}), ` +
    `Deno ${Deno.version.deno}`,
    `limits: binding ${Math.round(limits.maxStorageBufferBindingSize / MIB)} MiB, workgroup ` +
    `${limits.maxComputeWorkgroupStorageSize / 1024} KiB and ` +
    `${limits.maxComputeInvocationsPerWorkgroup} invocations; features: ` +
    `${[...device.features].toSorted().join(", ") || "-"}`,
    `roofs measured here: ${digits(roofline.gigaflops)} GFLOP/s multiply-add, ` +
    `${digits(roofline.gigabytes)} GB/s copy` +
    (sheet === undefined
      ? ""
      : `; ${sheet.source}: ${digits(sheet.gigaflops)} GFLOP/s, ${digits(sheet.gigabytes)} GB/s`),
    `times: median by ${clock}, warm caches`,
  ];
}

/**
 * Lays rows out in columns; the first variant of a shape is what the others are compared with.
 *
 * @param rows The rows, those of one shape together.
 * @param roofline The adapter's roofs.
 * @returns Lines of text.
 */
export function table(rows: readonly Row[], roofline: Roofline): string[] {
  const head = ["shape", "variant", "µs", "GFLOP/s", "GB/s", "of roofline", "speed-up"];
  const cells = rows.map((row) => {
    const { nanoseconds } = row.timing;
    const bound = boundOf(roofline, { ...row, nanoseconds });
    const baseline = rows.find((other) => other.shape === row.shape)!;
    return [
      row.shape,
      row.variant,
      digits(nanoseconds / 1e3),
      digits(row.flops / nanoseconds),
      digits(row.bytes / nanoseconds),
      `${(bound.fraction * 100).toFixed(1)} % ${bound.by}`,
      `${(baseline.timing.nanoseconds / nanoseconds).toFixed(2)}x`,
    ];
  });
  const widths = head.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]!.length))
  );
  const line = (row: readonly string[]) =>
    row.map((cell, column) =>
      column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
    ).join("  ").trimEnd();
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...cells.map(line)];
}

/** Four digits that mean something. */
function digits(value: number): string {
  if (!(value > 0)) return "-";
  const places = Math.max(0, 2 - Math.floor(Math.log10(value)));
  return value >= 1000 ? Math.round(value).toString() : value.toFixed(Math.min(places, 4));
}
