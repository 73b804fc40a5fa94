// Second moments of the columns of a matrix with a register tile per invocation and no workgroup
// memory.
//
//   gram[s, i, j] = sum over the rows n of slice s of (x[n, i] - shift[i]) (x[n, j] - shift[j])
//
// Shapes: x: f32[rows, columns], row-major, bound twice (scalars and vec4, the same memory);
// shift: f32[columns]; gram: f32[slices, columns, columns], symmetric: only tiles on and above the
// diagonal are computed, and each is written on both sides of it.
// Dispatch: gridFor(slices * side * (side + 1) / 2, 8), side = ceil(columns / TILE); the grid folds x
// into y. Neighbouring invocations own neighbouring tiles.
// Accumulates in f32, in the order of the rows. The four rows of a step stand together in each sum,
// so that it stays in a register. Rows beyond the slice count with a factor of zero; columns beyond
// the matrix load what robust access gives and are not stored.
//
// Made for adapters that compute on the CPU, where a load costs as much as 11 to 25 fma whatever
// memory it comes from.

const TILE: u32 = 16u; // @spec columns on each side of a tile, a multiple of four
const QUADS: u32 = 4u; // @spec TILE / 4

override VECTOR: bool = true; // columns is a multiple of 4

struct Params {
  rows: u32,
  columns: u32,
  slice_rows: u32, // a multiple of four
  slices: u32,
  side: u32, // tiles along one axis
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> shift: array<f32>;
@group(0) @binding(3) var<storage, read_write> gram: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

fn load(row: u32, column: u32) -> vec4<f32> {
  let at = row * params.columns + column;
  if (VECTOR) {
    return x4[at >> 2u];
  }
  return vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}

fn shift_of(column: u32) -> vec4<f32> {
  return vec4<f32>(shift[column], shift[column + 1u], shift[column + 2u], shift[column + 3u]);
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let unit = (wid.y * grid.x + wid.x) * 8u + lane;
  let tiles = params.side * (params.side + 1u) / 2u;
  if (unit >= params.slices * tiles) {
    return;
  }
  let slice = unit / tiles;
  // The tile's place in the triangle, row by row from the diagonal to the right.
  var left = unit % tiles;
  var tile_row = 0u;
  while (left >= params.side - tile_row) {
    left -= params.side - tile_row;
    tile_row++;
  }
  let row = tile_row * TILE;
  let column = (tile_row + left) * TILE;
  var row_shift: array<vec4<f32>, QUADS>;
  var column_shift: array<vec4<f32>, QUADS>;
  for (var q = 0u; q < QUADS; q++) { // @unroll
    row_shift[q] = shift_of(row + 4u * q);
    column_shift[q] = shift_of(column + 4u * q);
  }
  var sum: array<f32, TILE * TILE>;
  let begin = slice * params.slice_rows;
  let end = min(params.rows, begin + params.slice_rows);
  for (var n = begin; n < end; n += 4u) {
    var a0: array<vec4<f32>, QUADS>;
    var a1: array<vec4<f32>, QUADS>;
    var a2: array<vec4<f32>, QUADS>;
    var a3: array<vec4<f32>, QUADS>;
    let keep1 = select(0.0, 1.0, n + 1u < end);
    let keep2 = select(0.0, 1.0, n + 2u < end);
    let keep3 = select(0.0, 1.0, n + 3u < end);
    let n1 = min(n + 1u, end - 1u);
    let n2 = min(n + 2u, end - 1u);
    let n3 = min(n + 3u, end - 1u);
    for (var q = 0u; q < QUADS; q++) { // @unroll
      a0[q] = load(n, row + 4u * q) - row_shift[q];
      a1[q] = (load(n1, row + 4u * q) - row_shift[q]) * keep1;
      a2[q] = (load(n2, row + 4u * q) - row_shift[q]) * keep2;
      a3[q] = (load(n3, row + 4u * q) - row_shift[q]) * keep3;
    }
    for (var q = 0u; q < QUADS; q++) { // @unroll
      let b0 = load(n, column + 4u * q) - column_shift[q];
      let b1 = load(n1, column + 4u * q) - column_shift[q];
      let b2 = load(n2, column + 4u * q) - column_shift[q];
      let b3 = load(n3, column + 4u * q) - column_shift[q];
      for (var d = 0u; d < 4u; d++) { // @unroll
        for (var p = 0u; p < QUADS; p++) { // @unroll
          for (var c = 0u; c < 4u; c++) { // @unroll
            sum[(4u * p + c) * TILE + 4u * q + d] = fma(a1[p][c], b1[d], fma(a0[p][c], b0[d], sum[(4u * p + c) * TILE + 4u * q + d]));
            sum[(4u * p + c) * TILE + 4u * q + d] = fma(a3[p][c], b3[d], fma(a2[p][c], b2[d], sum[(4u * p + c) * TILE + 4u * q + d]));
          }
        }
      }
    }
  }
  let size = params.columns;
  let start = slice * size * size;
  for (var i = 0u; i < TILE; i++) { // @unroll
    if (row + i < size) {
      for (var j = 0u; j < TILE; j++) { // @unroll
        // In a tile on the diagonal both sides are computed, with the same bits.
        if (column + j < size) {
          gram[start + (row + i) * size + column + j] = sum[i * TILE + j];
          gram[start + (column + j) * size + row + i] = sum[i * TILE + j];
        }
      }
    }
  }
}
