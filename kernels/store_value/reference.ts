/**
 * The reference of `storeValue()`.
 *
 * @module
 */

/** table[index] = value * factor; an index beyond the table writes nothing. */
export function storeValueReference(
  table: Float32Array<ArrayBuffer>,
  { index, value, factor }: { index: number; value: number; factor: number },
): void {
  if (index < table.length) table[index] = value * factor;
}
