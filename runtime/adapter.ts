/**
 * Finding a WebGPU adapter, and what there is to know of it.
 *
 * @module
 */

import { GpuUnavailableError } from "./errors.ts";

/** What is known of an adapter. */
export interface AdapterSummary {
  /** Vendor's name or number. */
  readonly vendor: string;
  /** Family, where the driver tells. */
  readonly architecture: string;
  /** Device's name or number. */
  readonly device: string;
  /** Driver's own words. */
  readonly description: string;
  /** Whether the adapter computes on the CPU (lavapipe, SwiftShader, WARP). */
  readonly isSoftware: boolean;
}

const SOFTWARE_REGEXP = /llvmpipe|lavapipe|swiftshader|software|basic render|\bwarp\b/i;

/** Adapters in use. Reading `device.adapterInfo` after its adapter was collected ends the process. */
const ADAPTERS_IN_USE: Set<GPUAdapter> = new Set();

/**
 * Asks for the fastest adapter and holds on to it.
 *
 * @returns The adapter.
 * @throws {GpuUnavailableError} When the platform has no WebGPU or no adapter.
 */
export async function requestAdapter(): Promise<GPUAdapter> {
  const gpu: GPU | undefined = globalThis.navigator?.gpu;
  if (gpu === undefined) {
    throw new GpuUnavailableError("Cannot open a GPU: this platform has no WebGPU");
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) {
    throw new GpuUnavailableError(
      "Cannot open a GPU: no adapter was found; on Debian or Ubuntu the package " +
        "mesa-vulkan-drivers brings a software adapter",
    );
  }
  ADAPTERS_IN_USE.add(adapter);
  return adapter;
}

/**
 * Says what an adapter is.
 *
 * @param info The adapter's or the device's info.
 * @returns The summary.
 */
export function summarizeAdapter(info: GPUAdapterInfo): AdapterSummary {
  const { vendor, architecture, device, description } = info;
  const fallback = (info as { isFallbackAdapter?: boolean }).isFallbackAdapter ?? false;
  const isSoftware = fallback || SOFTWARE_REGEXP.test(`${vendor} ${device} ${description}`);
  return { vendor, architecture, device, description, isSoftware };
}

const WANTED_FEATURES: readonly GPUFeatureName[] = ["timestamp-query", "shader-f16"];

const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
] as const;

/**
 * What to ask of an adapter: its own limits where ours matter (the defaults are small), and the
 * features that it has of those that the kernels can use.
 *
 * @param adapter The adapter.
 * @returns A device descriptor.
 */
export function deviceDescriptor(adapter: GPUAdapter): GPUDeviceDescriptor {
  return {
    label: "oodgpu",
    requiredFeatures: WANTED_FEATURES.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]])),
  };
}
