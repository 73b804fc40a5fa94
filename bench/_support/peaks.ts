/**
 * What data sheets promise of known GPUs, to set beside the measured roofs.
 *
 * @module
 */

/** A row of the table. */
export interface DataSheet {
  /** Name of the product. */
  readonly name: string;
  /** FP32 peak without tensor cores, in GFLOP/s. */
  readonly gigaflops: number;
  /** Memory bandwidth in GB/s. */
  readonly gigabytes: number;
  /** Where the figures stand. */
  readonly source: string;
}

const DATA_SHEETS: readonly (DataSheet & { readonly pattern: RegExp })[] = [
  row(/H200/, "NVIDIA H200 SXM", [67_000, 4800], "NVIDIA H200 data sheet"),
  row(/H100.*PCIe/, "NVIDIA H100 PCIe", [51_000, 2000], "NVIDIA H100 data sheet"),
  row(/H100/, "NVIDIA H100 SXM", [67_000, 3350], "NVIDIA H100 data sheet"),
  row(/A100/, "NVIDIA A100 40 GB", [19_500, 1555], "NVIDIA A100 data sheet"),
  row(/\bL4\b/, "NVIDIA L4", [30_300, 300], "NVIDIA L4 data sheet"),
  row(/\bT4\b/, "NVIDIA T4", [8100, 320], "NVIDIA T4 data sheet"),
  row(/RTX 4090/, "NVIDIA RTX 4090", [82_600, 1008], "NVIDIA Ada architecture white paper"),
  row(/RTX 3090/, "NVIDIA RTX 3090", [35_600, 936], "NVIDIA Ampere GA102 white paper"),
  row(/RTX 3080/, "NVIDIA RTX 3080", [29_800, 760], "NVIDIA Ampere GA102 white paper"),
  row(/7900 XTX/, "AMD Radeon RX 7900 XTX", [61_400, 960], "AMD product page"),
  row(/Arc.*A770/, "Intel Arc A770", [19_660, 560], "Intel product page"),
];

function row(
  pattern: RegExp,
  name: string,
  [gigaflops, gigabytes]: readonly [number, number],
  source: string,
): DataSheet & { readonly pattern: RegExp } {
  return { pattern, name, gigaflops, gigabytes, source };
}

/**
 * The data sheet of an adapter.
 *
 * @param description The driver's name of the adapter.
 * @returns The row, or undefined when the table lacks it.
 */
export function dataSheetOf(description: string): DataSheet | undefined {
  return DATA_SHEETS.find(({ pattern }) => pattern.test(description));
}
