/** What `combine_rows.wgsl` computes, in plain loops. */

/** One number per row out of a column of a matrix and a vector; see `combineRows`. */
export function combineRowsReference(
  a: { readonly data: Float32Array; readonly columns: number; readonly column: number },
  b: Float32Array | undefined,
  how: { readonly scale: number; readonly otherScale: number; readonly root: boolean },
): Float32Array<ArrayBuffer> {
  const rows = a.data.length / a.columns;
  return Float32Array.from({ length: rows }, (_, row) => {
    const value = how.scale * a.data[row * a.columns + a.column]!;
    if (b === undefined) return value;
    const other = how.root ? Math.sqrt(Math.max(b[row]!, 0)) : b[row]!;
    return value + how.otherScale * other;
  });
}
