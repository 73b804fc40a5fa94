/**
 * Blocks of channels, copied.
 *
 * This module is browser compatible.
 *
 * @module
 */

import type { Numbers } from "../_pointwise.ts";

/** Channels of an array of maps. */
export interface ChannelBlock {
  /** The maps. */
  readonly data: Numbers;
  /** All their channels. */
  readonly channels: number;
  /** The first of the block. */
  readonly begin: number;
}

/**
 * Copies a block of channels at every position.
 *
 * @param from Where the block stands.
 * @param to Where it goes.
 * @param count Number of channels.
 */
export function copyChannels(from: ChannelBlock, to: ChannelBlock, count: number): void {
  const positions = from.channels === 0 ? 0 : from.data.length / from.channels;
  for (let p = 0; p < positions; p++) {
    const start = p * from.channels + from.begin;
    to.data.set(from.data.subarray(start, start + count), p * to.channels + to.begin);
  }
}
