/**
 * Running out of memory, for whatever runs sessions in batches.
 *
 * @module
 */

export { BatchLimit, isOutOfMemory } from "./_memory.ts";
