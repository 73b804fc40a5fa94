// Squared distances between a block of queries and a block of bank rows, with a register tile per
// invocation and no workgroup memory.
//
//   d(i, j) = sum_k (x[i, k] - y[j, k])^2
//
// Shapes: x: vec4<f32>[.., quads], rows row_begin to row_begin + rows of it; y: vec4<f32>[.., quads],
//   rows bank_begin to bank_begin + columns of it; both padded with zeros along k;
//   distances: vec4<f32>[groups, rows, 4], a group being 16 columns; minima: f32[groups, rows], the
//   smallest distance of each group. Columns beyond the block are at 3.4028234e38.
// Bindings: x, y, distances, minima.
// Dispatch: gridFor(tiles, 8), folded from x into y; tiles = groups * row tiles.
// Accumulates in f32, in the order of k. The differences are squared as they are: nothing cancels.
//
// See ../matmul/matmul_register.wgsl for why the tile is so large and the workgroup so small. The
// minima let the selection skip most groups.

const TM: u32 = 16u; // @spec rows of a tile
const TN: u32 = 16u;
const HIGHEST: f32 = 3.4028234e38;

struct Params {
  rows: u32,
  row_begin: u32,
  columns: u32,
  bank_begin: u32,
  quads: u32, // vec4 elements along k
  groups: u32,
  row_tiles: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> distances: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> minima: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = (wid.y * grid.x + wid.x) * 8u + lane;
  if (tile >= params.groups * params.row_tiles) {
    return;
  }
  let group = tile / params.row_tiles;
  let row = tile % params.row_tiles * TM;
  let column = group * TN;
  let quads = params.quads;
  let x_start = (params.row_begin + row) * quads;
  let y_start = (params.bank_begin + column) * quads;

  var sum: array<f32, TM * TN>;
  var a: array<vec4<f32>, TM>;
  for (var q = 0u; q < quads; q++) {
    for (var i = 0u; i < TM; i++) { // @unroll
      a[i] = x[x_start + i * quads + q];
    }
    for (var j = 0u; j < TN; j++) { // @unroll
      // Negated once here, not in each of the differences below.
      let minus_b = -y[y_start + j * quads + q];
      for (var i = 0u; i < TM; i++) { // @unroll
        let d = a[i] + minus_b;
        sum[i * TN + j] = fma(d.y, d.y, fma(d.x, d.x, sum[i * TN + j]));
        sum[i * TN + j] = fma(d.w, d.w, fma(d.z, d.z, sum[i * TN + j]));
      }
    }
  }

  for (var j = 0u; j < TN; j++) { // @unroll
    if (column + j >= params.columns) {
      for (var i = 0u; i < TM; i++) { // @unroll
        sum[i * TN + j] = HIGHEST;
      }
    }
  }
  for (var i = 0u; i < TM; i++) { // @unroll
    if (row + i < params.rows) {
      let at = group * params.rows + row + i;
      var least = vec4<f32>(HIGHEST);
      for (var e = 0u; e < 4u; e++) { // @unroll
        let four = vec4<f32>(
          sum[i * TN + e * 4u],
          sum[i * TN + e * 4u + 1u],
          sum[i * TN + e * 4u + 2u],
          sum[i * TN + e * 4u + 3u],
        );
        least = min(least, four);
        distances[at * 4u + e] = four;
      }
      minima[at] = min(min(least.x, least.y), min(least.z, least.w));
    }
  }
}
